# SPDX-License-Identifier: BSD-3-Clause
"""Turns the contract's locations into paths, and lets none of them leave its root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, Mapping, Optional, Tuple

from dl4mic.check import Refused, Violation, has_control_characters

JOB = "job"
UPLOADS = "uploads"
EXAMPLE = "example"
"""The root of the services' example data: ``example:SERVICE/PATH``. It can only be read, and one that the
administrator named so hides it."""

MOST_SAID = 100
"""Characters of a location that an error repeats."""

LONGEST_NAME_BYTES = 255
"""Of a file or folder, on the file systems of all systems of today."""

LONGEST_PATH_BYTES = 2000
"""Of a path in a root: with the root's own path well below the 4096 that Linux takes."""


class Locations:
    """The data roots of a server, its uploads, and what its jobs published.

    Parameters
    ----------
    roots
        Name -> folder, as the administrator named them.
    uploads
        Folder of what clients sent.
    artifacts_of
        Returns the folder of what a job publishes, whether it is there yet or not; raises KeyError for an unknown job.
    examples
        Name of a service -> folder of its example data.
    """

    def __init__(
        self,
        roots: Mapping[str, Path],
        uploads: Path,
        artifacts_of: Callable[[str], Path],
        examples: Optional[Mapping[str, Path]] = None,
    ) -> None:
        self._roots = {name: folder.resolve() for name, folder in roots.items()}
        self._roots[UPLOADS] = uploads.resolve()
        self._artifacts_of = artifacts_of
        self._examples = {name: folder.resolve() for name, folder in (examples or {}).items()}

    def is_location(self, text: str) -> bool:
        """Whether a text names a place in a root rather than a model."""
        root, colon, inside = text.partition(":")
        named = root in self._roots or (root in (JOB, EXAMPLE) and "/" in inside)
        return text.startswith("/") or (bool(colon) and named)

    def resolve(self, location: str, field: str, local: bool) -> Path:
        """Find the absolute path of a location; nothing needs to lie there.

        Parameters
        ----------
        location
            As the contract writes it.
        field
            Of the request, for the error.
        local
            The caller came by the Unix socket, and may name absolute paths.

        Raises
        ------
        dl4mic.check.Refused
            Unknown root or job, a path that leaves its root, be it by a link, or an absolute path from afar.
        """
        if location.startswith("/"):
            if not local:
                words = "{!r}: over the network use ROOT:PATH or uploads:PATH"
                raise refuse(field, words.format(said(location)))
            return _resolved(Path(location), location, field)
        root, inside = self._root_of(location, field)
        return _confine(root, inside, location, field)

    def find(self, location: str, field: str, local: bool) -> Path:
        """`resolve` a location of a request, and refuse it where nothing can be read.

        What a job is still to make may be missing. A folder of a root must hold no link that leads out of the root:
        whoever may write into it would choose what the server reads. A plain folder of a local caller may: they are
        the same user, who could name the link's target as well.
        """
        path = self.resolve(location, field, local)
        try:
            if not location.startswith(JOB + ":") and not path.exists():
                raise refuse(field, "{!r}: there is no such file or folder".format(said(location)))
            if path.exists() and not (path.is_dir() or path.is_file()):
                raise refuse(field, "{!r} is neither a file nor a folder".format(said(location)))
            if not location.startswith("/") and path.is_dir():
                _refuse_links_out(path, self._root_of(location, field)[0], location, field)
        except OSError as error:
            words = "{!r} cannot be read: {}; give the server's user the right to"
            raise refuse(field, words.format(said(location), error.strerror)) from error
        return path

    def upload(self, location: str, field: str) -> Path:
        """Find the path of a location that may be written: below uploads alone.

        Raises
        ------
        dl4mic.check.Refused
            Another root, or the root itself.
        """
        root, _, inside = location.partition(":")
        if root != UPLOADS:
            raise refuse(
                field, "{!r}: only uploads:PATH can be written and deleted".format(said(location))
            )
        path = _confine(self._roots[UPLOADS], inside, location, field)
        if path == self._roots[UPLOADS]:
            raise refuse(field, "{!r}: name a file or folder below uploads:".format(said(location)))
        return path

    def _root_of(self, location: str, field: str) -> Tuple[Path, str]:
        """Return the folder that a location must not leave, and the path in it."""
        root, _, inside = location.partition(":")
        if root == JOB:
            job_id, _, inside = inside.partition("/")
            return self._artifacts(job_id, field), inside
        if root == EXAMPLE and EXAMPLE not in self._roots:
            service, _, inside = inside.partition("/")
            return self._example(service, field), inside
        if root not in self._roots:
            words = "{!r}: there is no data root {!r}; there are {}"
            raise refuse(field, words.format(said(location), root, ", ".join(sorted(self._roots))))
        return self._roots[root], inside

    def _artifacts(self, job_id: str, field: str) -> Path:
        try:
            return self._artifacts_of(job_id).resolve()
        except KeyError:
            raise refuse(field, "there is no job {!r}".format(job_id)) from None

    def _example(self, service: str, field: str) -> Path:
        if service not in self._examples:
            words = "there is no example of a service {!r}; there are examples of {}"
            there = ", ".join(sorted(self._examples)) or "none"
            raise refuse(field, words.format(service, there))
        return self._examples[service]


def said(location: str) -> str:
    """Write a location as an error repeats it: the beginning of a very long one."""
    return location if len(location) <= MOST_SAID else location[:MOST_SAID] + "..."


def refuse(field: str, description: str) -> Refused:
    """Make the error of one field at fault."""
    return Refused([Violation(field, description)])


def _confine(root: Path, inside: str, location: str, field: str) -> Path:
    if has_control_characters(inside):
        words = "{!r}: a path holds no control characters"
        raise refuse(field, words.format(said(location)))
    if any(len(os.fsencode(each)) > LONGEST_NAME_BYTES for each in inside.split("/")):
        words = "{!r}: a name in it is too long; {} bytes are the most"
        raise refuse(field, words.format(said(location), LONGEST_NAME_BYTES))
    if len(os.fsencode(inside)) > LONGEST_PATH_BYTES:
        words = "{!r}: the path is too long; {} bytes are the most"
        raise refuse(field, words.format(said(location), LONGEST_PATH_BYTES))
    path = _resolved(root / inside.lstrip("/"), location, field)
    if not _lies_in(path, root):
        raise refuse(field, "{!r} leaves its root".format(said(location)))
    return path


def _resolved(path: Path, location: str, field: str) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "its links go round in a circle"
        raise refuse(field, "{!r} leads nowhere: {}".format(said(location), reason)) from error


def _lies_in(path: Path, root: Path) -> bool:
    return path == root or root in path.parents


def _refuse_links_out(folder: Path, root: Path, location: str, field: str) -> None:
    with os.scandir(str(folder)) as entries:
        links = [each for each in entries if each.is_symlink()]
    outside = [each.name for each in links if not _lies_in(Path(os.path.realpath(each.path)), root)]
    if outside:
        words = "{!r} holds {} that leads out of its root, {!r}; put the file itself there"
        count = "a link" if len(outside) == 1 else "{} links, each one".format(len(outside))
        raise refuse(field, words.format(said(location), count, min(outside)))

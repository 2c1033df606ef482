# SPDX-License-Identifier: BSD-3-Clause
"""Turns the contract's locations into paths, and lets none of them leave its root."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Mapping

from dl4mic.check import Refused, Violation

JOB = "job"
UPLOADS = "uploads"


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
    """

    def __init__(
        self, roots: Mapping[str, Path], uploads: Path, artifacts_of: Callable[[str], Path]
    ) -> None:
        self._roots = {name: folder.resolve() for name, folder in roots.items()}
        self._roots[UPLOADS] = uploads.resolve()
        self._artifacts_of = artifacts_of

    def is_location(self, text: str) -> bool:
        """Whether a text names a place in a root rather than a model."""
        root, colon, inside = text.partition(":")
        named = root in self._roots or (root == JOB and "/" in inside)
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
                raise refuse(field, words.format(location))
            return Path(location).resolve()
        root, _, inside = location.partition(":")
        if root == JOB:
            job_id, _, inside = inside.partition("/")
            return _confine(self._artifacts(job_id, field), inside, location, field)
        if root not in self._roots:
            words = "{!r}: there is no data root {!r}; there are {}"
            raise refuse(field, words.format(location, root, ", ".join(sorted(self._roots))))
        return _confine(self._roots[root], inside, location, field)

    def find(self, location: str, field: str, local: bool) -> Path:
        """`resolve` a location, and refuse it where nothing lies there; what a job is still to make may be missing."""
        path = self.resolve(location, field, local)
        if not location.startswith(JOB + ":") and not path.exists():
            raise refuse(field, "{!r}: there is no such file or folder".format(location))
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
                field, "{!r}: only uploads:PATH can be written and deleted".format(location)
            )
        path = _confine(self._roots[UPLOADS], inside, location, field)
        if path == self._roots[UPLOADS]:
            raise refuse(field, "{!r}: name a file or folder below uploads:".format(location))
        return path

    def _artifacts(self, job_id: str, field: str) -> Path:
        try:
            return self._artifacts_of(job_id).resolve()
        except KeyError:
            raise refuse(field, "there is no job {!r}".format(job_id)) from None


def refuse(field: str, description: str) -> Refused:
    """Make the error of one field at fault."""
    return Refused([Violation(field, description)])


def _confine(root: Path, inside: str, location: str, field: str) -> Path:
    if "\0" in inside:
        raise refuse(field, "a path holds no NUL")
    path = (root / inside.lstrip("/")).resolve()
    if path != root and root not in path.parents:
        raise refuse(field, "{!r} leaves its root".format(location))
    return path

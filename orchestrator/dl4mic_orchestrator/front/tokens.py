# SPDX-License-Identifier: BSD-3-Clause
"""Own the list of who may call: names, projects and hashes of tokens. The tokens themselves are nowhere here."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dl4mic.check import NAME
from dl4mic_orchestrator.front.tls import stamp_of

ANY_PROJECT = "*"
_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_EXPECTED = "expected NAME PROJECT sha256:HASH, as `dl4mic token` makes it; * is any project"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Identity:
    """Who calls.

    Attributes
    ----------
    name
        As jobs show it.
    project
        To which the caller is bound; empty for none.
    """

    name: str
    project: str = ""


@dataclass(frozen=True)
class _Known:
    identity: Identity
    hash: str


class Tokens:
    """A file of tokens, read again when it has changed: whom it names no more is out at once.

    Parameters
    ----------
    path
        One line a token: NAME PROJECT HASH. Empty lines and those that begin with # are left out. A name may have
        several tokens, an old one and a new one for instance.

    Raises
    ------
    ValueError
        It cannot be read, holds no token, or a line is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            self._stamp = stamp_of(path)
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from error
        self._known = tuple(_read(path))
        if not self._known:
            raise ValueError(f"{path} holds no token, so that nobody could call; {_EXPECTED}")

    def find(self, token: str) -> Identity | None:
        """Tell whose token it is; None for nobody's. Takes as long whichever it is."""
        asked = hash_of(token)
        found = None
        for known in self._newest():
            if hmac.compare_digest(known.hash, asked):
                found = known.identity
        return found

    def _newest(self) -> tuple[_Known, ...]:
        with self._lock:
            try:
                stamp = stamp_of(self._path)
                if stamp != self._stamp:
                    self._known, self._stamp = tuple(_read(self._path)), stamp
            except (OSError, ValueError) as error:
                log.error("the tokens stay those from before: %s", error)
            return self._known


def hash_of(token: str) -> str:
    """Hash a token: of 256 random bits, it needs neither salt nor a slow hash."""
    return "sha256:" + hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _read(path: Path) -> Iterator[_Known]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            yield _known(words, f"{path}, line {number}")


def _known(words: list[str], where: str) -> _Known:
    # The line itself is not shown: somebody may have put a token there instead of its hash.
    if len(words) != 3:
        raise ValueError(f"{where}: {_EXPECTED}")
    name, project, digest = words
    if not NAME.fullmatch(name) or not (project == ANY_PROJECT or NAME.fullmatch(project)):
        raise ValueError(f"{where}: no name of a caller and a project; {_EXPECTED}")
    if not _HASH.fullmatch(digest):
        raise ValueError(f"{where}: the third word is no hash of a token; {_EXPECTED}")
    return _Known(Identity(name, "" if project == ANY_PROJECT else project), digest)

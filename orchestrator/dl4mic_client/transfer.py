# SPDX-License-Identifier: BSD-3-Clause
"""Moves files to and from a server: whole, checked by SHA-256, resumed where they were cut."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dl4mic.v1 import data_pb2
from dl4mic_client.connection import CHUNK_BYTES, Connection
from dl4mic_client.errors import NotFound, Refused, ServerFault, TransferFault, Unreachable
from dl4mic_client.requests import slug

UPLOADS = "uploads:"
_LOGICAL = re.compile(r"[a-z0-9][a-z0-9-]*:.*", re.DOTALL)
_LONGEST_STEM = 37
_DIGEST_LETTERS = 12
_PAUSES_SECONDS = (0.2, 1.0, 3.0, 10.0, 30.0)
"""Between tries to find a lost server again."""

_PAUSES_AFTER_FAULTS_SECONDS = (0.2, 2.0)
"""What arrived may have been of another file, or another call is sending this one."""

_PAGE = 500
_READING_SECONDS = 600.0


@dataclass(frozen=True)
class TransferProgress:
    """How far a transfer is.

    Attributes
    ----------
    verb : str
        "sending" or "fetching".
    done_bytes, total_bytes : int
        Of all files together.
    name : str
        The file under way.
    """

    verb: str
    done_bytes: int
    total_bytes: int
    name: str


Report = Callable[[TransferProgress], None]


@dataclass(frozen=True)
class _File:
    name: str
    path: Path
    size: int


class _Meter:
    """Adds up bytes and reports them.

    Parameters
    ----------
    verb, total, report
        As of `TransferProgress`; how many bytes there are in all; who is told.
    """

    def __init__(self, verb: str, total: int, report: Report | None) -> None:
        self._verb, self._total, self._report = verb, total, report
        self._before = 0
        self._done = 0

    def begin(self) -> None:
        """Begin with the next file."""
        self._before = self._done

    def reach(self, offset: int, name: str) -> None:
        """Say how far the file is; after an interruption that may be less than before."""
        self._done = self._before + offset
        if self._report:
            self._report(TransferProgress(self._verb, self._done, self._total, name))


def is_location(text: str | os.PathLike[str]) -> bool:
    """Whether a text is a location on the server: ``ROOT:PATH``, ``uploads:PATH``, ``job:ID/PATH``.

    Anything else is a path on this machine; a local path with a colon is written ``./a:b``.
    """
    return isinstance(text, str) and _LOGICAL.fullmatch(text) is not None


def locate(
    connection: Connection, place: str | os.PathLike[str], field: str, report: Report | None = None
) -> str:
    """Return the location under which the server finds a place, sending the files first if it must.

    Parameters
    ----------
    connection : Connection
        The server. One on the same machine reads a local folder where it lies.
    place : str or path
        A location on the server, or a folder or file on this machine.
    field : str
        The request's field that it fills, for the error.
    report : callable, optional
        Told how far the sending is.

    Raises
    ------
    Refused
        There is no such folder or file.
    """
    if is_location(place):
        return str(place)
    path = existing(place, field)
    if connection.address.same_machine:
        return str(path)
    return push(connection, path, report=report)


def existing(place: str | os.PathLike[str], field: str) -> Path:
    """Return the absolute path of a folder or file that must be there."""
    path = Path(place).expanduser()
    if not path.exists():
        raise Refused(
            f"{field}: there is no folder or file {str(place)!r}.",
            f"Paths are taken from the present folder, {Path.cwd()}.",
        )
    return path.resolve()


def push(connection: Connection, path: Path, name: str = "", report: Report | None = None) -> str:
    """Send a folder (its files, those in sub-folders too, but no hidden ones) or one file.

    Parameters
    ----------
    connection : Connection
        The server.
    path : Path
        Folder or file.
    name : str, optional
        Name to give it under ``uploads:``. Without one it is named after the content, so that
        sending it again sends only what is not there yet, and gives the same location.
    report : callable, optional
        Told how far it is.

    Returns
    -------
    str
        The location, ``uploads:NAME`` or, of one file, ``uploads:NAME/FILE``.
    """
    files = list(_files(path))
    if not files:
        raise Refused(f"{path} holds no files.", "Name the folder that holds the images.")
    digests = {each.name: _sha256(each.path) for each in files}
    root = UPLOADS + (name or _name_after_content(path, digests))
    there = {each.location: each for each in _entries_with_sha256(connection, root)}
    meter = _Meter("sending", sum(each.size for each in files), report)
    for each in files:
        meter.begin()
        upload = _Upload(connection, f"{root}/{each.name}", each, digests[each.name], meter)
        upload.send(there.get(upload.location))
    return root if path.is_dir() else f"{root}/{files[0].name}"


def entries(
    connection: Connection, location: str, *, with_sha256: bool = False
) -> Iterator[data_pb2.DataEntry]:
    """List the files below a location; nothing where there is no such place."""
    request = data_pb2.ListDataRequest(location=location, with_sha256=with_sha256)
    try:
        yield from connection.listed(connection.data.ListData, request, "entries")
    except NotFound:
        return


def pull(
    connection: Connection, location: str, folder: Path, report: Report | None = None
) -> list[Path]:
    """Fetch the files below a location (or the one file there) into a folder.

    Files of the same name are replaced; each appears only when it is whole.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    NotFound
        The location holds no file.
    TransferFault
        A file arrived damaged, or its name leaves the folder.
    """
    found = [each for each in entries(connection, location) if each.complete]
    if not found:
        raise NotFound(f"There is nothing at {location}.")
    return fetch(connection, [(each, location) for each in found], folder, report)


def fetch(
    connection: Connection,
    found: Sequence[tuple[data_pb2.DataEntry, str]],
    folder: Path,
    report: Report | None = None,
) -> list[Path]:
    """Fetch files, each with the location that stands for the folder; returns and raises as `pull`."""
    meter = _Meter("fetching", sum(entry.size for entry, _ in found), report)
    written = []
    for entry, location in found:
        destination = folder / _relative(entry.location, location)
        _get(connection, entry.location, destination, meter)
        written.append(destination)
    return written


def read(connection: Connection, location: str) -> bytes:
    """Fetch one small file into memory; errors as in `pull`."""
    content = _Content(connection, location)
    return b"".join(content.chunks())


def _files(path: Path) -> Iterator[_File]:
    if path.is_file():
        yield _File(path.name, path, path.stat().st_size)
        return
    for folder, subfolders, names in os.walk(path):
        subfolders[:] = sorted(each for each in subfolders if not each.startswith("."))
        for name in sorted(each for each in names if not each.startswith(".")):
            file = Path(folder, name)
            if file.is_file():
                yield _File(file.relative_to(path).as_posix(), file, file.stat().st_size)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _name_after_content(path: Path, digests: dict[str, str]) -> str:
    whole = hashlib.sha256("\n".join(f"{d} {n}" for n, d in sorted(digests.items())).encode())
    return f"{slug(path.name, _LONGEST_STEM)}-{whole.hexdigest()[:_DIGEST_LETTERS]}"


def _entries_with_sha256(connection: Connection, root: str) -> Iterator[data_pb2.DataEntry]:
    """List what is there with its content's digest, by pages that a server reads in good time."""
    request = data_pb2.ListDataRequest(location=root, with_sha256=True, page_size=_PAGE)
    method = connection.data.ListData
    with suppress(NotFound):
        yield from connection.listed(method, request, "entries", _READING_SECONDS)


class _Upload:
    """One file on its way to the server, sent on from where it was cut."""

    def __init__(
        self, connection: Connection, location: str, file: _File, sha256: str, meter: _Meter
    ) -> None:
        self._connection = connection
        self.location = location
        self._file = file
        self._sha256 = sha256
        self._meter = meter

    def send(self, entry: data_pb2.DataEntry | None) -> None:
        """Send what the server lacks of it; `entry` says what is there."""
        file = self._file
        if not (entry and entry.complete and entry.sha256 == self._sha256):
            self._send_from(_arrived(entry, file))
        self._meter.reach(file.size, file.name)

    def _send_from(self, offset: int) -> None:
        cuts, faults = iter(_PAUSES_SECONDS), iter(_PAUSES_AFTER_FAULTS_SECONDS)
        while True:
            try:
                header = data_pb2.PutDataRequest.Header(
                    location=self.location,
                    size=self._file.size,
                    sha256=self._sha256,
                    offset=offset,
                )
                self._connection.send(self._connection.data.PutData, self._messages(header))
                return
            except (Unreachable, ServerFault) as fault:
                pause = next(cuts if isinstance(fault, Unreachable) else faults, None)
                if pause is None:
                    raise
                time.sleep(pause)
            with suppress(Unreachable):  # still; the next try will tell
                offset = self._offset()

    def _offset(self) -> int:
        """Ask how much has arrived."""
        folder = self.location.rpartition("/")[0]
        known = {each.location: each for each in entries(self._connection, folder)}
        return _arrived(known.get(self.location), self._file)

    def _messages(
        self, header: data_pb2.PutDataRequest.Header
    ) -> Iterator[data_pb2.PutDataRequest]:
        yield data_pb2.PutDataRequest(header=header)
        sent = header.offset
        with self._file.path.open("rb") as content:
            content.seek(sent)
            while chunk := content.read(CHUNK_BYTES):
                yield data_pb2.PutDataRequest(chunk=chunk)
                sent += len(chunk)
                self._meter.reach(sent, self._file.name)


def _arrived(entry: data_pb2.DataEntry | None, file: _File) -> int:
    """Return from which byte on a file is to be sent."""
    unfinished = entry is not None and not entry.complete and entry.size <= file.size
    return entry.size if entry is not None and unfinished else 0


def _relative(location: str, root: str) -> PurePosixPath:
    inside = location.removeprefix(root).lstrip("/") or location.rpartition("/")[2]
    relative = PurePosixPath(inside)
    # The server chooses these names, and one of them must not choose where this user's files go.
    if relative.is_absolute() or ".." in relative.parts or "\\" in inside or ":" in inside:
        raise TransferFault(f"{location} would be written outside the folder; it was not fetched.")
    return relative


class _Content:
    """The bytes of one file on the server, read on from where they were cut."""

    def __init__(self, connection: Connection, location: str) -> None:
        self._connection, self._location = connection, location
        self._offset = 0
        self._size = 0

    def chunks(self) -> Iterator[bytes]:
        pauses = iter(_PAUSES_SECONDS)
        while True:
            try:
                yield from self._once()
                return
            except Unreachable:
                pause = next(pauses, None)
                if pause is None:
                    raise
                time.sleep(pause)

    def _once(self) -> Iterator[bytes]:
        request = data_pb2.GetDataRequest(location=self._location, offset=self._offset)
        digest, said = hashlib.sha256(), ""
        for message in self._connection.stream(self._connection.data.GetData, request):
            part = message.WhichOneof("part")
            if part == "header":
                self._size = message.header.size
            elif part == "chunk":
                digest.update(message.chunk)
                self._offset += len(message.chunk)
                yield message.chunk
            else:
                said = message.sha256
        if self._offset != self._size or said != digest.hexdigest():
            raise TransferFault(
                f"{self._location} did not arrive whole.", "Fetch it again; nothing was kept of it."
            )


def _get(connection: Connection, location: str, destination: Path, meter: _Meter) -> None:
    part = destination.with_name(f".{destination.name}.{os.getpid()}.part")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        meter.begin()
        with part.open("wb") as file:
            for chunk in _Content(connection, location).chunks():
                file.write(chunk)
                meter.reach(file.tell(), destination.name)
        part.replace(destination)
    except OSError as fault:
        raise TransferFault(f"{destination} cannot be written: {fault.strerror}.") from fault
    finally:
        with suppress(OSError):  # not there, or below a file where a folder should be
            part.unlink()

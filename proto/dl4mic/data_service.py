# SPDX-License-Identifier: BSD-3-Clause
"""The DataService, for every server: files in and out by chunks, under `Locations`' confinement."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Iterator, List, Set, Tuple

import grpc

from dl4mic.locations import UPLOADS, Locations, refuse
from dl4mic.pages import page
from dl4mic.server import CHUNK_BYTES, RpcError, is_local, not_found
from dl4mic.v1.data_pb2 import (
    DataEntry,
    DeleteDataRequest,
    DeleteDataResponse,
    GetDataRequest,
    GetDataResponse,
    ListDataRequest,
    ListDataResponse,
    PutDataRequest,
    PutDataResponse,
)
from dl4mic.v1.data_pb2_grpc import DataServiceServicer

LARGEST_FILE = 1 << 40
PARTIAL = ".dl4mic-part"
"""Ending of a file that is not there whole."""


class DataServicer(DataServiceServicer):  # type: ignore[misc]
    """Takes uploads; gives uploads, data roots and what jobs published.

    Parameters
    ----------
    locations
        Where everything lies.
    limit_bytes
        Of one uploaded file.
    reserve_bytes
        What uploads leave free on the disk.
    """

    def __init__(
        self, locations: Locations, limit_bytes: int = LARGEST_FILE, reserve_bytes: int = 0
    ) -> None:
        self._locations = locations
        self._limit_bytes = limit_bytes
        self._reserve_bytes = reserve_bytes
        self._writing: Set[Path] = set()
        self._lock = threading.Lock()

    def PutData(
        self, requests: Iterator[PutDataRequest], context: grpc.ServicerContext
    ) -> PutDataResponse:
        """Write one file; it appears when it is whole."""
        first = next(requests, PutDataRequest())
        if not first.HasField("header"):
            raise refuse("header", "must be the first message")
        header = first.header
        path = self._locations.upload(header.location, "header.location")
        with self._alone(path), _placed(header.location):
            self._check_header(header, path)
            if not _take_over(path, self._uploads(), header):
                _receive(requests, path, header)
        return PutDataResponse(entry=_entry(header.location, path, sha256=header.sha256))

    def GetData(
        self, request: GetDataRequest, context: grpc.ServicerContext
    ) -> Iterator[GetDataResponse]:
        """Send one file."""
        path = self._locations.resolve(request.location, "location", is_local(context))
        if not path.is_file():
            raise not_found("{!r} is no file".format(request.location), "DATA_NOT_FOUND")
        size = path.stat().st_size
        if not 0 <= request.offset <= size:
            raise refuse("offset", "{} is not from 0 to {}".format(request.offset, size))
        yield GetDataResponse(header=GetDataResponse.Header(size=size))
        digest, sent = hashlib.sha256(), request.offset
        with path.open("rb") as file:
            file.seek(request.offset)
            for chunk in iter(lambda: file.read(CHUNK_BYTES), b""):
                digest.update(chunk)
                sent += len(chunk)
                yield GetDataResponse(chunk=chunk)
        if sent != size:
            message = "{!r} was changed while it was sent".format(request.location)
            raise RpcError(grpc.StatusCode.ABORTED, message, "DATA_CHANGED", "Ask for it again.")
        yield GetDataResponse(sha256=digest.hexdigest())

    def ListData(self, request: ListDataRequest, context: grpc.ServicerContext) -> ListDataResponse:
        """List the files below a location."""
        root = self._locations.resolve(request.location, "location", is_local(context))
        if not root.exists() and request.location.rstrip(":/") != "uploads":
            raise not_found("there is nothing at {!r}".format(request.location), "DATA_NOT_FOUND")
        files = _files_below(root, request.location)
        found, token = page(
            files, lambda each: each[0], request.page_size or 1000, request.page_token
        )
        entries = [
            _entry(location, path, sha256_of(path) if request.with_sha256 else "")
            for location, path in found
        ]
        return ListDataResponse(entries=entries, next_page_token=token)

    def DeleteData(
        self, request: DeleteDataRequest, context: grpc.ServicerContext
    ) -> DeleteDataResponse:
        """Delete an uploaded file or folder."""
        path = self._locations.upload(request.location, "location")
        unfinished = path.with_name(path.name + PARTIAL)
        with self._alone(path):
            found = [each for each in (path, unfinished) if each.exists()]
            if not found:
                words = "there is nothing at {!r}".format(request.location)
                raise not_found(words, "DATA_NOT_FOUND")
            deleted = [_delete(each) for each in found]
        return DeleteDataResponse(
            deleted_files=sum(count for count, _ in deleted), freed_bytes=sum(b for _, b in deleted)
        )

    def _uploads(self) -> Path:
        return self._locations.resolve(UPLOADS + ":", "header.location", local=False)

    def _check_header(self, header: PutDataRequest.Header, path: Path) -> None:
        if not 0 <= header.size <= self._limit_bytes:
            words = "{} bytes; one file has at most {}".format(header.size, self._limit_bytes)
            raise refuse("header.size", words)
        if not 0 <= header.offset <= header.size:
            raise refuse("header.offset", "{} is not in the file".format(header.offset))
        if len(header.sha256) != 64 or set(header.sha256) - set("0123456789abcdef"):
            raise refuse("header.sha256", "must be 64 lower-case hexadecimal digits")
        if header.location.endswith(PARTIAL):
            raise refuse("header.location", "must not end with {}".format(PARTIAL))
        if _free_bytes(path) < header.size - header.offset + self._reserve_bytes:
            message = "only {} MiB are free for uploads".format(_free_bytes(path) >> 20)
            hint = "Delete uploads that are not needed any more."
            raise RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, message, "DISK_FULL", hint)

    def is_busy(self, path: Path) -> bool:
        """Say whether a call writes or deletes at an absolute path, or below it."""
        with self._lock:
            return self._is_busy(path)

    def _is_busy(self, path: Path) -> bool:
        return any(
            path == each or path in each.parents or each in path.parents for each in self._writing
        )

    @contextmanager
    def _alone(self, path: Path) -> Iterator[None]:
        """Refuse a second call meanwhile that would write the same part, or delete what this one writes or deletes."""
        with self._lock:
            if self._is_busy(path):
                message = "{} is being uploaded or deleted by another call".format(path.name)
                raise RpcError(grpc.StatusCode.ABORTED, message, "UPLOAD_BUSY", "Try again later.")
            self._writing.add(path)
        try:
            yield
        finally:
            with self._lock:
                self._writing.discard(path)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(CHUNK_BYTES), b""):
            digest.update(block)
    return digest.hexdigest()


def _free_bytes(path: Path) -> int:
    """Say how much more fits where a file is to lie; its folder need not be there yet."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(str(path)).free


@contextmanager
def _placed(location: str) -> Iterator[None]:
    """Put in words why a file cannot lie where it is to."""
    try:
        yield
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        words = "{!r}: a file lies where a folder is needed, or a folder where the file is to lie"
        raise refuse("header.location", words.format(location)) from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise refuse("header.location", "{!r}: the name is too long".format(location)) from None


def _receive(requests: Iterator[PutDataRequest], path: Path, header: PutDataRequest.Header) -> None:
    """Write what comes beside the file's place, hashed as it passes, and put it there when it is whole."""
    partial = path.with_name(path.name + PARTIAL)
    partial.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError
    received = header.offset
    with _append_to(partial, header.offset) as file:
        digest = _digest_of(file, header.offset)
        for request in requests:
            chunk = request.chunk  # each look at it is a copy
            received += len(chunk)
            _check_chunk(chunk, received, header)
            file.write(chunk)
            digest.update(chunk)
    if received < header.size:
        message = "{0} of {1} bytes arrived; go on at offset {0}".format(received, header.size)
        raise RpcError(grpc.StatusCode.DATA_LOSS, message, "UPLOAD_INCOMPLETE")
    if digest.hexdigest() != header.sha256:
        partial.unlink()
        message = "the content of {!r} is not that of its SHA-256".format(header.location)
        raise RpcError(grpc.StatusCode.DATA_LOSS, message, "UPLOAD_DAMAGED", "Send it again.")
    os.replace(str(partial), str(path))


def _take_over(path: Path, uploads: Path, header: PutDataRequest.Header) -> bool:
    """Put the same file there from another upload that has it under the same name, if one has.

    A folder that grew by one image is a new upload, and need not be sent whole again for that. Uploaded files are
    replaced and never changed, so that one file may have two names.
    """
    inside = path.relative_to(uploads).parts[1:]
    if not inside or not uploads.is_dir():
        return False
    known = (other.joinpath(*inside) for other in uploads.iterdir())
    return any(_is(each, header) and _give(each, path) for each in known)


def _is(path: Path, header: PutDataRequest.Header) -> bool:
    there = path.is_file() and not path.is_symlink() and path.stat().st_size == header.size
    return there and sha256_of(path) == header.sha256


def _give(known: Path, path: Path) -> bool:
    """Give a file a further name; say whether this disk can."""
    partial = path.with_name(path.name + PARTIAL)
    path.parent.mkdir(parents=True, exist_ok=True)
    if known != path:
        if partial.exists():
            partial.unlink()
        try:
            os.link(str(known), str(partial))
        except OSError:
            return False
        os.replace(str(partial), str(path))
    return True


def _append_to(partial: Path, offset: int) -> BinaryIO:
    there = partial.stat().st_size if partial.exists() else 0
    if offset > there:
        raise refuse(
            "header.offset", "only {} bytes have arrived so far; begin there".format(there)
        )
    file = partial.open("r+b" if offset else "w+b")
    if offset:  # a file that was cut to nothing is written by ext4 as a whole when it is closed
        file.truncate(offset)
    return file


def _digest_of(file: BinaryIO, count: int) -> Any:
    """Digest the bytes that arrived by an earlier call; the file stands behind them then."""
    digest = hashlib.sha256()
    while count:
        block = file.read(min(count, CHUNK_BYTES))
        digest.update(block)
        count -= len(block)
    file.seek(0, os.SEEK_END)
    return digest


def _check_chunk(chunk: bytes, received: int, header: PutDataRequest.Header) -> None:
    if len(chunk) > CHUNK_BYTES:
        raise refuse("chunk", "{} bytes; a chunk has at most {}".format(len(chunk), CHUNK_BYTES))
    if received > header.size:
        raise refuse("chunk", "more than the {} bytes that the header says".format(header.size))


def _delete(path: Path) -> Tuple[int, int]:
    """Delete a file or folder; return how many files, and their bytes."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    freed = sum(each.stat().st_size for each in files)
    if path.is_dir():
        shutil.rmtree(str(path))
    else:
        path.unlink()
    return len(files), freed


def _files_below(root: Path, location: str) -> List[Tuple[str, Path]]:
    """List (location, path); links that lead out of the root are left out."""
    if root.is_file():
        return [(location, root)]
    base = location if location.endswith((":", "/")) else location + "/"
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return [(base + path.relative_to(root).as_posix(), path) for path in files]


def _entry(location: str, path: Path, sha256: str = "") -> DataEntry:
    status = path.stat()
    complete = not location.endswith(PARTIAL)
    entry = DataEntry(size=status.st_size, sha256=sha256, complete=complete)
    entry.location = location if complete else location[: -len(PARTIAL)]
    entry.modify_time.FromNanoseconds(status.st_mtime_ns)
    return entry

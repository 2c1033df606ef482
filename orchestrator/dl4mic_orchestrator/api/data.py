# SPDX-License-Identifier: BSD-3-Clause
"""Move files between clients and the workspace, and let no path leave its root."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from dl4mic.locations import Locations, refuse
from dl4mic.pages import MOST, page
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

_PARTIAL = ".partial-upload"


class DataApi(DataServiceServicer):
    """The contract's DataService.

    Parameters
    ----------
    uploads
        The one folder that is written to.
    limit_bytes
        Of one file.
    reserve_bytes
        What stays free on the disk.
    """

    def __init__(
        self, locations: Locations, uploads: Path, limit_bytes: int, reserve_bytes: int
    ) -> None:
        self._locations = locations
        self._uploads = uploads
        self._limit_bytes = limit_bytes
        self._reserve_bytes = reserve_bytes
        self._writing: set[Path] = set()
        self._lock = threading.Lock()

    def PutData(
        self, request_iterator: Iterator[PutDataRequest], context: grpc.ServicerContext
    ) -> PutDataResponse:
        """Write one file; what has arrived stays for a later call when the stream breaks."""
        first = next(request_iterator, PutDataRequest())
        if not first.HasField("header"):
            raise refuse("header", "must be the first message")
        header = first.header
        path = self._locations.upload(header.location, "header.location")
        self._check(header)
        with self._alone(path):
            partial = _partial_of(path)
            partial.parent.mkdir(parents=True, exist_ok=True)
            digest = _receive(partial, header, request_iterator)
            if digest != header.sha256:
                partial.unlink()
                words = f"{header.location}: the content that arrived has another SHA-256"
                raise RpcError(grpc.StatusCode.DATA_LOSS, words, "CHECKSUM", "Send it again.")
            partial.replace(path)
        return PutDataResponse(entry=_entry(header.location, path, sha256=digest))

    def GetData(
        self, request: GetDataRequest, context: grpc.ServicerContext
    ) -> Iterator[GetDataResponse]:
        """Send one file."""
        path = self._existing(request.location, local=is_local(context))
        if not path.is_file():
            raise refuse("location", f"{request.location!r} is a folder; list it, get its files")
        size = path.stat().st_size
        if not 0 <= request.offset <= size:
            raise refuse("offset", f"{request.offset} is not within the file's {size} bytes")
        yield GetDataResponse(header=GetDataResponse.Header(size=size))
        digest = hashlib.sha256()
        with path.open("rb") as file:
            file.seek(request.offset)
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                yield GetDataResponse(chunk=chunk)
        yield GetDataResponse(sha256=digest.hexdigest())

    def ListData(self, request: ListDataRequest, context: grpc.ServicerContext) -> ListDataResponse:
        """Answer with the files below a location, by path."""
        folder = self._existing(request.location, local=is_local(context))
        files = list(_files_below(folder))
        size = request.page_size or MOST
        found, token = page(files, lambda path: str(path), size, request.page_token)
        entries = []
        for path in found:
            location = _location_of(request.location, folder, path)
            complete = not path.name.endswith(_PARTIAL)
            digest = _digest(path) if request.with_sha256 and complete else ""
            entries.append(_entry(location, path, digest, complete=complete))
        return ListDataResponse(entries=entries, next_page_token=token)

    def DeleteData(
        self, request: DeleteDataRequest, context: grpc.ServicerContext
    ) -> DeleteDataResponse:
        """Delete a file or folder of the uploads."""
        path = self._locations.upload(request.location, "location")
        if not path.exists():
            raise not_found(f"{request.location!r}: there is nothing", "DATA_NOT_FOUND")
        files = list(_files_below(path))
        freed = sum(each.stat().st_size for each in files)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        return DeleteDataResponse(deleted_files=len(files), freed_bytes=freed)

    def _existing(self, location: str, *, local: bool) -> Path:
        path = self._locations.resolve(location, "location", local)
        if not path.exists():
            raise not_found(f"{location!r}: there is no such file or folder", "DATA_NOT_FOUND")
        return path

    def _check(self, header: PutDataRequest.Header) -> None:
        if header.size < 0 or header.size > self._limit_bytes:
            words = f"{header.size} bytes; one file has at most {self._limit_bytes}"
            raise refuse("header.size", words)
        if len(header.sha256) != 64:
            raise refuse("header.sha256", "must be the 64 hexadecimal digits of a SHA-256")
        free = shutil.disk_usage(self._uploads).free
        if free < header.size - header.offset + self._reserve_bytes:
            message = f"only {free >> 20} MiB are free in the workspace"
            hint = "Delete uploads that are not needed any more."
            raise RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, message, "DISK_FULL", hint)

    @contextmanager
    def _alone(self, path: Path) -> Iterator[None]:
        """Refuse a second upload of the same file meanwhile."""
        with self._lock:
            if path in self._writing:
                message = f"{path.name} is being uploaded by another call"
                raise RpcError(grpc.StatusCode.ABORTED, message, "UPLOAD_BUSY", "Try again later.")
            self._writing.add(path)
        try:
            yield
        finally:
            with self._lock:
                self._writing.discard(path)


def _receive(
    partial: Path, header: PutDataRequest.Header, requests: Iterator[PutDataRequest]
) -> str:
    """Append what arrives; return the SHA-256 of the whole, once it is there."""
    arrived = partial.stat().st_size if partial.exists() else 0
    if not 0 <= header.offset <= arrived:
        raise refuse("header.offset", f"{header.offset}; {arrived} bytes have arrived so far")
    digest = hashlib.sha256()
    with partial.open("r+b" if arrived else "w+b") as file:
        file.truncate(header.offset)
        while block := file.read(CHUNK_BYTES):
            digest.update(block)
        size = header.offset
        for request in requests:
            size += len(request.chunk)
            if size > header.size:
                raise refuse("chunk", f"more than the {header.size} bytes that the header says")
            digest.update(request.chunk)
            file.write(request.chunk)
        file.flush()
        os.fsync(file.fileno())
    if size < header.size:
        message = f"{size} of {header.size} bytes have arrived"
        hint = "Go on with this offset."
        raise RpcError(grpc.StatusCode.ABORTED, message, "UPLOAD_UNFINISHED", hint)
    return digest.hexdigest()


def _partial_of(path: Path) -> Path:
    return path.with_name(f".{path.name}{_PARTIAL}")


def _files_below(folder: Path) -> Iterator[Path]:
    """Iterate over regular files, by path; links are not followed: they might lead out."""
    if folder.is_file():
        yield folder
        return
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent) / name
            if path.is_file() and not path.is_symlink():
                yield path


def _location_of(asked: str, folder: Path, path: Path) -> str:
    if path.name.endswith(_PARTIAL):
        path = path.with_name(path.name[1 : -len(_PARTIAL)])
    inside = path.relative_to(folder).as_posix()
    if inside == ".":
        return asked
    return asked + inside if asked.endswith((":", "/")) else f"{asked}/{inside}"


def _entry(location: str, path: Path, sha256: str = "", *, complete: bool = True) -> DataEntry:
    found = path.stat()
    entry = DataEntry(location=location, size=found.st_size, sha256=sha256, complete=complete)
    entry.modify_time.FromNanoseconds(found.st_mtime_ns)
    return entry


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

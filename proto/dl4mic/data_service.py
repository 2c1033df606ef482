# SPDX-License-Identifier: BSD-3-Clause
"""The DataService, for every server: files in and out by chunks, under `Locations`' confinement."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import BinaryIO, Iterator, List, Tuple

import grpc

from dl4mic.locations import Locations, refuse
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
    """Takes uploads; gives uploads, data roots and what jobs published."""

    def __init__(self, locations: Locations) -> None:
        self._locations = locations

    def PutData(
        self, requests: Iterator[PutDataRequest], context: grpc.ServicerContext
    ) -> PutDataResponse:
        """Write one file; it appears when it is whole."""
        header = next(requests, PutDataRequest()).header
        path = self._locations.upload(header.location, "header.location")
        _check_header(header)
        partial = path.with_name(path.name + PARTIAL)
        partial.parent.mkdir(parents=True, exist_ok=True)
        with _append_to(partial, header.offset) as file:
            _receive(requests, file, header)
        _check_content(partial, header)
        os.replace(str(partial), str(path))
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
        digest = hashlib.sha256()
        with path.open("rb") as file:
            file.seek(request.offset)
            for chunk in iter(lambda: file.read(CHUNK_BYTES), b""):
                digest.update(chunk)
                yield GetDataResponse(chunk=chunk)
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
        if not path.exists():
            raise not_found("there is nothing at {!r}".format(request.location), "DATA_NOT_FOUND")
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        freed = sum(each.stat().st_size for each in files)
        if path.is_dir():
            shutil.rmtree(str(path))
        else:
            path.unlink()
        return DeleteDataResponse(deleted_files=len(files), freed_bytes=freed)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(CHUNK_BYTES), b""):
            digest.update(block)
    return digest.hexdigest()


def _check_header(header: PutDataRequest.Header) -> None:
    if not 0 <= header.size <= LARGEST_FILE:
        raise refuse("header.size", "{} is not from 0 to {}".format(header.size, LARGEST_FILE))
    if len(header.sha256) != 64 or set(header.sha256) - set("0123456789abcdef"):
        raise refuse("header.sha256", "must be 64 lower-case hexadecimal digits")
    if header.location.endswith(PARTIAL):
        raise refuse("header.location", "must not end with {}".format(PARTIAL))


def _append_to(partial: Path, offset: int) -> BinaryIO:
    there = partial.stat().st_size if partial.exists() else 0
    if offset and offset > there:
        raise refuse(
            "header.offset", "only {} bytes have arrived so far; begin there".format(there)
        )
    file = partial.open("r+b" if offset else "wb")
    file.truncate(offset)
    file.seek(offset)
    return file


def _receive(
    requests: Iterator[PutDataRequest], file: BinaryIO, header: PutDataRequest.Header
) -> None:
    received = header.offset
    for request in requests:
        received += len(request.chunk)
        if received > header.size:
            raise refuse("chunk", "more than the {} bytes that the header says".format(header.size))
        file.write(request.chunk)


def _check_content(partial: Path, header: PutDataRequest.Header) -> None:
    size = partial.stat().st_size
    if size < header.size:
        message = "{} of {} bytes arrived; go on at offset {}".format(size, header.size, size)
        raise RpcError(grpc.StatusCode.DATA_LOSS, message, "UPLOAD_INCOMPLETE")
    if sha256_of(partial) != header.sha256:
        partial.unlink()
        message = "the content of {!r} is not that of its SHA-256".format(header.location)
        raise RpcError(grpc.StatusCode.DATA_LOSS, message, "UPLOAD_DAMAGED", "Send it again.")


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

# SPDX-License-Identifier: BSD-3-Clause
"""Move files, within the limits of a server that many use."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from dl4mic.data_service import DataServicer
from dl4mic.locations import Locations, refuse
from dl4mic.server import RpcError
from dl4mic.v1.data_pb2 import PutDataRequest, PutDataResponse


class DataApi(DataServicer):
    """The contract's DataService.

    Parameters
    ----------
    uploads
        The one folder that is written to.
    limit_bytes
        Of one file.
    reserve_bytes
        What stays free on the disk: the store needs it.
    """

    def __init__(
        self, locations: Locations, uploads: Path, limit_bytes: int, reserve_bytes: int
    ) -> None:
        super().__init__(locations)
        self._uploads = uploads
        self._limit_bytes = limit_bytes
        self._reserve_bytes = reserve_bytes
        self._writing: set[Path] = set()
        self._lock = threading.Lock()

    def PutData(
        self, requests: Iterator[PutDataRequest], context: grpc.ServicerContext
    ) -> PutDataResponse:
        """Write one file, if there is room and nobody else is writing it."""
        first = next(requests, PutDataRequest())
        if not first.HasField("header"):
            raise refuse("header", "must be the first message")
        self._check_room(first.header)
        path = self._locations.upload(first.header.location, "header.location")
        with self._alone(path):
            return super().PutData(itertools.chain([first], requests), context)

    def _check_room(self, header: PutDataRequest.Header) -> None:
        if header.size > self._limit_bytes:
            words = f"{header.size} bytes; one file has at most {self._limit_bytes}"
            raise refuse("header.size", words)
        free = shutil.disk_usage(self._uploads).free
        if free < header.size - header.offset + self._reserve_bytes:
            message = f"only {free >> 20} MiB are free in the workspace"
            hint = "Delete uploads that are not needed any more."
            raise RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, message, "DISK_FULL", hint)

    @contextmanager
    def _alone(self, path: Path) -> Iterator[None]:
        """Refuse a second upload of the same file meanwhile: both would write the same part."""
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

# SPDX-License-Identifier: BSD-3-Clause
"""Fetches a model as a ZIP archive."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from dl4mic.v1 import model_pb2
from dl4mic_client.connection import Connection
from dl4mic_client.errors import TransferFault


def fetch(connection: Connection, model: str, destination: Path, format: str = "") -> Path:
    """Fetch a model into a folder under the server's file name, or as the ZIP file that is named.

    Raises
    ------
    TransferFault
        The archive did not arrive whole, of which nothing is kept, or it cannot be written.
    """
    request = model_pb2.ExportModelRequest(model=model, format=format)
    messages = connection.stream(connection.models.ExportModel, request)
    first = next(messages, None)
    if first is None or first.WhichOneof("part") != "file_name":
        raise TransferFault(f"The server sent no archive of {model}.")
    archive = destination
    if destination.suffix.lower() != ".zip":
        archive = destination / PurePosixPath(first.file_name).name
    _write(archive, messages)
    return archive


def _write(archive: Path, messages: Iterator[model_pb2.ExportModelResponse]) -> None:
    part = archive.with_name(f".{archive.name}.{os.getpid()}.part")
    digest, said = hashlib.sha256(), ""
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            for message in messages:
                digest.update(message.chunk)
                file.write(message.chunk)
                said = message.sha256 or said
        if said != digest.hexdigest():
            raise TransferFault(f"{archive.name} did not arrive whole.", "Export it again.")
        part.replace(archive)
    except OSError as fault:
        raise TransferFault(f"{archive} cannot be written: {fault.strerror}.") from fault
    finally:
        with suppress(OSError):  # not there, or below a file where a folder should be
            part.unlink()

# SPDX-License-Identifier: BSD-3-Clause
"""How answers look: aligned tables and plain sentences for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from dl4mic_client.errors import ClientError, JobEnded, Refused

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp

_GAP = "  "


def plain(message: Message) -> dict[str, Any]:
    """Return a message of the contract as JSON values, with the contract's field names."""
    from google.protobuf.json_format import MessageToDict

    return dict(MessageToDict(message, preserving_proto_field_name=True))


def document(value: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def line(value: Any) -> None:
    """Print one line of JSON."""
    click.echo(json.dumps(value, ensure_ascii=False))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows below their heads, the columns aligned; nothing where there are no rows."""
    listed = [list(row) for row in rows]
    if not listed:
        return
    widths = [max(map(len, column)) for column in zip(heads, *listed, strict=True)]
    for row in [list(heads), *listed]:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(_GAP.join(cells).rstrip())


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and values, aligned; pairs without a value are left out."""
    listed = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in listed), default=0)
    for name, value in listed:
        click.echo(f"  {name.ljust(width)}{_GAP}{value}")


def when(time: Timestamp) -> str:
    """Write a time in this machine's zone: "2026-01-31 14:05"; empty where it is not set."""
    if not time.seconds:
        return ""
    from datetime import UTC

    return f"{time.ToDatetime(tzinfo=UTC).astimezone():%Y-%m-%d %H:%M}"


def error(fault: ClientError, *, as_json: bool) -> None:
    """Print an error: to standard error, or as the JSON document that the caller waits for."""
    if as_json:
        document(plain_error(fault))
        return
    click.echo(f"dl4mic: {fault.message}", err=True)
    if isinstance(fault, JobEnded):
        _files_at_fault(fault)
    if fault.hint:
        click.echo(fault.hint, err=True)


def _files_at_fault(fault: JobEnded) -> None:
    files = fault.record.error.files
    for each in files:
        click.echo(f"  {each.path}: {each.message}", err=True)
    more = fault.record.error.file_count - len(files)
    if more > 0:
        click.echo(f"  and {more} more", err=True)


def plain_error(fault: ClientError) -> dict[str, Any]:
    """Return an error as JSON values."""
    described: dict[str, Any] = {
        "kind": type(fault).__name__,
        "message": fault.message,
        "hint": fault.hint,
    }
    if isinstance(fault, Refused):
        described["reason"] = fault.reason
        described["fields"] = [
            {"field": each.field, "description": each.description} for each in fault.faults
        ]
    if isinstance(fault, JobEnded):
        described["job"] = plain(fault.record)
    return {"error": described}

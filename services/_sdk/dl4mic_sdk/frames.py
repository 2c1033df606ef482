# SPDX-License-Identifier: BSD-3-Clause
"""Length-prefixed frames between host and warm worker: a line of JSON values and a block of bytes."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any, Dict, Mapping, Tuple

BEAT = {"beat": True}
"""Values of a frame that says no more than that the worker lives."""

_LENGTHS = struct.Struct("<IQ")


def send_frame(connection: socket.socket, values: Mapping[str, Any], content: bytes = b"") -> None:
    """Send one frame.

    Raises
    ------
    OSError
        The other side is gone.
    """
    head = json.dumps(values).encode("utf-8")
    connection.sendall(_LENGTHS.pack(len(head), len(content)) + head)
    connection.sendall(content)


def receive_frame(connection: socket.socket) -> Tuple[Dict[str, Any], bytes]:
    """Wait for one frame.

    Raises
    ------
    EOFError
        The other side is gone.
    """
    head_bytes, content_bytes = _LENGTHS.unpack(_receive(connection, _LENGTHS.size))
    values: Dict[str, Any] = json.loads(_receive(connection, head_bytes).decode("utf-8"))
    return values, _receive(connection, content_bytes)


def _receive(connection: socket.socket, count: int) -> bytes:
    content = bytearray(count)
    view = memoryview(content)
    while view:
        received = connection.recv_into(view)
        if not received:
            raise EOFError("the connection was closed")
        view = view[received:]
    return bytes(content)

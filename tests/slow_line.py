# SPDX-License-Identifier: BSD-3-Clause
"""A line to a server on which the first answer takes its time, as across a network, or on a machine that is busy."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_PIECE = 65536


@contextmanager
def slow_line(port: int, seconds: float) -> Iterator[int]:
    """Give a port of this machine that leads to another one."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        work = (listening, port, seconds)
        threading.Thread(target=_accept, args=work, daemon=True).start()
        yield int(listening.getsockname()[1])


def _accept(listening: socket.socket, port: int, seconds: float) -> None:
    while True:
        try:
            near, _ = listening.accept()
            far = socket.create_connection(("127.0.0.1", port))
        except OSError:
            return  # it was closed, or the server is
        for work in ((near, far, 0.0), (far, near, seconds)):
            threading.Thread(target=_carry, args=work, daemon=True).start()


def _carry(source: socket.socket, target: socket.socket, seconds: float) -> None:
    try:
        piece = source.recv(_PIECE)
        time.sleep(seconds)
        while piece:
            target.sendall(piece)
            piece = source.recv(_PIECE)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return  # one of the ends has hung up

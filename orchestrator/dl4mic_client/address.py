# SPDX-License-Identifier: BSD-3-Clause
"""Where a server listens, and whether it shares this machine's files."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from dl4mic_client.errors import Refused

_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_HIGHEST_PORT = 65535


@dataclass(frozen=True)
class Address:
    """Where a server listens.

    Attributes
    ----------
    target : str
        What gRPC dials, and what people write: ``"unix:///path"`` or ``"HOST:PORT"``.
    same_machine : bool
        The server is reached by its Unix socket, so it runs on this machine and reads this
        user's files where they lie.
    """

    target: str
    same_machine: bool

    @property
    def loopback(self) -> bool:
        """Whether what is sent there stays on this machine."""
        host = self.target.rpartition(":")[0].strip("[]")
        try:
            return self.same_machine or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def __str__(self) -> str:
        return self.target


def parse(text: str) -> Address:
    """Read an address.

    Parameters
    ----------
    text : str
        ``"unix:///path/of/socket"`` or ``"HOST:PORT"``.

    Raises
    ------
    Refused
        The text is neither.
    """
    if text.startswith("unix:"):
        return of_socket("/" + text.removeprefix("unix:").lstrip("/"))
    match = _HOST_AND_PORT.fullmatch(text)
    if match and 0 < int(match[2]) <= _HIGHEST_PORT:
        return Address(text, same_machine=False)
    raise Refused(
        f"{text!r} is not the address of a server.",
        "Write HOST:PORT, e.g. localhost:50051, or unix:///path/of/socket.",
    )


def of_socket(path: str) -> Address:
    """Return the address of the server on a Unix socket."""
    return Address(f"unix://{path}", same_machine=True)

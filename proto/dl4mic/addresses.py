# SPDX-License-Identifier: BSD-3-Clause
"""What an address of a server says, and why one cannot be listened on: gRPC does not tell."""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import Optional

UNIX = "unix://"

_LONGEST_SOCKET = 107
"""Bytes of a socket's path, unix(7)."""

_LAST_PORT = 65535

_WHY = {
    errno.EADDRINUSE: "another program listens there; end it, or name another address by {}",
    errno.EADDRNOTAVAIL: "this machine has no such address; name one of its own by {}",
    errno.EACCES: "this user may not; name a port above 1023 by {}",
}


def socket_path(address: str) -> str:
    """Path of a Unix-socket address; empty for another."""
    return address[len(UNIX) :] if address.startswith(UNIX) else ""


def check_address(address: str, flag: str = "--listen") -> None:
    """Look whether an address is free, before anything is begun that a living server on it would suffer from.

    Parameters
    ----------
    address
        ``unix:///path/to/socket`` or ``HOST:PORT``.
    flag
        What the user gave it by.

    Raises
    ------
    OSError
        It cannot be listened on; the message says why, and what to do.
    """
    path = socket_path(address)
    fault = _socket_fault(path) if path else _port_fault(address)
    if fault:
        raise OSError("cannot listen on {}: {}".format(address, fault.format(flag)))


def _socket_fault(path: str) -> str:
    if len(os.fsencode(path)) > _LONGEST_SOCKET:
        return "the path of a socket has at most 107 bytes; name a shorter one by {}"
    if not os.path.lexists(path):
        return ""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        return "there is something else, which is not deleted; name another path by {}"
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(1.0)
        try:
            one.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return ""  # a server that was killed left it
        except OSError as error:
            return _why(error)
    return _WHY[errno.EADDRINUSE]


def _port_fault(address: str) -> str:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return "expected HOST:PORT; name it by {}"
    if int(port) > _LAST_PORT:
        return "ports go from 0 to 65535; name another one by {}"
    try:
        found = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError:
        return "the host is unknown; name one of this machine's addresses by {}"
    faults = [_bind_fault(family, place) for family, _, _, _, place in found]
    # Of a name with several addresses, others would reach another program on one that is taken. One that this machine
    # does not have is no harm: localhost often has an address of IPv6 where there is no IPv6.
    bad = [each for each in faults if each is not None]
    taken = [each for each in bad if each.errno == errno.EADDRINUSE]
    return _why((taken or bad)[0]) if taken or len(bad) == len(faults) else ""


def _bind_fault(family: int, place: object) -> Optional[OSError]:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(place)  # type: ignore[arg-type]
    except OSError as error:
        return (
            error if error.errno in _WHY else None
        )  # the kinds of addresses that there are, gRPC knows
    return None


def _why(error: OSError) -> str:
    return _WHY.get(error.errno or 0, "{}; name another address by {{}}".format(error.strerror))

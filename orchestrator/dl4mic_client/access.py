# SPDX-License-Identifier: BSD-3-Clause
"""What a server asks of its callers, and they of it: a token, and a certificate that somebody vouches for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from dl4mic.bearer import showing
from dl4mic_client.address import Address
from dl4mic_client.errors import Refused

SYSTEM = "system"
"""Stands for the authorities that this installation of gRPC knows, instead of a file of one's own."""

Options = Sequence[tuple[str, str | int]]


@dataclass(frozen=True)
class Access:
    """How to come in.

    Attributes
    ----------
    token : str
        Says who calls; empty for none.
    tls : bool
        The server speaks TLS.
    authorities : bytes or None
        Certificates in PEM form, of which one must vouch for the server's; None for those that gRPC knows.
    name : str
        Whom the server's certificate names, where that is not the address, as behind a forwarded port.
    """

    token: str = field(default="", repr=False)
    tls: bool = False
    authorities: bytes | None = None
    name: str = ""

    @classmethod
    def of_environment(cls) -> Access:
        """Read DL4MIC_TOKEN or DL4MIC_TOKEN_FILE, DL4MIC_CA and DL4MIC_TLS_NAME.

        Raises
        ------
        Refused
            A file that they name cannot be read.
        """
        file, ca = os.environ.get("DL4MIC_TOKEN_FILE", ""), os.environ.get("DL4MIC_CA", "")
        token = os.environ.get("DL4MIC_TOKEN", "")
        if not token and file:
            token = _read("DL4MIC_TOKEN_FILE", file).decode("utf-8", "replace")
        authorities = _read("DL4MIC_CA", ca) if ca not in ("", SYSTEM) else None
        name = os.environ.get("DL4MIC_TLS_NAME", "")
        return cls(token.strip(), bool(ca), authorities, name)

    def open(self, address: Address, options: Options) -> grpc.Channel:
        """Open a channel; a server on the user's own Unix socket asks for nothing.

        Raises
        ------
        Refused
            The token would go over the net for everybody to read.
        """
        if address.same_machine:
            return grpc.insecure_channel(address.target, options=options)
        if self.tls:
            named = [("grpc.ssl_target_name_override", self.name)] if self.name else []
            credentials = grpc.ssl_channel_credentials(self.authorities)
            channel = grpc.secure_channel(address.target, credentials, options=[*options, *named])
        elif self.token and not address.loopback:
            raise Refused(
                f"The token would go to {address} unencrypted.",
                "Set DL4MIC_CA to the file with the certificate of the server's authority "
                f"(or to {SYSTEM}), or leave DL4MIC_TOKEN out.",
            )
        else:
            channel = grpc.insecure_channel(address.target, options=options)
        return showing(channel, self.token)


def _read(variable: str, file: str) -> bytes:
    try:
        return Path(file).expanduser().read_bytes()
    except OSError as error:
        raise Refused(
            f"{variable} names {file}, which cannot be read: {error.strerror}.",
            "Name the file that the server's administrator gave you.",
        ) from error

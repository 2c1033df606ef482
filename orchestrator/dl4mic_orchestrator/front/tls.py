# SPDX-License-Identifier: BSD-3-Clause
"""Own the server's certificate: it is read again when its files have changed, so that a renewal needs no restart."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Any

import grpc

Stamp = tuple[int, int, int]
"""What tells a file from the one that was there before: time of its last change, number, size."""

log = logging.getLogger(__name__)


def stamp_of(path: Path) -> Stamp:
    """Tell whether a file is still the same, without reading it; raise OSError when it is gone."""
    status = path.stat()
    return status.st_mtime_ns, status.st_ino, status.st_size


class Certificate:
    """A certificate and its key.

    Parameters
    ----------
    certificate, key
        Files in PEM form: the chain, the server's own first; and the private key without a password.

    Raises
    ------
    ValueError
        They cannot be read, or do not belong together.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._stamps = self._now()
        self._newest = self._read()

    def credentials(self) -> grpc.ServerCredentials:
        """Give what gRPC serves with."""
        return grpc.dynamic_ssl_server_credentials(self._newest, self._renewed)

    def _renewed(self) -> Any:
        """Give the certificate for a new connection; None while it is the same, or the new one is not whole yet."""
        try:
            stamps = self._now()
            if stamps == self._stamps:
                return None
            self._newest = self._read()
        except ValueError as error:
            log.error("the certificate stays the one from before: %s", error)
            return None
        self._stamps = stamps
        log.info("the certificate was read again")
        return self._newest

    def _now(self) -> tuple[Stamp, ...]:
        try:
            return tuple(stamp_of(path) for path in self._files)
        except OSError as error:
            raise ValueError(f"{error.filename} cannot be read: {error.strerror}") from error

    def _read(self) -> grpc.ServerCertificateConfiguration:
        certificate, key = self._files
        try:
            # gRPC says nothing about what it cannot use, and refuses every connection.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, _no_password)
            pairs = [(key.read_bytes(), certificate.read_bytes())]
        except (OSError, ValueError) as error:
            words = f"{certificate} and {key} are no certificate and its key, both in PEM form"
            raise ValueError(f"{words}: {error}") from error
        return grpc.ssl_server_certificate_configuration(pairs)


def _no_password() -> str:
    """Keep OpenSSL from asking at the terminal."""
    raise ValueError("the key has a password, which a server cannot be asked for")

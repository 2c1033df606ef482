# SPDX-License-Identifier: BSD-3-Clause
"""Certificates for tests of TLS, made by the openssl of this machine."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Pair:
    """A certificate that vouches for itself, and its key."""

    certificate: Path
    key: Path


def make(folder: Path, name: str = "localhost") -> Pair:
    """Make a certificate that names a host."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here to make certificates with; on Debian: apt-get install openssl")
    folder.mkdir(parents=True, exist_ok=True)
    pair = Pair(folder / "tls.crt", folder / "tls.key")
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += [
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={name}",
        "-addext",
        f"subjectAltName=DNS:{name}",
    ]
    command += ["-keyout", str(pair.key), "-out", str(pair.certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return pair

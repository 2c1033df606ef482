# SPDX-License-Identifier: BSD-3-Clause
"""Other programs that read what the service writes, each in an environment of its own (``peers/NAME-PYTHON``)."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

_FOLDER = Path(__file__).with_name("peers")


def run(name: str, script: str, *arguments: object) -> str:
    """Run a script of a peer; return what it prints. `make test` makes the environments and names their Pythons."""
    variable = f"PEER_{name.upper()}"
    if not os.environ.get(variable):
        pytest.skip(
            f"{variable} names no Python: {os.environ.get(variable + '_MISSING', 'make test makes it')}"
        )
    (folder,) = _FOLDER.glob(f"{name}-*")
    command = [os.environ[variable], str(folder / script), *map(str, arguments)]
    own = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "TF_"))}
    with tempfile.TemporaryDirectory() as scratch:  # some unpack what they read where they stand
        done = subprocess.run(
            command, capture_output=True, text=True, env=own, cwd=scratch, check=False
        )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def assert_valid_package(package: Path) -> None:
    """Let BioImage.IO's own library validate a package and run its test, which compares with the test output."""
    summary = json.loads(run("bioimageio", "validate.py", package))
    faults = [each for each in summary["details"] if each["status"] == "failed"]
    assert (summary["status"], faults) == ("passed", [])
    assert summary["format_version"].startswith("0.5")

# SPDX-License-Identifier: BSD-3-Clause
"""Environments that tests run in: a service's lock, pytest, and the sources of SDK and contract by PYTHONPATH."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from packaging.requirements import Requirement

from dl4mic_orchestrator.environments import pip_settings
from dl4mic_orchestrator.interpreters import find_python

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "test-python"
OWN_LOCK = ROOT / "tests" / "requirements.txt"


class MissingPython(Exception):
    """This machine has no interpreter of the version."""


def interpreter(version: str) -> str:
    """Find a Python of a version.

    Raises
    ------
    MissingPython
        There is none.
    """
    python = find_python((version,), os.environ)
    if python == version:
        raise MissingPython(
            f"no Python {version} on this machine (looked at the PATH and at pyenv's versions)"
        )
    return python


def make(lock: Path, version: str) -> Path:
    """Return the interpreter of an environment with a lock and pytest, made on first use."""
    found = interpreter(version)
    digest = hashlib.sha256(lock.read_bytes() + OWN_LOCK.read_bytes() + found.encode()).hexdigest()[
        :16
    ]
    folder = FOLDER / f"{version}-{digest}"
    python = folder / "bin" / "python"
    marker = folder / "complete"
    with _alone(folder):
        if marker.exists():
            return python
        _uv("venv", "--clear", "--python", found, str(folder))
        own = without_packages_of(OWN_LOCK.read_text(), lock.read_text(), version)
        (folder / "own.txt").write_text(own)
        _uv(
            "pip",
            "sync",
            "--python",
            str(python),
            "--require-hashes",
            str(lock),
            str(folder / "own.txt"),
        )
        marker.touch()
    return python


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a lock beside a folder: several parts of the tests want the same environment at once."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def without_packages_of(lock: str, other: str, version: str) -> str:
    """Leave out of a lock what another one has for this Python: the service's pins win."""
    names = {
        each.name for each in map(Requirement, _PINS.findall(other)) if _applies(each, version)
    }
    blocks = re.split(r"^(?=[a-z0-9._-]+==)", lock, flags=re.MULTILINE)
    return "".join(each for each in blocks if each.partition("==")[0] not in names)


_PINS = re.compile(r"^[a-z0-9._-]+==[^\\\n]+", re.MULTILINE)


def _applies(requirement: Requirement, version: str) -> bool:
    of_version = {"python_version": version, "python_full_version": version + ".99"}
    return requirement.marker is None or requirement.marker.evaluate(of_version)


def source_path() -> str:
    """PYTHONPATH for an environment that holds the packages of others only."""
    return os.pathsep.join([str(ROOT / "proto"), str(ROOT / "services" / "_sdk")])


def run(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a Python of `make` with the sources on its path; its output goes where ours goes."""
    environment = dict(os.environ, PYTHONPATH=source_path())
    return subprocess.run(
        [str(python), *arguments], cwd=ROOT, env=environment, text=True, check=False
    )


def _uv(*arguments: str) -> None:
    environment = {**os.environ, **pip_settings(os.environ)}
    subprocess.run([sys.executable, "-m", "uv", "-q", *arguments], env=environment, check=True)

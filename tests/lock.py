# SPDX-License-Identifier: BSD-3-Clause
"""Resolves every lock of the project anew: ``make lock``. Locks carry hashes and neither hosts nor paths."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dl4mic.manifest import read_service

ROOT = Path(__file__).resolve().parents[1]
LOWEST_PYTHON = {
    "requirements.in": "3.11",
    "orchestrator/requirements.in": "3.11",
    "proto/requirements.in": "3.11",
    "services/_sdk/requirements.in": "3.7",
    "tests/requirements.in": "3.7",
}


def lock(source: Path, lowest_python: str) -> None:
    """Write the lock beside a list of requirements."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--upgrade", "--universal"]
    command += [
        "--python-version",
        lowest_python,
        "--generate-hashes",
        "--no-header",
        "--no-emit-index-url",
    ]
    command += [
        "--no-emit-find-links",
        source.name,
        "--output-file",
        source.with_suffix(".txt").name,
    ]
    overrides = source.with_name(source.name.replace("requirements", "overrides")).with_suffix(
        ".txt"
    )
    if overrides.exists():
        command += ["--override", overrides.name]
    print(source.relative_to(ROOT))
    subprocess.run(command, cwd=source.parent, check=True)


def main() -> None:
    for name, python in LOWEST_PYTHON.items():
        if (ROOT / name).exists():
            lock(ROOT / name, python)
    for manifest in [
        *ROOT.glob("services/*/service.yaml"),
        *ROOT.glob("tests/fakes/*/service.yaml"),
    ]:
        for source in sorted(manifest.parent.glob("requirements*.in")):
            lock(source, read_service(manifest.parent).python_versions[0])
    for source in sorted(ROOT.glob("tests/services/peers/*/requirements.in")):
        lock(source, source.parent.name.rpartition("-")[2])


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: BSD-3-Clause
"""Generates the stubs beside the .proto files: ``python proto/generate.py [FOLDER]``.

One generator, pinned: stubs of grpcio-tools 1.62.3 run under protobuf 3.20.3 (TensorFlow 1.15, Python 3.7) up to the
newest; those of later generators do not. It lives in an environment of its own below `build/`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROTO = Path(__file__).resolve().parent
LOCK = PROTO / "requirements.txt"
ENVIRONMENT = PROTO.parent / "build" / "stub-tools"
PYTHONS = ">=3.9,<3.13"
"""Those that grpcio-tools 1.62.3 has wheels for."""


def make_environment() -> Path:
    """Return the folder of the generator's programs, made on first use.

    Raises
    ------
    subprocess.CalledProcessError
        It cannot be made here, e.g. for want of a fitting Python.
    """
    marker = ENVIRONMENT / "lock.txt"
    if not marker.exists() or marker.read_bytes() != LOCK.read_bytes():
        uv = [sys.executable, "-m", "uv"]
        subprocess.run(
            [*uv, "venv", "-q", "--clear", "--python", PYTHONS, str(ENVIRONMENT)], check=True
        )
        python = str(ENVIRONMENT / "bin" / "python")
        sync = [*uv, "pip", "sync", "-q", "--python", python, "--require-hashes", str(LOCK)]
        subprocess.run(sync, check=True)
        marker.write_bytes(LOCK.read_bytes())
    return ENVIRONMENT / "bin"


def generate(target: Path) -> None:
    """Write all stubs below a folder."""
    programs = make_environment()
    files = sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("dl4mic/v1/*.proto"))
    outputs = ["python_out", "pyi_out", "grpc_python_out"]
    command = [str(programs / "python"), "-m", "grpc_tools.protoc", "-I."]
    command += ["--{}={}".format(output, target) for output in outputs]
    command += [
        "--plugin=protoc-gen-mypy_grpc={}".format(programs / "protoc-gen-mypy_grpc"),
        "--mypy_grpc_out=quiet:{}".format(target),
    ]
    subprocess.run([*command, *files], cwd=str(PROTO), check=True)


if __name__ == "__main__":
    generate(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else PROTO)

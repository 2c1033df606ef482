# SPDX-License-Identifier: BSD-3-Clause
"""The contract's files: lint, stubs equal to regenerated ones, and the frozen descriptor."""

from __future__ import annotations

import filecmp
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto"
BUF = Path(sys.executable).with_name("buf")


def test_buf_finds_nothing_to_lint() -> None:
    subprocess.run([str(BUF), "lint"], cwd=PROTO, check=True)


def test_buf_would_not_format_anything() -> None:
    done = subprocess.run(
        [str(BUF), "format", "-d", "--exit-code"], cwd=PROTO, stdout=subprocess.PIPE, text=True
    )
    assert done.returncode == 0, done.stdout


def test_nothing_breaks_the_frozen_descriptor() -> None:
    command = [str(BUF), "breaking", "--against", "contract.txtpb"]
    done = subprocess.run(command, cwd=PROTO, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout


def test_the_committed_stubs_are_what_the_generator_writes(tmp_path: Path) -> None:
    generator = [sys.executable, str(PROTO / "generate.py"), str(tmp_path)]
    done = subprocess.run(generator, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode and "No interpreter found" in done.stdout and not os.environ.get("CI"):
        pytest.skip("no Python that the stub generator runs on: " + done.stdout.strip())
    assert done.returncode == 0, done.stdout
    made = sorted(path.name for path in (tmp_path / "dl4mic" / "v1").iterdir())
    committed = sorted(path.name for path in (PROTO / "dl4mic" / "v1").glob("*_pb2*"))
    assert made == committed
    _, differing, missing = filecmp.cmpfiles(
        tmp_path / "dl4mic" / "v1", PROTO / "dl4mic" / "v1", made, shallow=False
    )
    assert not differing and not missing, "run 'make stubs': {}".format(differing + missing)

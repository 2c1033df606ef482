# SPDX-License-Identifier: BSD-3-Clause
"""The lock for machines with a GPU brings what the framework was built for."""

from __future__ import annotations

from pathlib import Path

from cuda_lock import assert_brings_what_the_framework_asks_for


def test_the_lock_with_cuda_agrees_with_the_framework_s_own_table() -> None:
    lock = Path(__file__).resolve().parents[1] / "requirements-gpu.txt"
    assert_brings_what_the_framework_asks_for(lock)

# SPDX-License-Identifier: BSD-3-Clause
"""A backend over a scripted cluster, made anew for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from .stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)

# SPDX-License-Identifier: BSD-3-Clause
"""One small model of each network, trained once and shared by the tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from jobs import Job, make_training, quick  # noqa: E402


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A 2D model, trained for half of what the preset `quick` says."""
    folder = tmp_path_factory.mktemp("trained")
    return make_training(folder, "stardist2d", given=quick("stardist2d", epochs=6)).run()


@pytest.fixture(scope="session")
def trained_3d(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A 3D model, trained until it finds something."""
    folder = tmp_path_factory.mktemp("trained_3d")
    given = quick("stardist3d", epochs=5, validation_fraction=0.34)
    return make_training(folder, "stardist3d", given=given).run()

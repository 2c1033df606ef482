# SPDX-License-Identifier: BSD-3-Clause
"""One small model of each network, trained once and shared by the tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from jobs import Job, make_training, quick, scored  # noqa: E402


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A 2D model of the preset `quick`."""
    return make_training(tmp_path_factory.mktemp("trained"), "care2d", given=quick("care2d")).run()


@pytest.fixture(scope="session")
def unsure(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A probabilistic 2D model."""
    folder = tmp_path_factory.mktemp("unsure")
    return make_training(folder, "care2d", given=quick("care2d", probabilistic=True)).run()


@pytest.fixture(scope="session")
def trained_3d(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A 3D model of the preset `quick`."""
    folder = tmp_path_factory.mktemp("trained_3d")
    return make_training(folder, "care3d", given=quick("care3d")).run()


@pytest.fixture(scope="session")
def unsure_scored(unsure: Job, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Quality control of the probabilistic model."""
    return scored(tmp_path_factory.mktemp("unsure_scored"), unsure)

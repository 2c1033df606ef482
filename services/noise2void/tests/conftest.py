# SPDX-License-Identifier: BSD-3-Clause
"""One small model of each network, trained once and shared by the tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from jobs import Job, make_training, quick  # noqa: E402

SMALL = {"unet_n_first": 16, "steps_per_epoch": 40}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A 2D model, trained on one noisy image with half of the filters of the preset `quick`."""
    folder = tmp_path_factory.mktemp("trained")
    return make_training(folder, "n2v2d", given=quick("n2v2d", **SMALL)).run()


@pytest.fixture(scope="session")
def trained_3d(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A 3D model, trained on one noisy stack with a quarter of the filters."""
    folder = tmp_path_factory.mktemp("trained_3d")
    return make_training(
        folder, "n2v3d", given=quick("n2v3d", **{**SMALL, "unet_n_first": 8})
    ).run()

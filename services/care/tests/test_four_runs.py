# SPDX-License-Identifier: BSD-3-Clause
"""What the notebooks' authors demand of a release."""

from __future__ import annotations

from pathlib import Path

import four_runs
import pytest
from jobs import SERVICE, Job


@pytest.mark.parametrize("model", ["trained", "trained_3d"])
@four_runs.of_each
def test_the_four_runs(
    run: four_runs.Run, model: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    shared: Job = request.getfixturevalue(model)
    run(SERVICE, tmp_path, shared)

# SPDX-License-Identifier: BSD-3-Clause
"""What the notebooks' authors demand of a release; of images the page of the service does three of the runs already."""

from __future__ import annotations

from pathlib import Path

import four_runs
from jobs import SERVICE, Job


@four_runs.of_each
def test_the_four_runs_of_stacks(run: four_runs.Run, trained_3d: Job, tmp_path: Path) -> None:
    run(SERVICE, tmp_path, trained_3d)


def test_a_model_of_images_is_trained_further(trained: Job, tmp_path: Path) -> None:
    four_runs.train_augmented_from_a_model_then_score_and_predict(SERVICE, tmp_path, trained)

# SPDX-License-Identifier: BSD-3-Clause
"""Quality control of a model, against the truth where it is known and without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jobs import EXAMPLE, Job, make, reference

TEST = EXAMPLE / "n2v2d" / "test"
PSNR, PSNR_OF_SOURCE = "restoration.standard.psnr/1", "restoration.standard.psnr.source/1"
NOISE_REMOVED, LEFT = "restoration.noise_removed/1", "restoration.residual_correlation/1"


def scored(folder: Path, model: Job, **options: Any) -> dict[str, Any]:
    models = [reference(model)]
    job = make(folder, "qc", "n2v2d", TEST / "source", models=models, **options).run()
    assert (job.folder / "artifacts" / "report.pdf").exists()
    found: dict[str, Any] = json.loads((job.folder / "artifacts" / "qc.json").read_text())
    return found


def test_against_the_truth_the_model_is_better_than_its_source(
    trained: Job, tmp_path: Path
) -> None:
    found = scored(tmp_path, trained, target=TEST / "target")
    (model,) = found["models"]
    assert model["pooled"][PSNR] >= model["pooled"][PSNR_OF_SOURCE] + 5


def test_without_the_truth_it_is_said_what_was_left_out(trained: Job, tmp_path: Path) -> None:
    found = scored(tmp_path, trained)
    (model,) = found["models"]
    assert model["pooled"][NOISE_REMOVED] > 0.7
    assert abs(model["pooled"][LEFT]) < 0.1  # what was taken away looks like noise

# SPDX-License-Identifier: BSD-3-Clause
"""Quality control of a model, against the truth where it is known and without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jobs import Job, declared_for, left_by, scored

PSNR, PSNR_OF_SOURCE = "restoration.standard.psnr/1", "restoration.standard.psnr.source/1"
NOISE_REMOVED, LEFT = "restoration.noise_removed/1", "restoration.residual_correlation/1"


def result_of(job: Job) -> Any:
    return json.loads((job.artifacts / "qc.json").read_text())


def test_against_the_truth_the_model_is_better_than_its_source(
    trained: Job, tmp_path: Path
) -> None:
    result = result_of(scored(tmp_path, trained))
    assert result["pooled"][PSNR] >= result["pooled"][PSNR_OF_SOURCE] + 5
    assert "QC_WORSE_THAN_SOURCE" not in {each["code"] for each in result["warnings"]}
    (said,) = result["left_out"]
    assert "a Gaussian and a median filter" in said and "it was trained without targets" in said


def test_without_the_truth_it_is_said_what_was_left_out(trained: Job, tmp_path: Path) -> None:
    job = scored(tmp_path, trained, target=None)
    pooled = result_of(job)["pooled"]
    assert pooled[NOISE_REMOVED] > 0.7
    assert abs(pooled[LEFT]) < 0.1  # what was taken away looks like noise
    assert "no target was given" in (job.artifacts / "qc.json").read_text()


def test_jobs_leave_what_the_manifest_declares(trained_3d: Job, tmp_path: Path) -> None:
    """What it does not declare is announced to nobody."""
    job = scored(tmp_path, trained_3d)
    for each in (trained_3d, job):
        announced = {event["path"] for event in each.events("artifact")}
        assert left_by(each) == announced == declared_for(each)

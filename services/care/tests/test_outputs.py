# SPDX-License-Identifier: BSD-3-Clause
"""Jobs leave what the manifest declares and nothing else: what it does not declare is announced to nobody."""

from __future__ import annotations

import csv

import pytest
from jobs import Job, declared_for, left_by, scored


@pytest.fixture(scope="module")
def stacks(trained_3d: Job, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Quality control of the 3D model."""
    return scored(tmp_path_factory.mktemp("stacks"), trained_3d)


def test_trainings(trained: Job) -> None:
    assert left_by(trained) == declared_for(trained)


def test_quality_control(unsure_scored: Job, stacks: Job) -> None:
    jobs = (unsure_scored, stacks)
    announced = {each["path"] for job in jobs for each in job.events("artifact")}
    assert left_by(*jobs) == announced == declared_for(stacks)


def test_stacks_are_scored_slice_by_slice(stacks: Job) -> None:
    with (stacks.artifacts / "qc_slices.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(each["slice"]) for each in rows] == list(range(len(rows))) and len(rows) > 1

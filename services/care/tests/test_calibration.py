# SPDX-License-Identifier: BSD-3-Clause
"""How sure a probabilistic model is, against how sure it should be."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from calibration import SHARES, intervals_met
from jobs import EXAMPLE, Job, make, reference

TEST = EXAMPLE / "care2d" / "test"


@pytest.mark.parametrize(("claimed", "inside"), [(1.0, 0.9), (0.5, 0.684), (2.0, 0.99)])
def test_intervals_are_those_of_the_laplace_distribution(claimed: float, inside: float) -> None:
    """Of Laplace noise of scale 5, 1 - 0.1 ** claimed lies within the interval of 90 % of a scale of 5 * claimed."""
    rng = np.random.default_rng(0)
    restored = rng.uniform(0, 1000, 100_000)
    target = 3 * restored + 40 + rng.laplace(0, 15, restored.size)
    met = dict(zip(SHARES, intervals_met(restored, np.full(restored.shape, 5 * claimed), target)))
    assert met[0.9] == pytest.approx(inside, abs=0.01)
    if claimed == 1.0:
        assert list(met.values()) == pytest.approx(SHARES, abs=0.01)


def test_quality_control_checks_a_probabilistic_model(unsure: Job, tmp_path: Path) -> None:
    models = [reference(unsure)]
    job = make(
        tmp_path, "qc", "care2d", TEST / "source", target=TEST / "target", models=models
    ).run()
    with (job.folder / "artifacts" / "calibration.csv").open() as file:
        rows = list(csv.DictReader(file))
    within = [float(each["share within"]) for each in rows]
    assert [float(each["share expected"]) for each in rows] == list(SHARES)
    assert within == sorted(within) and 0.25 < within[0] < 0.95 < within[-1] < 1.0
    warned = [each for each in job.events("warning") if each["code"] == "UNCERTAINTY_OFF"]
    off = max(abs(one - other) for one, other in zip(within, SHARES))
    assert bool(warned) == (off > 0.1)
    assert any("90 %" in each["name"] for each in job.events("metric"))


def test_other_models_have_none(trained: Job, tmp_path: Path) -> None:
    models = [reference(trained)]
    job = make(
        tmp_path, "qc", "care2d", TEST / "source", target=TEST / "target", models=models
    ).run()
    assert not (job.folder / "artifacts" / "calibration.csv").exists()
    assert (job.folder / "artifacts" / "qc.json").exists()

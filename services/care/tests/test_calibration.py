# SPDX-License-Identifier: BSD-3-Clause
"""How sure a probabilistic model is, against how sure it should be."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from calibration import SHARES, UNCERTAINTY, check_calibration, intervals_met
from jobs import Job, scored

from dl4mic_sdk.context import Context
from dl4mic_sdk.data_summary import DataSummary
from dl4mic_sdk.device import Device
from dl4mic_sdk.events import EventWriter
from dl4mic_sdk.images import Image, write
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.qc.candidates import candidates_of
from dl4mic_sdk.task import ModelFolder, QcTask


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


def test_quality_control_checks_a_probabilistic_model(unsure_scored: Job) -> None:
    """Scales in other units than the image's would put none or all of the pixels within the intervals.

    Of the interval of 50 %, 60 % of the pixels were within after this short training. Where percentiles were drawn anew
    for each patch it was 70 to 94 % by seed, and 77 % after eight times as long.
    """
    rows = shares_of(unsure_scored)
    assert list(rows) == list(SHARES)
    within = list(rows.values())
    assert within == sorted(within) and 0.25 < within[0] < 0.75 < within[-1] < 1.0
    assert models_of(unsure_scored) == {"example:1"}
    assert any("90 %" in each["name"] for each in unsure_scored.events("metric"))


def shares_of(job: Job) -> dict[float, float]:
    with (job.artifacts / "calibration.csv").open() as file:
        found = csv.DictReader(file)
        return {float(each["share expected"]): float(each["share within"]) for each in found}


def models_of(job: Job) -> set[str]:
    with (job.artifacts / "calibration.csv").open() as file:
        return {each["model"] for each in csv.DictReader(file)}


@pytest.mark.parametrize(
    ("claimed", "said"),
    [
        (0.375, "surer than it should be: 45% of the pixels lie within its interval of 80%"),
        (2.0, "less sure than it should be: 75% of the pixels lie within its interval of 50%"),
    ],
)
def test_a_model_that_is_not_as_sure_as_it_should_be_is_named(
    tmp_path: Path, claimed: float, said: str
) -> None:
    """Of Laplace noise 1 - (1 - q) ** claimed lies within the interval of q: 0.45 of 0.8, 0.75 of 0.5."""
    job = checked(tmp_path, {"sharper:1": 1.0, "sharper:2": claimed})
    (warning,) = job.events("warning")
    assert warning == {
        "code": "UNCERTAINTY_OFF", "message": f"sharper:2: the model is {said}.",
    }  # fmt: skip
    assert models_of(job) == {"sharper:1", "sharper:2"}


def checked(folder: Path, claims: Mapping[str, float]) -> Job:
    """Check made-up results of models that claim so many times the spread of the noise in them."""
    rng, scale = np.random.default_rng(0), 15
    truth = rng.uniform(0, 1000, (200, 200)).astype(np.float32)
    for kind in ("source", "target"):
        (folder / kind).mkdir()
        write(folder / kind / "a.tif", Image(truth, "YX"))
    models = [ModelFolder(name, folder / name, "best", {}) for name in claims]
    job = Job(folder / "1", {})
    for each in candidates_of(models, job.predictions):
        (each.predictions / UNCERTAINTY).mkdir(parents=True)
        restored = truth + rng.laplace(0, scale, truth.shape).astype(np.float32)
        write(each.predictions / "a.tif", Image(restored, "YX"))
        claimed = np.full_like(truth, claims[each.label] * scale)
        write(each.predictions / UNCERTAINTY / "a.tif", Image(claimed, "YX"))
    item = Item("a", folder / "source" / "a.tif", folder / "target" / "a.tif", "YX", truth.shape)
    data = DataSummary("paired_images", (item,))
    task = QcTask("care2d", {}, [item], models, job.artifacts, "restoration", data, {})
    check_calibration(task, Context(job.folder, EventWriter(job.folder), Device("cpu", "")))
    return job


def test_other_models_have_none(trained: Job, tmp_path: Path) -> None:
    job = scored(tmp_path, trained)
    assert not (job.artifacts / "calibration.csv").exists()
    assert (job.artifacts / "qc.json").exists()

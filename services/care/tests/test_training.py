# SPDX-License-Identifier: BSD-3-Clause
"""Training in all its turns: repeated, interrupted, started from a model, refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interrupted_training import assert_repeated, assert_same_training, stopped_and_resumed
from jobs import EXAMPLE, Job, make, make_training, quick, reference

from dl4mic_sdk.errors import SdkError
from dl4mic_sdk.report_notes import read_choices, read_examples
from dl4mic_sdk.training import read_history

SMALL = {
    "epochs": 6,
    "steps_per_epoch": 8,
    "batch_size": 2,
    "patch_size": [32, 32],
    "unet_n_first": 8,
    "unet_kern_size": 3,
    "learning_rate": 0.001,
    "validation_fraction": 0.25,
    "keep_every": 3,
}


SMALL_3D = {**SMALL, "patch_size": [8, 16, 16], "unet_n_first": 4}


@pytest.fixture(scope="module", params=[("care2d", SMALL), ("care3d", SMALL_3D)], ids=["2d", "3d"])
def undisturbed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Job:
    network, given = request.param
    return make_training(tmp_path_factory.mktemp("whole"), network, given=given).run()


def same_again(folder: Path, training: Job, **changes: Any) -> Job:
    parameters = {**training.request["parameters"], **changes}
    return make_training(folder, training.request["network"], given=parameters)


def test_a_seed_repeats_and_another_does_not(undisturbed: Job, tmp_path: Path) -> None:
    again = same_again(tmp_path / "again", undisturbed).run()
    other = same_again(tmp_path / "other", undisturbed, seed=1).run()
    assert_repeated(again, undisturbed, other)


def test_terminated_and_resumed_ends_as_if_undisturbed(undisturbed: Job, tmp_path: Path) -> None:
    resumed = stopped_and_resumed(same_again(tmp_path, undisturbed))
    assert_same_training(resumed, undisturbed)


@pytest.fixture(params=["trained", "trained_3d"])
def parent(request: pytest.FixtureRequest) -> Job:
    shared: Job = request.getfixturevalue(request.param)
    return shared


def trained_on(folder: Path, parent: Job, **changes: Any) -> Job:
    network = parent.request["network"]
    given = quick(network, epochs=1, **changes)
    return make_training(folder, network, given=given, parent=reference(parent)).run()


def test_starting_from_a_model_goes_on_where_that_one_ended(parent: Job, tmp_path: Path) -> None:
    job = trained_on(tmp_path, parent, steps_per_epoch=3, learning_rate=None, unet_n_first=64)
    after = read_history(job.model)
    assert after[0]["learning_rate"] == pytest.approx(0.001)
    assert json.loads((job.model / "config.json").read_text())["unet_n_first"] == 16
    (warning,) = job.events("warning")
    assert warning["code"] == "PARAMETERS_OF_PARENT"
    assert warning["message"].endswith("unet_n_first")


def test_other_percentiles_than_those_of_the_model_are_warned_of(
    trained_3d: Job, tmp_path: Path
) -> None:
    job = trained_on(tmp_path, trained_3d, steps_per_epoch=1, percentile_low=3.0)
    (warning,) = job.events("warning")
    assert warning["code"] == "PERCENTILES_OF_PARENT"
    assert "the percentiles 2 and 99.8, this training takes 3 and 99.8" in warning["message"]
    assert warning["message"].endswith("give percentile_low=2 and percentile_high=99.8")


def test_starting_from_a_model_starts_with_what_it_knows(parent: Job, tmp_path: Path) -> None:
    job = trained_on(tmp_path, parent, steps_per_epoch=1, learning_rate=1e-8)
    best = min(row["val_loss"] for row in read_history(parent.model))
    assert read_history(job.model)[0]["val_loss"] == pytest.approx(best, rel=1e-3)


def test_reports_what_a_biologist_watches(trained: Job) -> None:
    names = {event["name"] for event in trained.events("metric")}
    assert names >= {"loss", "val_loss", "val_mae", "learning_rate", "patches_per_second"}
    history = read_history(trained.model)
    assert min(row["val_loss"] for row in history) < 0.6 * history[0]["val_loss"]  # 0.25 to 0.32
    examples = read_examples(trained.folder)
    assert len(examples) == 4
    assert all(image.shape == target.shape == (64, 64) for image, target in examples)
    unset = {name for name, value in trained.request["parameters"].items() if value is None}
    assert set(read_choices(trained.folder)) <= unset


@pytest.mark.parametrize(
    ("network", "name", "strip", "patch"),
    [("care2d", "bacteria_a.tif", 32, [112, 112]), ("care3d", "pollen_a.tif", 0, [16, 32, 32])],
)
def test_one_pair_is_split_by_region(
    tmp_path: Path, network: str, name: str, strip: int, patch: list[int]
) -> None:
    data = EXAMPLE / network / "train"
    source, target = (data / kind / name for kind in ("source", "target"))
    given = {**SMALL, "epochs": 1, "steps_per_epoch": 2, "split_strip": strip, "patch_size": None}
    job = make(tmp_path, "train", network, source, target=target, given=given).run()
    record = json.loads((job.model / "model.json").read_text())
    assert record["split"]["mode"] == "region"
    assert np.isfinite(read_history(job.model)[0]["val_loss"])
    assert read_choices(job.folder)["patch_size"] == patch


def test_an_impossible_patch_is_refused(tmp_path: Path) -> None:
    given = {**SMALL, "patch_size": [34, 32]}
    with pytest.raises(SdkError, match="multiple of 4 x 4"):
        make_training(tmp_path, "care2d", given=given).run()

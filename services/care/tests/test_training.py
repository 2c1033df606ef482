# SPDX-License-Identifier: BSD-3-Clause
"""Training in all its turns: repeated, interrupted, started from a model, refused."""

from __future__ import annotations

import json
from pathlib import Path

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


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return make_training(tmp_path_factory.mktemp("whole"), "care2d", given=SMALL).run()


def test_a_seed_repeats_and_another_does_not(undisturbed: Job, tmp_path: Path) -> None:
    again = make_training(tmp_path / "again", "care2d", given=SMALL).run()
    other = make_training(tmp_path / "other", "care2d", given={**SMALL, "seed": 1}).run()
    assert_repeated(again, undisturbed, other)


def test_terminated_and_resumed_ends_as_if_undisturbed(undisturbed: Job, tmp_path: Path) -> None:
    resumed = stopped_and_resumed(make_training(tmp_path, "care2d", given=SMALL))
    assert_same_training(resumed, undisturbed)


def test_starting_from_a_model_goes_on_where_that_one_ended(trained: Job, tmp_path: Path) -> None:
    given = quick("care2d", epochs=1, steps_per_epoch=5, learning_rate=None, unet_n_first=64)
    job = make_training(tmp_path, "care2d", given=given, parent=reference(trained)).run()
    after = read_history(job.model)
    assert after[0]["learning_rate"] == pytest.approx(0.001)
    assert json.loads((job.model / "config.json").read_text())["unet_n_first"] == 16
    (warning,) = job.events("warning")
    assert warning["code"] == "PARAMETERS_OF_PARENT"
    assert warning["message"].endswith("unet_n_first")


def test_starting_from_a_model_starts_with_what_it_knows(trained: Job, tmp_path: Path) -> None:
    given = quick("care2d", epochs=1, steps_per_epoch=1, learning_rate=1e-8)
    job = make_training(tmp_path, "care2d", given=given, parent=reference(trained)).run()
    best = min(row["val_loss"] for row in read_history(trained.model))
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


def test_one_pair_is_split_by_region(tmp_path: Path) -> None:
    data = EXAMPLE / "care2d" / "train"
    source, target = (data / kind / "bacteria_a.tif" for kind in ("source", "target"))
    given = {**SMALL, "epochs": 1, "patch_size": None}
    job = make(tmp_path, "train", "care2d", source, target=target, given=given).run()
    record = json.loads((job.model / "model.json").read_text())
    assert record["split"]["mode"] == "region"
    assert np.isfinite(read_history(job.model)[0]["val_loss"])
    assert read_choices(job.folder)["patch_size"] == [112, 112]


def test_an_impossible_patch_is_refused(tmp_path: Path) -> None:
    given = {**SMALL, "patch_size": [34, 32]}
    with pytest.raises(SdkError, match="multiple of 4 x 4"):
        make_training(tmp_path, "care2d", given=given).run()

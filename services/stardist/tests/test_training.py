# SPDX-License-Identifier: BSD-3-Clause
"""Training in all its turns: repeated, interrupted, started from a model, refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from interrupted_training import assert_repeated, assert_same_training, stopped_and_resumed
from jobs import Job, make_training, quick, reference

from dl4mic_sdk.errors import SdkError
from dl4mic_sdk.report_notes import read_choices, read_examples
from dl4mic_sdk.training import read_history

SMALL = {
    "epochs": 6,
    "steps_per_epoch": 8,
    "batch_size": 2,
    "patch_size": [64, 64],
    "unet_n_filter_base": 8,
    "net_conv_after_unet": 16,
    "unet_n_depth": 2,
    "n_rays": 16,
    "learning_rate": 0.001,
    "optimise_thresholds": False,
    "keep_every": 3,
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return make_training(tmp_path_factory.mktemp("whole"), "stardist2d", given=SMALL).run()


def test_a_seed_repeats_and_another_does_not(undisturbed: Job, tmp_path: Path) -> None:
    again = make_training(tmp_path / "again", "stardist2d", given=SMALL).run()
    other = make_training(tmp_path / "other", "stardist2d", given={**SMALL, "seed": 1}).run()
    assert_repeated(again, undisturbed, other)


def test_terminated_and_resumed_ends_as_if_undisturbed(undisturbed: Job, tmp_path: Path) -> None:
    resumed = stopped_and_resumed(make_training(tmp_path, "stardist2d", given=SMALL))
    assert_same_training(resumed, undisturbed)


def test_starting_from_a_model_goes_on_where_that_one_ended(trained: Job, tmp_path: Path) -> None:
    given = quick("stardist2d", epochs=1, steps_per_epoch=5, learning_rate=None, n_rays=64)
    job = make_training(tmp_path, "stardist2d", given=given, parent=reference(trained)).run()
    before, after = read_history(trained.model), read_history(job.model)
    assert after[0]["learning_rate"] == pytest.approx(0.001)
    assert after[0]["loss"] < 0.7 * before[0]["loss"]
    assert json.loads((job.model / "config.json").read_text())["n_rays"] == 32
    (warning,) = job.events("warning")
    assert warning["code"] == "PARAMETERS_OF_PARENT"
    assert warning["message"].endswith("n_rays")


def test_reports_what_a_biologist_watches(trained: Job) -> None:
    names = {event["name"] for event in trained.events("metric")}
    assert names >= {"loss", "val_loss", "val_f1", "learning_rate", "patches_per_second"}
    phases = {event["phase"] for event in trained.events("progress")}
    assert phases >= {"training", "choosing thresholds"}
    assert trained.events("progress")[0]["total"] == 300
    history = read_history(trained.model)
    assert history[-1]["val_loss"] < history[0]["val_loss"]
    assert max(row["val_f1"] for row in history) > 0.5


def test_report_shows_augmented_patches_and_what_was_chosen(trained: Job) -> None:
    examples = read_examples(trained.folder)
    assert len(examples) == 4
    assert all(image.shape == labels.shape and labels.max() > 0 for image, labels in examples)
    unset = {name for name, value in trained.request["parameters"].items() if value is None}
    assert set(read_choices(trained.folder)) <= unset


def test_an_impossible_patch_is_refused(tmp_path: Path) -> None:
    given = {**SMALL, "patch_size": [72, 50]}
    with pytest.raises(SdkError, match="multiple of 8 x 8"):
        make_training(tmp_path, "stardist2d", given=given).run()


def test_shape_completion_and_other_losses_train(tmp_path: Path) -> None:
    given = {
        **SMALL,
        "epochs": 1,
        "steps_per_epoch": 2,
        "patch_size": [96, 96],
        "shape_completion": True,
        "completion_crop": 16,
        "distance_loss": "iou",
        "augment_zoom": 0.2,
        "augment_elastic": 2.0,
        "optimise_thresholds": True,
        "best_by": "val_f1",
    }
    job = make_training(tmp_path, "stardist2d", given=given).run()
    assert np.isfinite(read_history(job.model)[0]["val_loss"])
    assert os.path.exists(job.model / "thresholds.json")

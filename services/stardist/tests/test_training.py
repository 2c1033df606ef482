# SPDX-License-Identifier: BSD-3-Clause
"""Training in all its turns: repeated, interrupted, started from a model, refused."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from jobs import Job, make_training, quick, reference

from dl4mic_sdk.errors import SdkError
from dl4mic_sdk.job_folder import EXIT_DONE, EXIT_STOPPED
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


def weights_of(path: Path) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    with h5py.File(path) as file:
        file.visititems(lambda _, each: found.append(each[()]) if hasattr(each, "shape") else None)
    return found


def assert_same_training(one: Job, other: Job) -> None:
    for name in ("weights_best.h5", "weights_last.h5", "weights_epoch_00003.h5"):
        for ours, theirs in zip(weights_of(one.model / name), weights_of(other.model / name)):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    losses = [[row["loss"] for row in read_history(job.model)] for job in (one, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert len(losses[0]) == SMALL["epochs"]


def test_a_seed_repeats_and_another_does_not(undisturbed: Job, tmp_path: Path) -> None:
    again = make_training(tmp_path / "again", "stardist2d", given=SMALL).run()
    for ours, theirs in zip(
        weights_of(again.model / "weights_last.h5"),
        weights_of(undisturbed.model / "weights_last.h5"),
    ):
        np.testing.assert_array_equal(ours, theirs)
    other = make_training(tmp_path / "other", "stardist2d", given={**SMALL, "seed": 1}).run()
    losses = [read_history(job.model)[-1]["loss"] for job in (undisturbed, other)]
    assert losses[0] != losses[1]


def test_terminated_and_resumed_ends_as_if_undisturbed(undisturbed: Job, tmp_path: Path) -> None:
    job = make_training(tmp_path, "stardist2d", given=SMALL)
    process = job.start()
    wait_for_checkpoint(job, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == EXIT_STOPPED, (job.folder / "stderr.log").read_text()[-2000:]
    resumed = job.again()
    status = resumed.start().wait(120)
    assert status == EXIT_DONE, (resumed.folder / "stderr.log").read_text()[-2000:]
    assert resumed.events("metric")[0]["step"] > 0
    assert_same_training(resumed, undisturbed)


def wait_for_checkpoint(job: Job, process: Any) -> None:
    deadline = time.monotonic() + 120
    while not job.events("checkpoint"):
        assert process.poll() is None, (job.folder / "stderr.log").read_text()[-2000:]
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.05)


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

# SPDX-License-Identifier: BSD-3-Clause
"""Training in all its turns: repeated, interrupted, started from a model, of several channels, refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interrupted_training import assert_repeated, assert_same_training, stopped_and_resumed
from jobs import EXAMPLE, RECORDS, Job, make, make_training, quick, reference, scored
from plain_models import denoised
from scipy.ndimage import gaussian_filter

from dl4mic_sdk.errors import SdkError
from dl4mic_sdk.images import Image, read, write
from dl4mic_sdk.report_notes import read_choices, read_examples
from dl4mic_sdk.training import read_history

SMALL = {
    "epochs": 6,
    "steps_per_epoch": 8,
    "batch_size": 4,
    "patch_size": [32, 32],
    "unet_n_first": 4,
    "validation_patches": 8,
    "keep_every": 3,
}
SMALL_3D = {**SMALL, "patch_size": [4, 16, 16], "unet_n_depth": 1}


def undisturbed_training(folder: Path, network: str) -> Job:
    given = SMALL_3D if network == "n2v3d" else SMALL
    return make_training(folder, network, given=given).run()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return undisturbed_training(tmp_path_factory.mktemp("whole"), "n2v2d")


@pytest.fixture(scope="module")
def undisturbed_3d(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return undisturbed_training(tmp_path_factory.mktemp("whole_3d"), "n2v3d")


def test_a_seed_repeats_and_another_does_not(undisturbed: Job, tmp_path: Path) -> None:
    again = make_training(tmp_path / "again", "n2v2d", given=SMALL).run()
    other = make_training(tmp_path / "other", "n2v2d", given={**SMALL, "seed": 1}).run()
    assert_repeated(again, undisturbed, other)


@pytest.mark.parametrize("which", ["undisturbed", "undisturbed_3d"])
def test_terminated_and_resumed_ends_as_if_undisturbed(
    which: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    whole: Job = request.getfixturevalue(which)
    network, given = whole.request["network"], whole.request["parameters"]
    assert_same_training(stopped_and_resumed(make_training(tmp_path, network, given=given)), whole)


@pytest.mark.parametrize(("which", "first"), [("trained", 16), ("trained_3d", 8)])
def test_starting_from_a_model_goes_on_where_that_one_ended(
    which: str, first: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    parent: Job = request.getfixturevalue(which)
    network = parent.request["network"]
    given = quick(network, epochs=1, steps_per_epoch=5, learning_rate=None, unet_n_first=64)
    job = make_training(tmp_path, network, given=given, parent=reference(parent)).run()
    before, after = read_history(parent.model), read_history(job.model)
    assert after[0]["learning_rate"] == pytest.approx(0.001)
    assert after[0]["loss"] < 0.7 * before[0]["loss"]
    assert json.loads((job.model / "config.json").read_text())["unet_n_first"] == first
    codes = [each["code"] for each in job.events("warning")]
    assert "TRAINING_TOO_SHORT" not in codes
    (message,) = (
        each["message"] for each in job.events("warning") if each["code"] == "PARAMETERS_OF_PARENT"
    )
    assert message.endswith("unet_n_first")


def test_too_short_a_training_is_warned_of_in_the_job_and_in_its_report(undisturbed: Job) -> None:
    codes = {each["code"] for each in undisturbed.events("warning")}
    report = json.loads((undisturbed.folder / "artifacts" / "training.json").read_text())
    assert "TRAINING_TOO_SHORT" in codes & {each["code"] for each in report["warnings"]}


def test_too_short_a_training_makes_images_worse_and_quality_control_says_so(
    undisturbed: Job, tmp_path: Path
) -> None:
    result = json.loads((scored(tmp_path, undisturbed).artifacts / "qc.json").read_text())
    psnr = "restoration.standard.psnr/1", "restoration.standard.psnr.source/1"
    assert result["pooled"][psnr[0]] < result["pooled"][psnr[1]]
    assert "QC_WORSE_THAN_SOURCE" in {each["code"] for each in result["warnings"]}


def test_reports_what_a_biologist_watches(trained: Job) -> None:
    names = {event["name"] for event in trained.events("metric")}
    assert names >= {"loss", "val_loss", "learning_rate", "patches_per_second"}
    history = read_history(trained.model)
    assert history[-1]["val_loss"] < history[0]["val_loss"]


def test_report_shows_patches_with_blind_spots_and_what_was_chosen(trained: Job) -> None:
    examples = read_examples(trained.folder)
    assert len(examples) == 4
    shares = [(shown != patch).mean() for shown, patch in examples]
    assert all(0 < share <= 0.02 for share in shares)
    assert read_choices(trained.folder) == {"patch_size": [64, 64]}


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a small image with two channels of different brightness."""
    folder = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(0)
    pixels = np.stack([rng.poisson(20, (20, 70)), rng.poisson(2000, (20, 70))]).astype(np.uint16)
    write(folder / "colours.tif", Image(pixels, "CYX"))
    return folder


def test_several_channels_are_learned_together_and_the_library_predicts_the_same(
    colours: Path, tmp_path: Path
) -> None:
    given = {**SMALL, "epochs": 1, "patch_size": None, "split_strip": 0}
    job = make_training(tmp_path, "n2v2d", given=given, source=colours).run()
    config = json.loads((job.model / "config.json").read_text())
    assert (config["n_channel_in"], config["n2v_patch_shape"]) == (2, [20, 20])
    found = make(
        tmp_path / "p", "predict", "n2v2d", colours, models=[reference(job)]
    ).run()  # fmt: skip
    ours = read(found.predictions / "colours.tif")
    pixels = read(colours / "colours.tif").pixels
    theirs = np.moveaxis(denoised(job.model, np.moveaxis(pixels, 0, -1), "YXC"), -1, 0)
    assert ours.axes == "CYX"
    for one, other in zip(ours.pixels, theirs):
        assert np.abs(one - other).max() <= 1e-5 * np.ptp(theirs)


def test_a_channel_can_be_chosen(colours: Path, tmp_path: Path) -> None:
    given = {**SMALL, "epochs": 1, "patch_size": [16, 16], "split_strip": 0, "channel": 1}
    job = make_training(tmp_path, "n2v2d", given=given, source=colours).run()
    config = json.loads((job.model / "config.json").read_text())
    assert config["n_channel_in"] == 1
    assert float(config["means"][0]) == pytest.approx(2000, rel=0.01)


def test_a_movie_is_learned_from_frame_by_frame(tmp_path: Path) -> None:
    given = {**SMALL, "epochs": 1, "n2v_struct_reach": [0, 2], "loss": "mae"}
    job = make_training(
        tmp_path, "n2v2d", given=given, source=EXAMPLE / "n2v2d" / "movie"
    ).run()  # fmt: skip
    config = json.loads((job.model / "config.json").read_text())
    assert config["structN2Vmask"] == [[1, 1, 1, 1, 1]]
    assert np.isfinite(read_history(job.model)[0]["val_loss"])


def test_of_several_images_whole_ones_validate(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    rng = np.random.default_rng(0)
    noisy = {f"n{n}": rng.poisson(20 * n, (40, 48)).astype(np.uint16) for n in range(1, 5)}
    for name, pixels in noisy.items():
        write(tmp_path / "source" / f"{name}.tif", Image(pixels, "YX"))
    given = {**SMALL, "epochs": 1}
    job = make_training(tmp_path / "t", "n2v2d", given=given, source=tmp_path / "source").run()
    split = json.loads((job.model / "model.json").read_text())["split"]
    assert (split["mode"], len(split["train"]), len(split["validation"])) == ("image", 3, 1)
    assert {*split["train"], *split["validation"]} == set(noisy)
    config = json.loads((job.model / "config.json").read_text())
    means = [noisy[name].mean() for name in split["train"]]
    assert float(config["means"][0]) == pytest.approx(np.mean(means))
    assert np.isfinite(read_history(job.model)[0]["val_loss"])


def test_series_of_stacks_are_learned_and_denoised_stack_by_stack(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    noisy = np.random.default_rng(0).normal(100, 10, (2, 5, 16, 64)).astype(np.float32)
    write(tmp_path / "source" / "series.tif", Image(noisy, "TZYX"))
    given = {**SMALL_3D, "epochs": 1, "split_strip": 0, "n2v_struct_reach": [0, 0, 2]}
    job = make_training(tmp_path / "t", "n2v3d", given=given, source=tmp_path / "source").run()
    config = json.loads((job.model / "config.json").read_text())
    assert config["structN2Vmask"] == [[[1, 1, 1, 1, 1]]]
    models = [reference(job)]
    found = make(tmp_path / "p", "predict", "n2v3d", tmp_path / "source", models=models).run()
    ours = read(found.predictions / "series.tif")
    assert ours.axes == "TZYX"
    for one, stack in zip(ours.pixels, noisy, strict=True):
        theirs = denoised(job.model, stack, "ZYX")
        assert np.abs(one - theirs).max() <= 1e-5 * np.ptp(theirs)


def test_stripes_that_a_structured_mask_hides_are_taken_out(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    rng = np.random.default_rng(0)
    scene = gaussian_filter(rng.normal(0, 6000, (96, 96)), 4) + 5000
    stripes = np.repeat(rng.normal(0, 150, (96, 24)), 4, axis=1)
    write(tmp_path / "source" / "striped.tif", Image((scene + stripes).astype(np.float32), "YX"))
    short = {"epochs": 1, "steps_per_epoch": 150, "batch_norm": False, "learning_rate": 0.002}
    given = {**SMALL, **short, "unet_n_first": 8, "n2v_struct_reach": [0, 4]}
    job = make_training(tmp_path / "t", "n2v2d", given=given, source=tmp_path / "source").run()
    models = [reference(job)]
    found = make(tmp_path / "p", "predict", "n2v2d", tmp_path / "source", models=models).run()
    left = read(found.predictions / "striped.tif").pixels - scene
    assert np.corrcoef(left.ravel(), stripes.ravel())[0, 1] < 0.4  # without the mask 0.7


def test_n2v2_trains_and_predicts(tmp_path: Path) -> None:
    preset = RECORDS["n2v2d"]["presets"]["n2v2"]["parameters"]
    given = {**preset, **SMALL, "epochs": 1}
    job = make_training(tmp_path, "n2v2d", given=given).run()
    config = json.loads((job.model / "config.json").read_text())
    assert (config["blurpool"], config["skip_skipone"], config["n2v_manipulator"]) == (
        True,
        True,
        "median",
    )
    source = np.random.default_rng(0).normal(100, 10, (37, 41))
    assert np.isfinite(denoised(job.model, source, "YX")).all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"patch_size": [30, 32]}, "multiple of 4 x 4"),
        ({"patch_size": [512, 512]}, "larger than the smallest|smaller .* than a patch"),
    ],
)
def test_an_impossible_patch_is_refused(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(SdkError, match=said):
        make_training(tmp_path, "n2v2d", given={**SMALL, **given}).run()

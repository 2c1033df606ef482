# SPDX-License-Identifier: BSD-3-Clause
"""A trained 2D model: how good it is, that the plain library predicts the same, and what it leaves of a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import network as plugin
import numpy as np
import pytest
from jobs import EXAMPLE, Job, image_of, make, reference
from plain_models import denoised
from scores import psnr

from dl4mic_sdk.errors import ModelError, SdkError
from dl4mic_sdk.images import Image, inspect, opened, read, write
from dl4mic_sdk.task import ModelFolder

TEST = EXAMPLE / "n2v2d" / "test"


def load(job: Job, weights: str = "best", **parameters: Any) -> plugin.N2V2DNetwork:
    network = plugin.N2V2DNetwork("n2v2d", parameters)
    network.load(ModelFolder.open("example:1", job.model, weights, "n2v2d"))
    return network


@pytest.fixture(scope="module")
def loaded(trained: Job) -> plugin.N2V2DNetwork:
    return load(trained)


@pytest.fixture(scope="module")
def noisy() -> Image:
    return read(image_of("n2v2d"))


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    return read(TEST / "target" / "nuclei.tif").pixels


def test_one_noisy_image_teaches_to_take_noise_out_of_another(
    loaded: Any, noisy: Image, clean: np.ndarray
) -> None:
    found = loaded.predict_image(noisy).main[1].pixels
    assert psnr(found, clean) >= psnr(noisy.pixels, clean) + 5.5


def test_model_folder_is_that_of_the_library(trained: Job) -> None:
    names = {path.name for path in trained.model.iterdir()}
    assert names == {
        "config.json",
        "weights_best.h5",
        "weights_last.h5",
        "history.csv",
        "model.json",
    }
    config = json.loads((trained.model / "config.json").read_text())
    source = read(EXAMPLE / "n2v2d" / "train" / "nuclei.tif").pixels
    assert (config["n2v_patch_shape"], config["unet_n_first"]) == ([64, 64], 16)
    assert float(config["means"][0]) == pytest.approx(source.mean(), rel=0.05)  # of the rest


@pytest.mark.parametrize("size", [(304, 176), (301, 131)])
def test_plain_library_opens_it_and_predicts_the_same(
    trained: Job, loaded: Any, noisy: Image, size: tuple[int, int]
) -> None:
    image = noisy.with_pixels(noisy.pixels[: size[0], : size[1]])
    ours = loaded.predict_image(image).main[1].pixels
    theirs = denoised(trained.model, image.pixels, "YX")
    assert ours.dtype == np.float32
    assert np.abs(ours - theirs).max() <= 1e-5 * np.ptp(theirs)


def test_tiles_leave_no_seam(trained: Job, loaded: Any, noisy: Image) -> None:
    whole = loaded.predict_image(noisy).main[1].pixels
    tiled = load(trained, tile=[112, 112]).predict_image(noisy).main[1].pixels
    assert np.abs(whole - tiled).max() <= 1e-5 * np.ptp(whole)


def test_time_points_are_denoised_each_by_itself(loaded: Any, noisy: Image) -> None:
    frames = np.stack([noisy.pixels[:64, :64], noisy.pixels[64:128, :64]])
    found = loaded.predict_image(Image(frames, "TYX")).main[1]
    single = loaded.predict_image(Image(frames[1], "YX")).main[1].pixels
    assert found.axes == "TYX"
    np.testing.assert_allclose(found.pixels[1], single, atol=1e-3)


def test_an_image_on_disk_is_denoised_as_one_in_memory(
    trained: Job, loaded: Any, noisy: Image, tmp_path: Path
) -> None:
    write(tmp_path / "noisy.tif", noisy)
    with opened(tmp_path / "noisy.tif") as stored:
        found = load(trained, tile=[112, 112]).predict_large(stored, tmp_path)
        ours = found.main[1].whole().pixels
    whole = loaded.predict_image(noisy).main[1].pixels
    assert np.abs(whole - ours).max() <= 1e-5 * np.ptp(whole)


def test_a_series_on_disk_is_denoised_frame_by_frame(loaded: Any, tmp_path: Path) -> None:
    noisy = np.random.default_rng(0).normal(100, 10, (3, 40, 48)).astype(np.float32)
    write(tmp_path / "movie.tif", Image(noisy, "TYX"))
    read_at_once: list[int] = []

    with opened(tmp_path / "movie.tif") as stored:

        def watched(region: Mapping[str, slice]) -> np.ndarray:
            pixels = stored.read(region)
            read_at_once.append(pixels.size)
            return pixels

        found = loaded.predict_large(replace(stored, read=watched), tmp_path).main[1]
        frames = found.whole()
    assert max(read_at_once) == 40 * 48
    assert found.axes == "TYX"
    for ours, frame in zip(frames.pixels, noisy, strict=True):
        single = loaded.predict_image(Image(frame, "YX")).main[1].pixels
        assert np.abs(ours - single).max() <= 1e-5 * np.ptp(single)


@pytest.fixture(scope="module")
def folder_job(trained: Job, noisy: Image, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A folder of an image with pixel size, a movie and a broken file, denoised in the type of the images."""
    source = tmp_path_factory.mktemp("source")
    write(source / "sized.tif", Image(noisy.pixels[:101], "YX", {"Y": 0.5, "X": 0.5}))
    write(source / "movie.tif", Image(np.stack([noisy.pixels[:32, :48]] * 3), "TYX"))
    (source / "broken.tif").write_bytes(b"II*\0 no image")
    folder = tmp_path_factory.mktemp("predict")
    given = {"output_type": "source"}
    return make(folder, "predict", "n2v2d", source, models=[reference(trained)], given=given).run()


def test_folder_keeps_names_axes_types_and_pixel_size(folder_job: Job) -> None:
    info = inspect(folder_job.predictions / "sized.tif")
    assert (info.axes, info.shape, info.dtype) == ("YX", (101, 176), np.uint16)
    assert info.pixel_size == pytest.approx({"Y": 0.5, "X": 0.5})
    movie = inspect(folder_job.predictions / "movie.tif")
    assert (movie.axes, movie.shape) == ("TYX", (3, 32, 48))
    failed = [each for each in folder_job.events("warning") if each["code"] == "IMAGE_FAILED"]
    assert ["broken.tif" in each["message"] for each in failed] == [True]


def test_other_channels_are_refused(loaded: Any) -> None:
    with pytest.raises(SdkError, match="has 2 channels, but the model takes 1"):
        loaded.predict_image(Image(np.zeros((2, 16, 16)), "CYX"))


def test_weights_can_be_chosen_and_missing_ones_are_named(trained: Job, noisy: Image) -> None:
    load(trained, weights="last").predict_image(noisy)
    with pytest.raises(ModelError, match=r"weights_epoch_00099\.h5") as caught:
        load(trained, weights="99")
    assert "weights_best.h5" in caught.value.hint

# SPDX-License-Identifier: BSD-3-Clause
"""CARE 2D from end to end: better than its source, the same in the library, in tiles, on disk and in 16 bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from formats import PERCENTILES
from jobs import EXAMPLE, Job, image_of, make, make_training, reference
from notebook_folder import difference
from plain_models import opened, pixels_of, restored_of
from restoration import Restorer

from dl4mic_keras.framework import device_kernel
from dl4mic_sdk.errors import DataError, SdkError
from dl4mic_sdk.images import Image
from dl4mic_sdk.images import opened as opened_image

TINY = {
    "epochs": 1,
    "steps_per_epoch": 2,
    "batch_size": 2,
    "patch_size": [16, 16],
    "unet_n_first": 4,
    "unet_kern_size": 3,
    "validation_fraction": 0.5,
}


def predict(folder: Path, model: Job, source: Path, **given: object) -> Path:
    job = make(folder, "predict", "care2d", source, models=[reference(model)], given=given)
    return job.run().predictions


@pytest.fixture(scope="module")
def restored(trained: Job, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    folder = predict(tmp_path_factory.mktemp("restored"), trained, image_of("care2d").parent)
    return np.asarray(tifffile.imread(folder / image_of("care2d").name))


def test_a_restored_image_is_closer_to_the_truth_than_its_source(restored: np.ndarray) -> None:
    """The source is at 0.80, as is a network that does nothing; this one, trained for 20 s, at about 0.995."""
    target = tifffile.imread(EXAMPLE / "care2d" / "test" / "target" / image_of("care2d").name)
    source = pixels_of("care2d")
    before, after = (np.corrcoef(each.ravel(), target.ravel())[0, 1] for each in (source, restored))
    assert before < 0.82
    assert after > 0.97


def test_the_library_opens_the_model_and_restores_the_same(
    trained: Job, restored: np.ndarray
) -> None:
    (theirs,) = restored_of(trained.model, pixels_of("care2d"), "YX")
    assert restored.dtype == np.float32
    assert difference(restored, theirs) < 1e-5


def test_tiles_and_images_on_disk_give_the_whole_image(
    trained: Job, restored: np.ndarray, tmp_path: Path
) -> None:
    config = opened(trained.model)
    tiled = Restorer(config, {"tile": [112, 128], "tile_overlap": None}, PERCENTILES)
    (found,) = tiled.restore(Image(pixels_of("care2d"), "YX"))
    assert isinstance(found, Image)
    assert difference(found.pixels, restored) < 1e-5
    with opened_image(image_of("care2d")) as stored:
        (on_disk,) = tiled.restore(stored, tmp_path)
        assert difference(on_disk.read({}), restored) < 1e-5


def test_odd_sizes_stay_as_they_are(trained: Job) -> None:
    pixels = pixels_of("care2d")[:101, :67]
    restorer = Restorer(opened(trained.model), {}, PERCENTILES)
    (found,) = restorer.restore(Image(pixels, "YX"))
    assert isinstance(found, Image)
    (theirs,) = restored_of(trained.model, pixels, "YX")
    assert difference(found.pixels, theirs) < 1e-5


def test_a_16_bit_image_may_stay_one(trained: Job, restored: np.ndarray, tmp_path: Path) -> None:
    folder = predict(tmp_path, trained, image_of("care2d").parent, output_type="source")
    whole = tifffile.imread(folder / image_of("care2d").name)
    assert whole.dtype == np.uint16
    np.testing.assert_allclose(whole, np.clip(restored, 0, 65535), atol=0.51)


def test_a_stack_is_restored_plane_by_plane(trained: Job, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    planes = np.stack([pixels_of("care2d")[:64, :64], pixels_of("care2d")[64:128, :64]])
    tifffile.imwrite(tmp_path / "in" / "stack.tif", planes, imagej=True, metadata={"axes": "ZYX"})
    found = tifffile.imread(predict(tmp_path, trained, tmp_path / "in") / "stack.tif")
    assert found.shape == planes.shape
    for ours, plane in zip(found, planes):
        (theirs,) = restored_of(trained.model, plane, "YX")
        assert difference(ours, theirs) < 1e-5


def test_a_wrong_number_of_channels_is_refused_in_words(trained: Job) -> None:
    restorer = Restorer(opened(trained.model), {}, PERCENTILES)
    with pytest.raises(SdkError, match="has 2 channels, but the model takes 1") as refusal:
        restorer.restore(Image(np.zeros((2, 32, 32), np.uint8), "CYX"))
    assert refusal.value.hint == "Choose one with channel=0 to channel=1."


def write_channels(folder: Path, sources: int, targets: int) -> tuple[Path, Path]:
    for kind, count in (("source", sources), ("target", targets)):
        (folder / kind).mkdir(parents=True)
        for name in ("a", "b"):
            path = EXAMPLE / "care2d" / "train" / kind / f"bacteria_{name}.tif"
            pixels = np.stack([tifffile.imread(path)[:64, :64]] * count)
            axes = "CYX" if count > 1 else "YX"
            pixels = pixels if count > 1 else pixels[0]
            tifffile.imwrite(
                folder / kind / f"{name}.tif", pixels, imagej=True, metadata={"axes": axes}
            )
    return folder / "source", folder / "target"


@pytest.mark.parametrize(("targets", "shape"), [(2, (2, 64, 64)), (1, (64, 64))])
def test_several_channels_become_as_many_or_fewer(
    tmp_path: Path, targets: int, shape: tuple[int, ...]
) -> None:
    source, target = write_channels(tmp_path / "data", 2, targets)
    job = make(tmp_path / "t", "train", "care2d", source, target=target, given=TINY).run()
    found = tifffile.imread(predict(tmp_path / "p", job, source) / "a.tif")
    assert found.shape == shape
    rounded = tifffile.imread(predict(tmp_path / "r", job, source, output_type="source") / "a.tif")
    assert rounded.dtype == (np.uint16 if targets == 2 else np.float32)
    np.testing.assert_allclose(rounded, found, atol=0.51 if targets == 2 else 1e-6)
    pixels = tifffile.imread(source / "a.tif")
    (theirs,) = restored_of(job.model, pixels, "CYX")
    assert difference(found, theirs.reshape(shape)) < 1e-5
    with pytest.raises(SdkError, match="has 1 channel, but the model takes 2") as refusal:
        Restorer(opened(job.model), {}, PERCENTILES).restore(Image(pixels[0], "YX"))
    assert refusal.value.hint.startswith("Give images of 2 channels")


def test_more_channels_than_the_images_have_are_refused(tmp_path: Path) -> None:
    source, target = write_channels(tmp_path / "data", 1, 2)
    job = make(tmp_path / "t", "train", "care2d", source, target=target, given=TINY)
    with pytest.raises(DataError, match="the targets have 2 channels, but one channel"):
        job.run()


def test_the_library_is_as_sure(unsure: Job, tmp_path: Path) -> None:
    folder, name = (
        predict(tmp_path / "p", unsure, image_of("care2d").parent),
        image_of("care2d").name,
    )
    restored, width = (tifffile.imread(each / name) for each in (folder, folder / "uncertainty"))
    theirs = restored_of(unsure.model, pixels_of("care2d"), "YX")
    assert difference(restored, theirs[0]) < 1e-5
    assert difference(width, theirs[1]) < 1e-5


def test_uncertainty_may_be_left_out(unsure: Job, tmp_path: Path) -> None:
    folder = predict(tmp_path, unsure, image_of("care2d").parent, uncertainty=False)
    assert not (folder / "uncertainty").exists()


def test_a_small_training_starts_and_ends(tmp_path: Path) -> None:
    given = {**TINY, "loss": "mse", "augment_elastic": 2.0, "unet_last_activation": "relu"}
    job = make_training(tmp_path, "care2d", given=given).run()
    assert {each["name"] for each in job.events("metric")} >= {"val_loss", "val_mae", "val_mse"}


def test_the_device_computes() -> None:
    assert device_kernel("cpu").kind == "cpu"

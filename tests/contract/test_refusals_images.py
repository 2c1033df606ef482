# SPDX-License-Identifier: BSD-3-Clause
"""Images that are refused before work starts: each case names the files at fault, and what would be right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import tifffile
from refusals import Refuse, Spoil, Words, predict_with, train_on, write_model
from servers import Server, write_spots

from dl4mic.v1.data_pb2 import Dataset
from dl4mic.v1.job_pb2 import Job
from dl4mic.v1.request_pb2 import TrainRequest


@dataclass(frozen=True)
class Bad:
    """A data set that is not fit.

    Attributes
    ----------
    name
        Of the case.
    spoil
        Makes it so of a folder with ``images`` and ``masks`` of three good pairs.
    said
        Must all be part of message and hint.
    files
        Names of the files at fault.
    parameters
        Of the training.
    """

    name: str
    spoil: Spoil
    said: Words
    files: Words = ()
    parameters: dict[str, object] = field(default_factory=dict)


def all_images(make: Callable[[np.ndarray], np.ndarray], **options: object) -> Spoil:
    """Replace the pixels of every image."""
    return lambda folder: [
        tifffile.imwrite(path, make(tifffile.imread(path)), **options)
        for path in (folder / "images").iterdir()
    ]


def one(kind: str, make: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    """Replace the pixels of one file."""

    def spoil(folder: Path) -> None:
        path = folder / kind / "spots1.tif"
        tifffile.imwrite(path, make(tifffile.imread(path)))

    return spoil


def emptied(folder: Path) -> None:
    for path in (folder / "images").iterdir():
        path.unlink()


def of_another_format(folder: Path) -> None:
    for path in (folder / "images").iterdir():
        path.rename(path.with_suffix(".czi"))


def truncated(folder: Path) -> None:
    path = folder / "images" / "spots1.tif"
    path.write_bytes(path.read_bytes()[:1000])


def renamed(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        path.rename(path.with_name(path.stem + "_mask.tif"))


def empty_masks(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        tifffile.imwrite(path, np.zeros((48, 48), np.uint16))


def with_one_image(folder: Path) -> None:
    for path in [*folder.glob("*/spots1.tif"), *folder.glob("*/spots2.tif")]:
        path.unlink()


def binary_masks(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        tifffile.imwrite(path, np.uint8(255) * (tifffile.imread(path) > 0))


def cropped(folder: Path) -> None:
    for path in folder.glob("*/*.tif"):
        tifffile.imwrite(path, tifffile.imread(path)[:, :31])


def with_nan(pixels: np.ndarray) -> np.ndarray:
    pixels = pixels.astype(np.float32)
    pixels[5, 7] = np.nan
    return pixels


def rgb(pixels: np.ndarray) -> np.ndarray:
    return np.stack([pixels.astype(np.uint8)] * 3, axis=-1)


ALL = ("spots0.tif", "spots1.tif", "spots2.tif")
ONE = ("spots1.tif",)
BAD = [
    Bad("empty folder", emptied, ("images holds no image", ".tif, .tiff, .png or .npy")),
    Bad("another format", of_another_format, ("holds no image", ".czi", "save them as TIFF")),
    Bad(
        "missing target file",
        lambda folder: (folder / "masks" / "spots1.tif").unlink(),
        ("1 of 5 files", "same file name"),
        ONE,
    ),
    Bad(
        "unmatched names",
        renamed,
        ("6 of 6 files have no counterpart", "'_mask' in addition: rename them"),
        ALL + ("spots0_mask.tif", "spots1_mask.tif", "spots2_mask.tif"),
    ),
    Bad(
        "shapes that differ",
        one("masks", lambda pixels: pixels[:40]),
        ("is 40 x 48 (YX), but its image is 48 x 48 (YX)", "crop or resize"),
        ONE,
    ),
    Bad("truncated", truncated, ("1 of 6 files", "cannot be read", "is damaged"), ONE),
    Bad(
        "no image at all",
        lambda folder: (folder / "images" / "spots1.tif").write_text("tomorrow"),
        ("cannot be read", "not what its name says"),
        ONE,
    ),
    Bad(
        "float labels",
        one("masks", lambda pixels: pixels.astype(np.float32)),
        ("float32", "must be integers", "16-bit"),
        ONE,
    ),
    Bad(
        "negative labels",
        one("masks", lambda pixels: pixels.astype(np.int16) - 1),
        ("has a label -1", "Use 0 for background"),
        ONE,
    ),
    Bad("empty masks", empty_masks, ("all 3 masks are empty", "0 is background"), ALL),
    Bad(
        "binary masks",
        binary_masks,
        ("is a binary mask: its 4 separate parts", "Give every object a number of its own"),
        ALL,
    ),
    Bad("NaN", one("images", with_nan), ("1 pixels that are NaN", "Remove NaNs"), ONE),
    Bad(
        "smaller than a patch",
        cropped,
        ("48 x 31 (YX)", "patch of 32 x 32", "Lower patch_size"),
        ALL,
    ),
    Bad(
        "too few pixels for two regions",
        lambda folder: None,
        ("too small for a training and a validation region", "validation folder"),
        ALL,
        {"split": "region"},
    ),
    Bad(
        "too few images for a split",
        with_one_image,
        ("one image cannot be split by image", "split=region", "add images"),
        (),
        {"split": "image"},
    ),
    Bad(
        "several channels where one is needed",
        all_images(
            lambda pixels: np.stack([pixels] * 4),
            photometric="minisblack",
            metadata={"axes": "CYX"},
        ),
        ("has 4 channels, but this network takes one channel", "channel=0 to channel=3"),
        ALL,
    ),
    Bad(
        "RGB where one channel is needed",
        all_images(rgb, photometric="rgb"),
        ("is an RGB image", "takes one channel", "channel=0 to channel=2"),
        ALL,
    ),
    Bad(
        "a channel that is not there",
        all_images(rgb, photometric="rgb"),
        ("3 channels", "no channel 3", "counted from 0"),
        ALL,
        {"channel": 3},
    ),
    Bad(
        "too many axes",
        all_images(
            lambda pixels: np.stack([np.stack([pixels] * 2)] * 3),
            imagej=True,
            metadata={"axes": "TZYX"},
        ),
        ("3 x 2 x 48 x 48 (TZYX)", "takes YX or ZYX", "Save single planes"),
        ALL,
    ),
    Bad(
        "planes and a stack",
        one("images", lambda pixels: np.stack([pixels] * 2)),
        ("most images have YX", "images of one kind only"),
        ONE,
    ),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_data_that_is_not_fit(refuse: Refuse, tmp_path: Path, bad: Bad) -> None:
    write_spots(tmp_path, 3, seed=3)
    bad.spoil(tmp_path)
    refusal = refuse(train_on(tmp_path, **bad.parameters))
    assert refusal.code == "INVALID_INPUT"
    refusal.assert_says(*bad.said)
    assert set(refusal.files) == set(bad.files)


@pytest.mark.parametrize("part", ["source", "target"])
def test_a_folder_that_is_not_there(refuse: Refuse, tmp_path: Path, part: str) -> None:
    write_spots(tmp_path, 3, seed=3)
    request = train_on(tmp_path)
    setattr(request.data, part, f"{tmp_path}/nowhere")
    refusal = refuse(request)
    refusal.assert_field(f"data.{part}", f"{tmp_path}/nowhere", "no such file or folder")


def test_a_target_that_is_not_given(refuse: Refuse) -> None:
    refusal = refuse(
        TrainRequest(network="blur", model="refused", data=Dataset(source="lab:train/images")),
    )
    refusal.assert_field("data.target", "name the folder of images")


def test_a_folder_of_which_nothing_can_be_predicted(
    refuse: Refuse, tmp_path: Path, model: Path
) -> None:
    write_spots(tmp_path, 3, seed=3)
    all_images(rgb, photometric="rgb")(tmp_path)
    refusal = refuse(predict_with(model, f"{tmp_path}/images"))
    assert (refusal.code, set(refusal.files)) == ("INVALID_INPUT", set(ALL))
    refusal.assert_says("channel=0 to channel=2")


def test_images_of_other_channels_than_the_model_takes(refuse: Refuse, tmp_path: Path) -> None:
    write_model(tmp_path, channels=2)
    refusal = refuse(predict_with(tmp_path))
    assert (refusal.code, len(refusal.files)) == ("INVALID_INPUT", 5)
    refusal.assert_says("has 1 channel", "takes 2", "choose another model")


def test_a_file_of_several_series_is_used_with_a_warning(
    server: Server, tmp_path: Path, model: Path
) -> None:
    with tifffile.TiffWriter(tmp_path / "two.tif") as file:
        for size in (48, 32):
            file.write(np.full((size, size), 100, np.uint16))
    job = server.networks.Predict(predict_with(model, str(tmp_path)))
    assert server.wait(job.id).state == Job.SUCCEEDED
    said = {each.warning.code: each.warning.message for each in server.events(job.id)}
    assert "two.tif has 2" in said["SEVERAL_SERIES"]

# SPDX-License-Identifier: BSD-3-Clause
"""Images that stay in their files: any part of any layout is what the whole has there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest
import tifffile

from dl4mic_sdk.array_on_disk import ArrayOnDisk
from dl4mic_sdk.errors import ImageError
from dl4mic_sdk.images import Image, inspect, opened, read, write

LAYOUTS: Dict[str, Dict[str, Any]] = {
    "mapped": {},
    "strips": {"compression": "zlib", "rowsperstrip": 37},
    "one strip": {"compression": "zlib", "rowsperstrip": 2000},
    "tiles": {"compression": "zlib", "tile": (64, 96)},
    "plain tiles": {"tile": (256, 256)},
    "predicted": {"compression": "zlib", "predictor": True, "tile": (128, 128)},
}
PART = {"Y": slice(101, 402), "X": slice(250, 731)}


def pixels_of(shape: Any, dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 60_000, shape).astype(dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "axes, shape", [("YX", (733, 911)), ("TYX", (3, 733, 911)), ("YXS", (733, 911, 3))]
)
def test_a_part_is_that_of_the_whole(tmp_path: Path, layout: str, axes: str, shape: Any) -> None:
    pixels, path = pixels_of(shape), tmp_path / "a.tif"
    kind = "rgb" if axes.endswith("S") else "minisblack"
    tifffile.imwrite(
        str(path), pixels, photometric=kind, metadata={"axes": axes}, **LAYOUTS[layout]
    )
    whole = read(path)
    with opened(path) as image:
        assert (image.axes, image.shape, image.dtype) == (
            whole.axes,
            whole.pixels.shape,
            whole.pixels.dtype,
        )
        np.testing.assert_array_equal(image.whole().pixels, whole.pixels)
        where = tuple(PART.get(each, slice(1, 2)) for each in image.axes)
        part = image.read({each: PART.get(each, slice(1, 2)) for each in image.axes})
        np.testing.assert_array_equal(part, whole.pixels[where])
        corner = {"Y": slice(700, 733), "X": slice(900, 911)}
        np.testing.assert_array_equal(image.read(corner), whole.pixels[..., 700:, 900:])


def test_only_what_is_touched_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(str(path), pixels_of((800, 900)), compression="zlib", tile=(128, 128))
    with tifffile.TiffFile(str(path)) as file:
        last = file.pages[0].dataoffsets[-1]  # type: ignore[union-attr]
    with path.open("r+b") as stream:
        stream.seek(last)
        stream.write(b"damaged")
    with opened(path) as image:
        assert image.read({"Y": slice(0, 300), "X": slice(0, 300)}).shape == (300, 300)
        with pytest.raises(ImageError, match="cannot be read"):
            image.read({"Y": slice(700, 800), "X": slice(800, 900)})


def test_a_channel_is_taken_of_parts_too(tmp_path: Path) -> None:
    pixels = pixels_of((3, 400, 500))
    write(tmp_path / "a.tif", Image(pixels, "CYX", {"X": 0.5, "Y": 0.5}))
    with opened(tmp_path / "a.tif", channel=2) as image:
        assert (image.axes, image.shape, image.name) == ("YX", (400, 500), "a")
        np.testing.assert_array_equal(image.read({"X": slice(5, 9)}), pixels[2, :, 5:9])
    with pytest.raises(ImageError, match="no channel 3"), opened(tmp_path / "a.tif", channel=3):
        pass


def test_what_goes_wrong_while_a_file_is_open_is_not_the_files_fault(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", Image(pixels_of((40, 50)), "YX"))
    with pytest.raises(ZeroDivisionError), opened(tmp_path / "a.tif"):
        raise ZeroDivisionError


def test_several_images_in_a_file_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(str(path)) as file:
        for side in (30, 40, 50):
            file.write(pixels_of((side, side)), photometric="minisblack")
    assert (inspect(path).series, inspect(path).shape) == (3, (30, 30))


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(
    "axes, shape", [("YX", (700, 901)), ("TYX", (3, 300, 901)), ("YX", (1, 7))]
)
@pytest.mark.parametrize("dtype", ["uint16", "uint32", "float32"])
def test_an_image_on_disk_is_written_like_one_in_memory(
    tmp_path: Path, axes: str, shape: Any, dtype: str, compress: bool
) -> None:
    pixels = pixels_of(shape, dtype)
    kept = ArrayOnDisk(tmp_path / "kept", shape, dtype)
    kept[(slice(None),) * len(shape)] = pixels
    sizes = {"X": 0.25, "Y": 0.5, "T": 2.0}
    write(tmp_path / "parts.tif", kept.as_image(axes, sizes, "a"), compress=compress)
    write(tmp_path / "whole.tif", Image(pixels, axes, sizes), compress=compress)
    ours, theirs = read(tmp_path / "parts.tif"), read(tmp_path / "whole.tif")
    np.testing.assert_array_equal(ours.pixels, theirs.pixels)
    assert (ours.axes, ours.pixels.dtype) == (theirs.axes, theirs.pixels.dtype)
    assert ours.pixel_size == pytest.approx(theirs.pixel_size)
    with tifffile.TiffFile(str(tmp_path / "parts.tif")) as file:
        assert file.is_imagej == tifffile.TiffFile(str(tmp_path / "whole.tif")).is_imagej


@pytest.mark.parametrize("count, dtype", [(65535, "uint16"), (65536, "uint32")])
def test_labels_on_disk_take_as_many_bits_as_they_need(
    tmp_path: Path, count: int, dtype: str
) -> None:
    kept = ArrayOnDisk(tmp_path / "kept", (40, 50), np.uint32)
    kept[(slice(30, 31), slice(2, 3))] = np.array([[count]])
    write(tmp_path / "a.tif", kept.as_image("YX", {}, "a"), label=True)
    found = read(tmp_path / "a.tif").pixels
    assert (found.dtype, found.max(), found.sum()) == (dtype, count, count)

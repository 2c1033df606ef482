# SPDX-License-Identifier: BSD-3-Clause
"""Mean and standard deviation of the training images, as the library would compute them of all at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from intensities import measure
from library import N2VConfig

from dl4mic_sdk.errors import SdkError
from dl4mic_sdk.images import Image, inspect, write
from dl4mic_sdk.pairs import Item


def item(path: Path, pixels: np.ndarray, axes: str) -> Item:
    write(path, Image(pixels, axes))
    return Item(path.stem, path, None, axes, inspect(path).shape)


def test_of_several_images_they_are_the_librarys(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(60000, 60100, (3, 2, 30, 40)).astype(np.uint16)
    items = [item(tmp_path / f"{n}.tif", each, "CYX") for n, each in enumerate(images)]
    found = measure(items)
    theirs = N2VConfig(np.moveaxis(images, 1, -1).astype(np.float64))
    np.testing.assert_allclose(found.means, [float(each) for each in theirs.means], rtol=1e-12)
    np.testing.assert_allclose(found.stds, [float(each) for each in theirs.stds], rtol=1e-10)


def test_images_without_noise_are_refused(tmp_path: Path) -> None:
    flat = item(tmp_path / "flat.tif", np.full((16, 16), 7, np.uint8), "YX")
    with pytest.raises(SdkError, match="same value everywhere"):
        measure([flat])

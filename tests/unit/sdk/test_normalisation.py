# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dl4mic_sdk.images import Image, opened, write
from dl4mic_sdk.normalisation import Normalisation, scale


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64])
def test_percentiles_of_parts_are_those_of_the_whole(kind: Any) -> None:
    pixels = np.random.default_rng(1).normal(90, 15, (410, 300))
    pixels = (pixels - (100 if np.dtype(kind).kind != "u" else 0)).astype(kind)
    parts = Normalisation().limits_of(lambda: (pixels[at : at + 37] for at in range(0, 410, 37)))
    assert parts == pytest.approx(Normalisation().limits(pixels), rel=2e-7)
    assert parts == pytest.approx(np.percentile(pixels, [1, 99.8]), rel=2e-7)


def test_a_ramp_is_brought_to_the_unit_range() -> None:
    ramp = np.arange(1001, dtype=np.uint16).reshape(7, 143)
    scaled = Normalisation(0, 100).apply(ramp)
    assert scaled.dtype == np.float32 and (scaled.min(), scaled.max()) == (0, 1)
    assert Normalisation(10, 90).limits(ramp) == (100, 900)


def test_a_constant_image_stays_finite() -> None:
    assert np.isfinite(Normalisation().apply(np.full((8, 8), 7, np.uint16))).all()


def test_each_channel_has_its_own_percentiles(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    pixels = np.stack([random.normal(mean, 5, (40, 50)) for mean in (100, 900)]).astype(np.uint16)
    image, path = Image(pixels, "CYX"), tmp_path / "two.tif"
    write(path, image)
    limits = Normalisation().limits_by_channel(image)
    np.testing.assert_allclose(limits, np.percentile(pixels, [1, 99.8], axis=(1, 2)))
    with opened(path) as stored:
        np.testing.assert_allclose(Normalisation().limits_on_disk(stored), limits)
    seen = Normalisation().normalised(image)
    assert seen.shape == (40, 50, 2)
    np.testing.assert_array_equal(seen, scale(np.moveaxis(pixels, 0, -1), limits))

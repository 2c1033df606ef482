# SPDX-License-Identifier: BSD-3-Clause
"""The network by itself, in the service's own environment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dl4mic_sdk.images import Image
from dl4mic_sdk.worker import import_network

network = import_network(Path(__file__).resolve().parents[1])


def test_smoothing_brings_the_image_to_the_unit_range() -> None:
    image = Image(np.arange(1001.0).reshape(7, 143), "YX", {}, "ramp")
    assert network.offset_and_scale(image) == pytest.approx((10, 988))
    assert network.smooth(image, 0).max() == pytest.approx(990 / 988)


def test_objects_are_numbered_and_small_ones_left_out() -> None:
    blur = network.Blur("blur", {"smallest_object": 4})
    blur._weights = {"threshold": 0.5, "sigma": 0.0}
    pixels = np.zeros((20, 20))
    pixels[2:6, 2:6] = pixels[10:14, 10:14] = pixels[18, 18] = 1
    prediction = blur.predict_image(Image(pixels, "YX", {}, "two"))
    assert prediction.main[1].pixels.max() == 2
    assert list(prediction.tables["objects"].rows) == [(1, 16), (2, 16)]

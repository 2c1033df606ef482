# SPDX-License-Identifier: BSD-3-Clause
"""Filters that everybody has: what they do to which axes, and how their width is found."""

from __future__ import annotations

import numpy as np
import pytest

from dl4mic_sdk.images import Image
from dl4mic_sdk.qc.simple_filters import GAUSSIAN, MEDIAN, SimpleFilter, tune


def point(*shape: int) -> np.ndarray:
    image = np.zeros(shape, np.uint16)
    image[tuple(size // 2 for size in shape)] = 1000
    return image


@pytest.mark.parametrize("kind", [GAUSSIAN, MEDIAN])
@pytest.mark.parametrize(
    ("axes", "through", "reached"),
    [("ZYX", False, "YX"), ("ZYX", True, "ZYX"), ("TCYX", True, "YX")],
)
def test_channels_and_times_are_left_apart(
    kind: str, axes: str, through: bool, reached: str
) -> None:
    source = Image(np.random.RandomState(0).rand(*(7,) * len(axes)), axes)
    changed = source.with_pixels(source.pixels.copy())
    changed.pixels[(3,) * len(axes)] += 100.0
    either = SimpleFilter(kind, 3.0, through)
    # The change is bright: a median drops it, but not where it was in the middle of its window before.
    before, after = (either.apply(each).pixels for each in (source, changed))
    moved = np.nonzero(np.abs(after - before) > 1e-9)
    for axis, places in zip(axes, moved):
        if axis not in reached:
            assert set(places) <= {3}, axis


def test_a_gaussian_keeps_the_sum_and_goes_the_same_distance_along_z() -> None:
    sizes = {"X": 0.1, "Y": 0.1, "Z": 0.2}
    found = SimpleFilter(GAUSSIAN, 2.0, True).apply(Image(point(33, 33, 33), "ZYX", sizes)).pixels
    assert found.dtype == np.float32
    assert found.sum() == pytest.approx(1000, rel=1e-5)
    at = np.arange(33) - 16
    deviations = [
        np.sqrt((found.sum(axis=tuple({0, 1, 2} - {axis})) * at**2).sum() / 1000)
        for axis in range(3)
    ]
    assert deviations == pytest.approx([1.0, 2.0, 2.0], rel=0.02)


def test_a_median_by_hand() -> None:
    image = Image(np.array([[1, 2, 3], [4, 90, 6], [7, 8, 9]]), "YX")
    assert SimpleFilter(MEDIAN, 3).apply(image).pixels[1, 1] == 6  # of 1 2 3 4 6 7 8 9 90


@pytest.mark.parametrize("wanted", [0.6, 1.3, 2.2, 5.0, 8.0])
def test_the_best_width_is_found_between_coarse_ones(wanted: float) -> None:
    def closeness(each: SimpleFilter) -> float:
        return -abs(np.log(each.width / wanted)) - (0.5 if each.through else 0.0)

    found = tune(GAUSSIAN, True, closeness)
    assert found is not None and not found.through
    assert found.width == pytest.approx(wanted, rel=0.1)


def test_what_has_no_score_is_not_chosen() -> None:
    assert tune(GAUSSIAN, False, lambda each: None) is None
    found = tune(MEDIAN, False, lambda each: 1.0 if each.width == 5 else None)
    assert found == SimpleFilter(MEDIAN, 5)

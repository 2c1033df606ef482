# SPDX-License-Identifier: BSD-3-Clause
"""Percentiles, moments and thresholds against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dl4mic_sdk.qc.intensity import (
    BINS,
    Moments,
    histogram,
    moments_of,
    otsu_threshold,
    percentiles,
    total_of,
)


def test_percentiles_lie_between_neighbours() -> None:
    # Of 0, 10, ... 100 the place of 0.1 % is 0.01, that of 99.9 % is 9.99.
    assert percentiles(np.arange(0, 110, 10), 0.1, 99.9) == (
        pytest.approx(0.1),
        pytest.approx(99.9),
    )
    assert percentiles(np.array([7.0]), 0.1, 99.9) == (7.0, 7.0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_percentiles_are_those_of_numpy(dtype: type) -> None:
    pixels = (np.random.RandomState(0).rand(31, 17) * 200).astype(dtype)
    expected = np.percentile(pixels.astype(np.float64), [0.1, 99.9])
    assert percentiles(pixels, 0.1, 99.9) == pytest.approx(tuple(expected), rel=1e-12)


def test_moments_by_hand() -> None:
    # Targets 1, 2, 3, 6 (mean 3): deviations -2, -1, 0, 3. Images 2, 2, 4, 8 (mean 4): -2, -2, 0, 4.
    found = Moments.of(np.array([1, 2, 3, 6]), np.array([2, 2, 4, 8]))
    assert (found.pixels, found.target_mean, found.mean) == (4, 3.0, 4.0)
    assert (found.target_square, found.square, found.product) == (14.0, 24.0, 18.0)
    assert found.slope == 18 / 24
    assert found.correlation == pytest.approx(18 / (14 * 24) ** 0.5)


def test_moments_of_parts_add_up() -> None:
    random = np.random.RandomState(1)
    target, image = random.rand(5, 8, 9) * 1000, random.rand(5, 8, 9) + 50
    joined, whole = total_of(moments_of(target, image)), Moments.of(target, image)
    assert vars(joined) == pytest.approx(vars(whole), rel=1e-12)


def test_a_constant_has_no_correlation() -> None:
    constant, ramp = np.full(7, 0.1), np.arange(7.0)
    assert Moments.of(constant, ramp).correlation is None
    assert Moments.of(ramp, constant).correlation is None
    assert Moments.of(ramp, constant).slope == 0.0
    both = total_of([Moments.of(ramp, constant), Moments.of(ramp + 1, constant)])
    assert both.correlation is None


def test_the_last_bin_holds_1() -> None:
    counts = histogram(np.array([0.0, 0.5, 1.0, 1 - 1e-9]))
    assert (counts.sum(), counts[0], counts[BINS // 2], counts[-1]) == (4, 1, 1, 2)


def test_threshold_by_hand() -> None:
    # Middles 0.125, 0.375, 0.625, 0.875 with 3, 1, 0, 4 values. Parted after the second bin: 4 values of mean 0.1875
    # and 4 of 0.875: 16 * 0.6875**2 = 7.5625; after the first 3 of 0.125 and 5 of 0.775: 15 * 0.65**2 = 6.3375.
    assert otsu_threshold(np.array([3, 1, 0, 4])) == 0.375


def test_threshold_is_that_of_scikit_image() -> None:
    from skimage.filters import threshold_otsu

    random = np.random.RandomState(2)
    unit = np.clip(
        np.concatenate([random.normal(0.3, 0.1, 900), random.normal(0.8, 0.1, 90)]), 0, 1
    )
    unit[:2] = 0, 1
    assert otsu_threshold(histogram(unit)) == pytest.approx(
        threshold_otsu(unit, nbins=BINS), abs=1e-9
    )

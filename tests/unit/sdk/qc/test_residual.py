# SPDX-License-Identifier: BSD-3-Clause
"""What is said of restored images whose truth nobody knows, against cases worked out by hand."""

from __future__ import annotations

from typing import Dict, Optional

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from dl4mic_sdk.images import Image
from dl4mic_sdk.qc.residual import (
    DEFINITIONS,
    Residual,
    measure_residual,
    neighbour_correlation,
    noise_of,
    pool_residuals,
)


def measured(source: np.ndarray, prediction: np.ndarray) -> Dict[str, Optional[float]]:
    axes = "ZYX"[-source.ndim :]
    found, _ = measure_residual(Image(source, axes), Image(prediction, axes))
    return {key[len("restoration.") : -2]: value for key, value in found.numbers.items()}


def test_noise_by_hand() -> None:
    # A single 1 in the middle of 3 x 3 answers 4; sqrt(pi / 2) / 6 times that.
    plane = np.zeros((3, 3))
    plane[1, 1] = 1.0
    assert noise_of(plane) == pytest.approx(4 * np.sqrt(np.pi / 2) / 6)
    assert noise_of(np.zeros((2, 9))) is None


def test_noise_is_that_which_was_added() -> None:
    noise = np.random.RandomState(0).normal(0, 3.0, (300, 300))
    ramp = np.add.outer(np.arange(300.0), 2 * np.arange(300.0))
    assert noise_of(noise + ramp) == pytest.approx(3.0, rel=0.02)


def test_neighbours_by_hand() -> None:
    # Stripes along x: one pixel on along x everything turns round, along y nothing changes.
    stripes = np.tile([0.0, 1.0], (1, 6, 3))
    assert neighbour_correlation(stripes) == pytest.approx((-1 + 1) / 2)
    assert neighbour_correlation(np.ones((1, 5, 5))) is None
    assert neighbour_correlation(np.ones((1, 1, 1))) is None


def test_noise_alone_was_taken_away() -> None:
    random = np.random.RandomState(1)
    truth = gaussian_filter(random.rand(200, 200), 3) * 1000
    source = truth + random.normal(0, 20, truth.shape)
    found = measured(source, truth)
    assert found["noise_removed"] == pytest.approx(1.0, abs=0.05)
    assert found["residual_correlation"] == pytest.approx(0.0, abs=0.02)
    assert found["residual_whiteness"] == pytest.approx(1 - abs(found["residual_correlation"] or 0))
    assert found["pearson_with_source"] == pytest.approx(
        np.corrcoef(source.ravel(), truth.ravel())[0, 1]
    )


def test_structure_that_went_with_it_shows() -> None:
    random = np.random.RandomState(1)
    truth = gaussian_filter(random.rand(200, 200), 3) * 1000
    source = truth + random.normal(0, 20, truth.shape)
    found = measured(source, gaussian_filter(source, 12))
    assert (found["residual_correlation"] or 0) > 0.3


def test_another_gain_changes_nothing() -> None:
    random = np.random.RandomState(2)
    source = random.rand(50, 50)
    smooth = gaussian_filter(source, 1)
    assert measured(source, smooth * 300 - 7) == pytest.approx(measured(source, smooth), rel=1e-4)


def test_the_residual_lies_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.RandomState(3)
    source = random.rand(2, 3, 12, 13)  # z, c
    prediction = source.copy()
    prediction[1, 2, 5, 6] += 0.5
    _, left = measure_residual(Image(source, "ZCYX"), Image(prediction, "ZCYX"))
    assert left.pixels.shape == source.shape and left.pixels.dtype == np.float32
    assert np.unravel_index(np.abs(left.pixels).argmax(), source.shape) == (1, 2, 5, 6)


@pytest.mark.parametrize(
    ("source", "prediction"),
    [
        (np.full((20, 20), 5.0), np.full((20, 20), 5.0)),
        (np.array([[3.0]]), np.array([[4.0]])),
        (np.arange(400.0).reshape(20, 20), np.arange(400.0).reshape(20, 20)),
    ],
    ids=["constant", "pixel", "identical"],
)
def test_where_nothing_was_taken_away(source: np.ndarray, prediction: np.ndarray) -> None:
    assert measured(source, prediction)["residual_correlation"] is None


def test_pooling_weighs_by_pixels() -> None:
    ids = [each.id for each in DEFINITIONS]
    one, other = (dict.fromkeys(ids, value) for value in (1.0, 4.0))
    other[ids[1]] = None  # type: ignore[assignment]
    pooled = pool_residuals([Residual(100, dict(one)), Residual(200, dict(other))])
    assert pooled.numbers[ids[0]] == pytest.approx(3.0)
    assert pooled.numbers[ids[1]] == 1.0
    assert list(measured_ids()) == ids


def measured_ids() -> Dict[str, Optional[float]]:
    pair = Image(np.random.RandomState(4).rand(9, 9), "YX"), Image(np.ones((9, 9)), "YX")
    return measure_residual(*pair)[0].numbers

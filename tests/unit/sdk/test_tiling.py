# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Tuple

import numpy as np
import pytest

from dl4mic_sdk.tiling import Blend, apply_tiled, tiles

CASES = [
    ((100,), (30,), (8,)),
    ((37, 41), (16, 16), (5, 15)),
    ((5, 64, 50), (9, 32, 20), (0, 16, 19)),
    ((33, 20), (32, 20), (0, 0)),
    ((7, 7), (64, 64), (16, 16)),
]
Shape = Tuple[int, ...]


@pytest.mark.parametrize("shape, tile, overlap", CASES)
def test_weights_sum_to_one_everywhere(shape: Shape, tile: Shape, overlap: Shape) -> None:
    where = tiles(shape, tile, overlap)
    blend, total = Blend(shape, where), np.zeros(shape)
    for each in where:
        total[each] += blend.weights(each)
    np.testing.assert_allclose(total, 1, rtol=0, atol=1e-14)


@pytest.mark.parametrize("shape, tile, overlap", CASES)
def test_tiles_have_one_size_and_overlap_enough(shape: Shape, tile: Shape, overlap: Shape) -> None:
    where = tiles(shape, tile, overlap)
    for axis, length in enumerate(shape):
        parts = sorted({(each[axis].start, each[axis].stop) for each in where})
        assert {stop - start for start, stop in parts} == {min(tile[axis], length)}
        assert (parts[0][0], parts[-1][1]) == (0, length)
        for index in range(1, len(parts)):
            assert parts[index - 1][1] - parts[index][0] >= overlap[axis]


@pytest.mark.parametrize("shape, tile, overlap", CASES)
@pytest.mark.parametrize("slope", [0.0, 0.01])
def test_an_image_comes_back_as_it_was(
    shape: Shape, tile: Shape, overlap: Shape, slope: float
) -> None:
    image = 1 + slope * np.indices(shape).sum(axis=0)
    result = apply_tiled(image, tile, overlap, lambda part: part)
    np.testing.assert_allclose(result, image, rtol=1e-6)


def test_no_seam_shows_where_tiles_disagree() -> None:
    levels = iter([0.0, 1.0])
    result = apply_tiled(np.zeros((64,)), (40,), (16,), lambda part: part + next(levels))
    assert result[0] == 0 and result[-1] == 1
    assert np.abs(np.diff(result)).max() < 0.15


def test_results_may_have_more_or_fewer_channels_than_the_image() -> None:
    image = np.random.default_rng(0).random((20, 30, 2))
    more = apply_tiled(image, (8, 8), (2, 2), lambda part: np.repeat(part, 2, axis=-1))
    np.testing.assert_allclose(more, np.repeat(image, 2, axis=-1), rtol=1e-6)
    fewer = apply_tiled(image, (8, 8), (2, 2), lambda part: part[..., 0])
    np.testing.assert_allclose(fewer, image[..., 0], rtol=1e-6)


def test_an_overlap_as_large_as_the_tile_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap of 16 is too large"):
        tiles((64, 64), (16, 16), (16, 4))

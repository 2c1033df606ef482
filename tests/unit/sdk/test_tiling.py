# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Tuple

import numpy as np
import pytest

from dl4mic_sdk.errors import SdkError
from dl4mic_sdk.tiling import Tiling

CASES = [
    ((100,), (32,), (8,), (4,)),
    ((37, 41), (16, 16), (5, 15), (1, 1)),
    ((37, 41), (16, 24), (5, 4), (8, 4)),
    ((5, 64, 50), (9, 32, 20), (0, 16, 8), (1, 16, 4)),
    ((33, 20), (32, 20), (0, 0), (2, 1)),
    ((7, 1), (64, 64), (16, 16), (16, 8)),
]
Shape = Tuple[int, ...]


@pytest.mark.parametrize("shape, tile, overlap, multiple", CASES)
def test_weights_sum_to_one_everywhere(
    shape: Shape, tile: Shape, overlap: Shape, multiple: Shape
) -> None:
    tiling, total = Tiling.of(shape, tile, overlap, multiple), np.zeros(shape)
    for each in tiling.tiles():
        total[each.place] += each.weighted(np.ones(tiling.size, np.float32))
    np.testing.assert_allclose(total, 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape, tile, overlap, multiple", CASES)
def test_tiles_have_one_size_and_begin_where_pooling_does(
    shape: Shape, tile: Shape, overlap: Shape, multiple: Shape
) -> None:
    """They are parts of the image as numpy mirrors it, whatever window of it was read."""
    missing = [-length % step for length, step in zip(shape, multiple)]
    image = np.random.default_rng(0).random(shape)
    whole = np.pad(image, [(each // 2, each - each // 2) for each in missing], "reflect")
    steps = [range(0, length, step) for length, step in zip(whole.shape, multiple)]
    tiling = Tiling.of(shape, tile, overlap, multiple)
    for each in tiling.tiles():
        part = each.filled(image[each.window])
        assert part.shape == tiling.size
        assert all(size % step == 0 for size, step in zip(part.shape, multiple))
        begins = [
            start
            for start in np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, len(shape))
            if np.array_equal(
                whole[tuple(slice(a, a + n) for a, n in zip(start, part.shape))], part
            )
        ]
        assert len(begins) >= 1


@pytest.mark.parametrize("shape, tile, overlap, multiple", CASES)
def test_neighbours_overlap_enough(
    shape: Shape, tile: Shape, overlap: Shape, multiple: Shape
) -> None:
    tiling = Tiling.of(shape, tile, overlap, multiple, [0] * len(shape))
    for axis, least in enumerate(overlap):
        places = sorted(
            {(each.place[axis].start, each.place[axis].stop) for each in tiling.tiles()}
        )
        assert (places[0][0], places[-1][1]) == (0, shape[axis])
        stops, starts = [stop for _, stop in places[:-1]], [start for start, _ in places[1:]]
        assert all(stop - start >= least for stop, start in zip(stops, starts))


def test_the_context_of_a_tile_does_not_count() -> None:
    first, second = Tiling.of((56,), (32,), (8,), (8,), (3,)).tiles()
    assert (first.place[0].stop, second.place[0].start) == (29, 27)
    assert first.parts[0].weights[:27].min() == 1
    np.testing.assert_allclose(first.parts[0].weights[27:], [0.853553, 0.146447], atol=1e-6)


def test_an_overlap_of_twice_the_context_leaves_nothing_of_it() -> None:
    first, second = Tiling.of((56,), (32,), (8,), (8,), (4,)).tiles()
    assert (first.place[0].stop, second.place[0].start) == (28, 28)
    first, second = Tiling.of((57,), (32,), (7,), (1,), (3,)).tiles()
    assert (first.place[0].stop, second.place[0].start) == (29, 28)
    assert (first.parts[0].weights[-1], second.parts[0].weights[0]) == (0.5, 0.5)


def test_a_tile_of_fewer_axes_leaves_the_others_whole() -> None:
    assert Tiling.of((20, 64, 64), (32, 32), (0, 8, 8), (2, 4, 4)).size == (20, 32, 32)
    assert Tiling.of((64, 64), (8, 32, 48), (8, 8), (4, 4)).size == (32, 48)


def test_an_overlap_as_large_as_the_tile_is_refused() -> None:
    with pytest.raises(SdkError, match="tiles of 16 px cannot overlap by 16 px") as caught:
        Tiling.of((64, 64), (16, 16), (16, 4), (1, 1))
    assert caught.value.hint == "Lower tile_overlap, or raise tile."

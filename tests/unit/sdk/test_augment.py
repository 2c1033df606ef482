# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dl4mic_sdk.augment import Augmentation, FlipRotate, GaussianNoise, Intensity, Warp

EVERY = [FlipRotate(), Intensity(), GaussianNoise(), Warp(rotation=30, elastic=2)]


def images_of(variation: Any, source: np.ndarray, axes: str, draws: int = 200) -> Any:
    """All different results, with the target being the numbered pixels of the source."""
    rng = np.random.default_rng(0)
    found = {}
    for _ in range(draws):
        moved, target = variation(source, source.copy(), axes, rng)
        np.testing.assert_array_equal(moved, target)
        found[moved.tobytes()] = moved
    return list(found.values())


def test_a_square_has_eight_images_each_with_all_pixels() -> None:
    source = np.arange(16).reshape(4, 4)
    found = images_of(FlipRotate(), source, "YX")
    expected = [np.rot90(each, turns) for each in (source, source.T) for turns in range(4)]
    assert len(found) == 8
    assert {each.tobytes() for each in found} == {each.tobytes() for each in expected}


def test_a_rectangle_keeps_its_shape() -> None:
    found = images_of(FlipRotate(), np.arange(12).reshape(3, 4), "YX")
    assert len(found) == 4 and {each.shape for each in found} == {(3, 4)}


def test_a_square_is_not_turned_by_a_quarter_where_y_and_x_differ() -> None:
    found = images_of(FlipRotate(quarter_turns=False), np.arange(16).reshape(4, 4), "YX")
    source = np.arange(16).reshape(4, 4)
    half_turns = {each.tobytes() for each in (source, source[::-1], source[:, ::-1])}
    assert len(found) == 4 and half_turns <= {each.tobytes() for each in found}


@pytest.mark.parametrize("axes", ["ZYX", "ZYXC"])
def test_planes_and_channels_stay_in_their_order(axes: str) -> None:
    source = np.arange(2 * 4 * 4 * 3).reshape(2, 4, 4, 3)
    source = source if axes == "ZYXC" else source[..., 0]
    for moved in images_of(FlipRotate(), source, axes):
        for z in range(2):
            np.testing.assert_array_equal(
                np.sort(moved[z], axis=None), np.sort(source[z], axis=None)
            )
        if axes == "ZYXC":
            np.testing.assert_array_equal(moved[..., 1], moved[..., 0] + 1)


@pytest.mark.parametrize("variation", [Intensity(), GaussianNoise()])
def test_intensities_change_in_the_image_alone(variation: Any) -> None:
    source, target = np.full((8, 8), 0.5, np.float32), np.arange(64).reshape(8, 8)
    moved, same = variation(source, target, "YX", np.random.default_rng(1))
    assert same is target and moved.dtype == np.float32 and not np.array_equal(moved, source)


def test_intensity_keeps_to_its_bounds() -> None:
    rng = np.random.default_rng(0)
    values = [Intensity((2, 3), (-1, 1))(np.ones(1), None, "X", rng)[0][0] for _ in range(200)]
    assert 1 <= min(values) < 1.5 and 3.5 < max(values) <= 4


@pytest.mark.parametrize("variation", EVERY)
def test_the_same_draw_gives_the_same_patch(variation: Any) -> None:
    source = np.random.default_rng(0).random((16, 16)).astype(np.float32)
    one, two, other = (
        variation(source, None, "YX", np.random.default_rng(seed))[0] for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_a_warp_makes_no_new_labels_and_moves_both_alike() -> None:
    labels = np.zeros((2, 64, 64), np.uint16)
    labels[:, 10:30, 12:40], labels[:, 40:60, 30:50] = 7, 300
    rng = np.random.default_rng(3)
    moved, target = Warp(elastic=2)((labels > 0).astype(np.float32), labels, "ZYX", rng)
    assert set(np.unique(target)) <= {0, 7, 300} and target.dtype == np.uint16
    assert not np.array_equal(target, labels)
    assert np.mean((moved > 0.5) == (target > 0)) > 0.98
    np.testing.assert_array_equal(target[0], target[1])


def test_no_warp_is_no_change() -> None:
    source = np.random.default_rng(0).random((9, 12, 2)).astype(np.float32)
    still = Warp(shift=0, zoom=0, shear=0)
    moved, _ = still(source, None, "YXC", np.random.default_rng(0))
    np.testing.assert_allclose(moved, source, atol=1e-6)


def test_variations_are_applied_in_turn() -> None:
    both = Augmentation([Intensity((2, 2), (0, 0)), Intensity((1, 1), (3, 3))])
    moved, target = both(np.ones((2, 2)), None, "YX", np.random.default_rng(0))
    assert target is None and (moved == 5).all()

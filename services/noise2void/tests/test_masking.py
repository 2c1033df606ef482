# SPDX-License-Identifier: BSD-3-Clause
"""Blind spots, against those of the n2v library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from library import N2VConfig
from masking import Manipulator, Masking
from n2v.internals.N2V_DataWrapper import N2V_DataWrapper
from n2v.utils import n2v_utils

PATCH = np.random.default_rng(0).normal(size=(40, 48)).astype(np.float32)
STACK = np.random.default_rng(1).normal(size=(8, 24, 32)).astype(np.float32)


class Told:
    """A generator of random numbers that says those that it is given."""

    def __init__(self, numbers: np.ndarray) -> None:
        self._numbers = numbers

    def random(self, shape: Any) -> np.ndarray:
        assert shape == self._numbers.shape
        return self._numbers


def drawn(numbers: np.ndarray, edge: int) -> Iterator[tuple[float, ...]]:
    for each in numbers:
        yield tuple(each * edge)


@pytest.mark.parametrize("percent", [0.198, 1.5, 4.0])
@pytest.mark.parametrize("pixels", [PATCH, STACK])
def test_positions_are_the_librarys(pixels: np.ndarray, percent: float) -> None:
    edge = round((100 / percent) ** 0.5)
    boxes = int(np.prod([-(-size // edge) for size in pixels.shape]))
    numbers = np.random.default_rng(2).random((boxes, pixels.ndim))
    name = f"__get_stratified_coords{pixels.ndim}D__"
    theirs = getattr(N2V_DataWrapper, name)(drawn(numbers, edge), edge, pixels.shape)
    ours = Masking(percent).spots(pixels.shape, Told(numbers))  # type: ignore[arg-type]
    np.testing.assert_array_equal(ours, np.transpose(theirs))


def test_a_small_patch_has_one_blind_spot_at_least() -> None:
    masking = Masking(0.198)
    for seed in range(50):
        (spot, *_) = masking.spots((4, 8), np.random.default_rng(seed))
        assert (spot >= 0).all() and (spot < (4, 8)).all()


@pytest.mark.parametrize("pixels", [PATCH, STACK])
@pytest.mark.parametrize("kind", [Manipulator.MEAN, Manipulator.MEDIAN])
def test_means_and_medians_are_the_librarys(pixels: np.ndarray, kind: Manipulator) -> None:
    rng = np.random.default_rng(3)
    spots = np.concatenate([rng.integers(0, pixels.shape, (30, pixels.ndim)), [[0] * pixels.ndim]])
    ours = Masking(1.5, kind, radius=2).values(pixels, spots, rng)
    manipulate = getattr(n2v_utils, f"pm_{kind.value}")(2)
    theirs = manipulate(pixels, tuple(spots.T), pixels.ndim)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [Manipulator.UNIFORM_WITH_CP, Manipulator.UNIFORM_WITHOUT_CP])
@pytest.mark.parametrize("corner", [True, False])
def test_uniform_draws_reach_the_same_pixels_as_the_librarys(
    kind: Manipulator, corner: bool
) -> None:
    spot = np.array([[1, 46] if corner else [20, 20]])
    rng = np.random.default_rng(4)
    ours = set(Masking(1.5, kind, 2).values(PATCH, np.repeat(spot, 2000, 0), rng).tolist())
    manipulate = getattr(n2v_utils, f"pm_{kind.value}")(2)
    theirs = {float(manipulate(PATCH, tuple(spot.T), 2)[0]) for _ in range(1000)}
    assert ours == theirs
    assert (float(PATCH[tuple(spot[0])]) in ours) == (kind is Manipulator.UNIFORM_WITH_CP)


def test_normal_draws_are_spread_as_the_librarys() -> None:
    rows = np.broadcast_to(np.arange(401.0)[:, np.newaxis], (401, 401))
    masking = Masking(1.5, Manipulator.NORMAL_WITHOUT_CP)
    values = masking.values(rows, np.full((4000, 2), 200), np.random.default_rng(5))
    assert np.mean(values) == pytest.approx(200, abs=0.3)
    assert np.std(values) == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize("kind", [Manipulator.NORMAL_ADDITIVE, Manipulator.NORMAL_FITTED])
def test_normal_values_have_the_librarys_mean_and_spread(kind: Manipulator) -> None:
    spot = np.array([20, 20])
    around = PATCH[17:24, 17:24]
    mean, spread = (
        (PATCH[20, 20], 3.0)
        if kind is Manipulator.NORMAL_ADDITIVE
        else (around.mean(), around.std())
    )
    masking = Masking(1.5, kind, radius=3)
    values = masking.values(PATCH, np.repeat([spot], 4000, 0), np.random.default_rng(6))
    assert np.mean(values) == pytest.approx(mean, abs=0.15)
    assert np.std(values) == pytest.approx(spread, rel=0.05)


@pytest.mark.parametrize("kind", list(Manipulator))
def test_the_answer_holds_what_was_hidden_and_nothing_else_changes(kind: Manipulator) -> None:
    patch = np.stack([PATCH, PATCH + 1], axis=-1)
    shown, answer = Masking(1.5, kind, 3).hide(patch, np.random.default_rng(7))
    values, mask = answer[..., :2], answer[..., 2:]
    assert (shown.dtype, answer.dtype) == (np.float32, np.float32)
    assert set(np.unique(mask)) == {0.0, 1.0}
    np.testing.assert_array_equal(values, patch * mask)
    np.testing.assert_array_equal(shown[mask == 0], patch[mask == 0])
    assert (shown[mask == 1] != patch[mask == 1]).mean() > 0.8
    assert not np.array_equal(mask[..., 0], mask[..., 1])


def test_a_structured_mask_hides_the_same_neighbours_as_the_librarys() -> None:
    masking = Masking(0.198, reach=(0, 3))
    assert masking.structure == [[1] * 7]
    patch = PATCH[..., np.newaxis]
    shown, answer = masking.hide(patch, np.random.default_rng(8))
    spots = np.argwhere(answer[..., 1])
    theirs = patch[..., 0].copy()
    N2V_DataWrapper.apply_structN2Vmask(
        None, theirs, tuple(spots.T), 2, np.array(masking.structure)
    )
    hidden = theirs != patch[..., 0]
    hidden[tuple(spots.T)] = True
    np.testing.assert_array_equal(shown[..., 0] != patch[..., 0], hidden)
    beside = hidden.copy()
    beside[tuple(spots.T)] = False
    assert np.abs(shown[..., 0][beside]).max() <= 2


def test_the_librarys_configuration_takes_the_structured_mask() -> None:
    structure = Masking(1.5, reach=(1, 0, 2)).structure
    config = N2VConfig(np.random.rand(1, 8, 8, 8, 1), structN2Vmask=structure)
    assert config.is_valid()
    assert np.shape(structure) == (3, 1, 5)
    assert Masking(1.5).structure is None


def test_the_same_generator_gives_the_same_blind_spots() -> None:
    patch = PATCH[..., np.newaxis]
    one, same, other = (
        Masking(1.5).hide(patch, np.random.default_rng(seed))[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)

# SPDX-License-Identifier: BSD-3-Clause
"""Hides pixels of a patch, whose values the network then has to tell from what surrounds them: the blind spots.

As `n2v.internals.N2V_DataWrapper` and `n2v.utils.n2v_utils` do it (n2v 0.3.3), for all blind spots of a patch at once,
and with a random generator of the caller's: the library's own is the global one of NumPy, which neither threads nor a
training that is taken up again can share.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Mapping, Optional, Sequence, Tuple

import numpy as np

NORMAL_SIGMA = 4.0
"""Spread in pixels of `Manipulator.NORMAL_WITHOUT_CP`, as in the library, which leaves the radius out there."""

_FLAT = 2.0
"""Neighbours that a structured mask hides get random values from -2 to 2 standard deviations, as in the library."""


class Manipulator(Enum):
    """What a blind spot shows instead of its value, by the library's names.

    The library's ``identity``, which shows the value and so hides nothing, is left out.
    """

    UNIFORM_WITH_CP = "uniform_withCP"
    UNIFORM_WITHOUT_CP = "uniform_withoutCP"
    NORMAL_WITHOUT_CP = "normal_withoutCP"
    NORMAL_ADDITIVE = "normal_additive"
    NORMAL_FITTED = "normal_fitted"
    MEAN = "mean"
    MEDIAN = "median"


@dataclass(frozen=True)
class Masking:
    """How blind spots are laid and filled.

    Attributes
    ----------
    percent
        One blind spot lies in each square (3D: cube) whose edge is ``sqrt(100 / percent)`` pixels, rounded. In 2D that
        is this share of the pixels, in 3D far fewer, in the library as here.
    manipulator
        What they show.
    radius
        Of the surroundings that values are taken from, in pixels; for ``normal_additive`` the strength of the noise in
        standard deviations of the images.
    reach
        How far beside a blind spot pixels are hidden too, (Y, X) or (Z, Y, X) in pixels: StructN2V (Broaddus et al.
        2020, doi:10.1109/ISBI45749.2020.9098336). None: nowhere.
    """

    percent: float
    manipulator: Manipulator = Manipulator.UNIFORM_WITH_CP
    radius: int = 5
    reach: Optional[Tuple[int, ...]] = None

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Masking:
        """Take it from the parameters of a training."""
        reach = parameters["n2v_struct_reach"]
        return cls(
            parameters["n2v_perc_pix"],
            Manipulator(parameters["n2v_manipulator"]),
            parameters["n2v_neighborhood_radius"],
            tuple(reach) if any(reach) else None,
        )

    @property
    def structure(self) -> Optional[Any]:
        """The library's ``structN2Vmask``: nested lists of ones around the blind spot, or None."""
        if self.reach is None:
            return None
        return np.ones([2 * each + 1 for each in self.reach], int).tolist()

    def hide(self, patch: np.ndarray, rng: np.random.Generator) -> Tuple[np.ndarray, np.ndarray]:
        """Lay blind spots into a patch, others in each channel.

        Parameters
        ----------
        patch
            Normalised, float32, shape ([z,] y, x, channels); left as it is.
        rng
            The same state gives the same blind spots.

        Returns
        -------
        shown : numpy.ndarray
            The patch with blind spots.
        answer : numpy.ndarray
            Shape ([z,] y, x, 2 * channels): the hidden values, 0 elsewhere, then 1 at blind spots, 0 elsewhere.
        """
        shown, channels = patch.copy(), patch.shape[-1]
        answer = np.zeros((*patch.shape[:-1], 2 * channels), np.float32)
        for channel in range(channels):
            spots = self.spots(patch.shape[:-1], rng)
            at = tuple(spots.T)
            answer[(*at, channel)] = patch[(*at, channel)]
            answer[(*at, channels + channel)] = 1.0
            shown[(*at, channel)] = self.values(patch[..., channel], spots, rng)
            self._hide_beside(shown[..., channel], spots, rng)
        return shown, answer

    def spots(self, shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
        """Draw a position in each box of a grid; those beyond the edge are left out, but one at least is kept.

        The loss is a mean over blind spots: without any, as the library may have it in small patches, it is no number.

        Returns
        -------
        numpy.ndarray
            Shape (spots, axes).
        """
        size = np.asarray(shape)
        edge = max(1, round((100.0 / self.percent) ** 0.5))
        corners = np.indices(-(-size // edge)).reshape(len(size), -1).T * edge
        drawn = (corners + rng.random(corners.shape) * edge).astype(np.int64)
        inside = drawn[(drawn < size).all(axis=1)]
        return inside if len(inside) else rng.integers(0, size)[np.newaxis]

    def values(self, pixels: np.ndarray, spots: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return what blind spots (spots, axes) show, of one channel."""
        kind = self.manipulator
        if kind is Manipulator.UNIFORM_WITH_CP:
            low, high = self._window(pixels, spots)
            return _at(pixels, rng.integers(low, high))
        if kind is Manipulator.UNIFORM_WITHOUT_CP:
            return _at(pixels, self._beside(pixels, spots, rng))
        if kind is Manipulator.NORMAL_WITHOUT_CP:
            return _at(pixels, _nearby(pixels, spots, rng))
        if kind is Manipulator.NORMAL_ADDITIVE:
            return rng.normal(_at(pixels, spots), self.radius)
        around = self._surroundings(pixels, spots, centre=kind is Manipulator.NORMAL_FITTED)
        if kind is Manipulator.NORMAL_FITTED:
            return np.asarray(rng.normal(np.nanmean(around, axis=1), np.nanstd(around, axis=1)))
        middle = np.nanmean if kind is Manipulator.MEAN else np.nanmedian
        return np.asarray(middle(around, axis=1))

    def _window(self, pixels: np.ndarray, spots: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """First and one past the last position around each spot, cut at the edge of the patch."""
        return np.maximum(spots - self.radius, 0), np.minimum(spots + self.radius + 1, pixels.shape)

    def _beside(
        self, pixels: np.ndarray, spots: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw a position around each spot that is not the spot."""
        low, high = self._window(pixels, spots)
        drawn = rng.integers(low, high)
        same = (drawn == spots).all(axis=1)
        while same.any():
            drawn[same] = rng.integers(low[same], high[same])
            same = (drawn == spots).all(axis=1)
        return drawn

    def _surroundings(self, pixels: np.ndarray, spots: np.ndarray, centre: bool) -> np.ndarray:
        """Return the values around each spot, shape (spots, positions); NaN beyond the edge of the patch."""
        offsets = _offsets([self.radius] * pixels.ndim, centre)
        places = spots[:, np.newaxis] + offsets
        inside = ((places >= 0) & (places < pixels.shape)).all(axis=-1)
        clipped = np.clip(places, 0, np.array(pixels.shape) - 1)
        return np.where(inside, pixels[tuple(np.moveaxis(clipped, -1, 0))], np.nan)

    def _hide_beside(self, shown: np.ndarray, spots: np.ndarray, rng: np.random.Generator) -> None:
        """Fill what the structured mask hides beside each spot with random values, in place."""
        if self.reach is None:
            return
        places = (spots[:, np.newaxis] + _offsets(self.reach, centre=False)).reshape(-1, shown.ndim)
        places = np.clip(places, 0, np.array(shown.shape) - 1)
        shown[tuple(places.T)] = rng.uniform(-_FLAT, _FLAT, len(places))


def _at(pixels: np.ndarray, places: np.ndarray) -> np.ndarray:
    values: np.ndarray = pixels[tuple(places.T)]
    return values


def _nearby(pixels: np.ndarray, spots: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a position near each spot, normally distributed; never the spot, which the library means to leave out."""
    most = np.array(pixels.shape) - 1
    drawn = spots.copy()
    same = np.ones(len(spots), bool)
    while same.any():
        moved = np.round(rng.normal(spots[same], NORMAL_SIGMA)).astype(np.int64)
        drawn[same] = np.clip(moved, 0, most)
        same = (drawn == spots).all(axis=1)
    return drawn


def _offsets(reach: Sequence[int], centre: bool) -> np.ndarray:
    """Displacements from a spot within so many pixels along each axis, shape (positions, axes)."""
    sizes = [2 * each + 1 for each in reach]
    grid: np.ndarray = np.indices(sizes).reshape(len(reach), -1).T - np.array(reach)
    return grid if centre else grid[grid.any(axis=1)]

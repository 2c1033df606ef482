# SPDX-License-Identifier: BSD-3-Clause
"""Varied copies of patches: image and target are moved together, only the image's intensities change.

A variation is called as ``variation(source, target, axes, rng)``; `Augmentation` is a sequence of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import numpy as np

from dl4mic_sdk.patches import Augment

_Pair = Tuple[np.ndarray, Optional[np.ndarray]]


@dataclass(frozen=True)
class Augmentation:
    """Variations applied one after the other.

    Attributes
    ----------
    variations
        In the order in which they are applied.
    """

    variations: Sequence[Augment]

    def __call__(
        self,
        source: np.ndarray,
        target: Optional[np.ndarray],
        axes: str,
        rng: np.random.Generator,
    ) -> _Pair:
        """Vary a patch.

        Parameters
        ----------
        source
            Array along `axes`.
        target
            Along the same axes, or without C; or None.
        axes
            Has Y and X; C, if there, is the last.
        rng
            The same state gives the same result.
        """
        for each in self.variations:
            source, target = each(source, target, axes, rng)
        return source, target


@dataclass(frozen=True)
class FlipRotate:
    """One of the eight flips and quarter turns of Y and X, each as likely; no pixel is interpolated.

    Z is left alone: the optics differ along it. A patch that is not square is flipped and turned by half only.

    Attributes
    ----------
    quarter_turns
        Off where Y and X are not alike: every patch is flipped and turned by half only.
    """

    quarter_turns: bool = True

    def __call__(
        self,
        source: np.ndarray,
        target: Optional[np.ndarray],
        axes: str,
        rng: np.random.Generator,
    ) -> _Pair:
        """Vary a patch; see `Augmentation`."""
        y, x = axes.index("Y"), axes.index("X")
        turns = self.quarter_turns and source.shape[y] == source.shape[x]
        which = int(rng.integers(8 if turns else 4))
        moved = _moved(source, y, x, which)
        return moved, None if target is None else _moved(target, y, x, which)


@dataclass(frozen=True)
class Intensity:
    """Scale and shift the intensities of the image: ``source * scale + shift``, as float32.

    The defaults are those of StarDist's example notebooks, for images normalised to about 0..1.

    Attributes
    ----------
    scale, shift
        Lowest and highest; drawn evenly between them for each patch.
    """

    scale: Tuple[float, float] = (0.6, 2.0)
    shift: Tuple[float, float] = (-0.2, 0.2)

    def __call__(
        self,
        source: np.ndarray,
        target: Optional[np.ndarray],
        axes: str,
        rng: np.random.Generator,
    ) -> _Pair:
        """Vary a patch; see `Augmentation`."""
        scale, shift = rng.uniform(*self.scale), rng.uniform(*self.shift)
        return source.astype(np.float32) * np.float32(scale) + np.float32(shift), target


@dataclass(frozen=True)
class GaussianNoise:
    """Add Gaussian noise to the image, as float32.

    Attributes
    ----------
    sigma
        Highest standard deviation; drawn evenly from 0 up for each patch. The default is that of StarDist's example
        notebooks, for images normalised to about 0..1.
    """

    sigma: float = 0.02

    def __call__(
        self,
        source: np.ndarray,
        target: Optional[np.ndarray],
        axes: str,
        rng: np.random.Generator,
    ) -> _Pair:
        """Vary a patch; see `Augmentation`."""
        sigma = np.float32(self.sigma * rng.uniform())
        noise = rng.standard_normal(source.shape, dtype=np.float32)
        return source.astype(np.float32) + sigma * noise, target


@dataclass(frozen=True)
class Warp:
    """Shift, zoom, turn, shear and deform Y and X; what comes in from outside is mirrored.

    Attributes
    ----------
    shift
        Greatest shift as a share of the patch's size.
    zoom
        Greatest enlargement and reduction: 0.1 gives factors of 0.9 to 1.1.
    rotation, shear
        Greatest angles in degrees.
    elastic
        Standard deviation in pixels of a random displacement that is smooth over `elastic_scale`; 0: none.
    elastic_scale
        Standard deviation in pixels of the Gaussian that smooths the displacement (Simard et al. 2003).
    target_labels
        The target holds object numbers or classes, which must not be interpolated.
    """

    shift: float = 0.1
    zoom: float = 0.1
    rotation: float = 0.0
    shear: float = 10.0
    elastic: float = 0.0
    elastic_scale: float = 10.0
    target_labels: bool = True

    def __call__(
        self,
        source: np.ndarray,
        target: Optional[np.ndarray],
        axes: str,
        rng: np.random.Generator,
    ) -> _Pair:
        """Vary a patch; see `Augmentation`."""
        size = source.shape[axes.index("Y")], source.shape[axes.index("X")]
        places = self._places(size, rng)
        moved = _warped(source, axes, places, order=1)
        if target is None:
            return moved, None
        return moved, _warped(target, axes, places, order=0 if self.target_labels else 1)

    def _places(self, size: Tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """Return where each pixel comes from: (2, Y, X)."""
        middle = (np.array(size, float).reshape(2, 1, 1) - 1) / 2
        angle = np.deg2rad(rng.uniform(-self.rotation, self.rotation))
        shear = np.tan(np.deg2rad(rng.uniform(-self.shear, self.shear)))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = (
            turn @ np.array([[1.0, shear], [0.0, 1.0]]) / (1 + rng.uniform(-self.zoom, self.zoom))
        )
        places = np.tensordot(matrix, np.indices(size) - middle, 1) + middle
        places += (rng.uniform(-self.shift, self.shift, 2) * size).reshape(2, 1, 1)
        return places + self._displacement(size, rng) if self.elastic else places

    def _displacement(self, size: Tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        from scipy.ndimage import gaussian_filter

        noise = rng.standard_normal((2,) + size)
        smooth = np.stack(
            [gaussian_filter(each, self.elastic_scale, mode="reflect") for each in noise]
        )
        return self.elastic * smooth / max(float(smooth.std()), 1e-12)


def _moved(pixels: np.ndarray, y: int, x: int, which: int) -> np.ndarray:
    """Apply one of the eight symmetries of the square; the first four keep a rectangle's shape."""
    if which & 1:
        pixels = np.flip(pixels, y)
    if which & 2:
        pixels = np.flip(pixels, x)
    if which & 4:
        pixels = np.swapaxes(pixels, y, x)
    return np.ascontiguousarray(pixels)


def _warped(pixels: np.ndarray, axes: str, places: np.ndarray, order: int) -> np.ndarray:
    from scipy.ndimage import map_coordinates

    yx = axes.index("Y"), axes.index("X")
    planes = np.moveaxis(pixels, yx, (-2, -1))
    flat = planes.reshape((-1,) + planes.shape[-2:])
    moved = [map_coordinates(each, places, order=order, mode="reflect") for each in flat]
    return np.ascontiguousarray(np.moveaxis(np.stack(moved).reshape(planes.shape), (-2, -1), yx))

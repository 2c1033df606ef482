# SPDX-License-Identifier: BSD-3-Clause
"""What a plane and its target say of each other (shift, sharpness, noise), and how the noise of a plane correlates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional, Tuple

import numpy as np
from scipy import ndimage

_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], float)
_SMOOTH = 1.5
"""px; sharpness is looked at through a Gaussian of this width: details of some pixels pass, and little noise."""

_FINEST = 4
"""Shifts are found to a quarter of a pixel."""

_TILE = 16
_DARKEST = 0.1
"""Share of the tiles, those that vary least, whose pixels are taken for noise alone."""

_FEWEST_TILES = 4


@dataclass(frozen=True)
class PairFacts:
    """What a plane and its target say of each other.

    Attributes
    ----------
    shift
        Pixels along Y and X by which the target lies off.
    likeness
        Pearson correlation of their details when the shift is taken back.
    gain
        By how much that is above their correlation as they are.
    sharpness, noise
        Of the target, as a multiple of that of its source; None where the planes do not show it.
    """

    shift: Tuple[float, float]
    likeness: float
    gain: float
    sharpness: Optional[float]
    noise: Optional[float]


def pair_facts(source: np.ndarray, target: np.ndarray) -> Optional[PairFacts]:
    """Compare a plane with its target.

    Parameters
    ----------
    source, target
        Of one shape (Y, X).

    Returns
    -------
    PairFacts or None
        None: one of them is the same everywhere, or too small.
    """
    planes = [each.astype(np.float64) for each in (source, target)]
    if min(source.shape) < 2 * _TILE or any(np.ptp(each) == 0 for each in planes):
        return None
    one, other = (_detail(each) for each in planes)
    shift = _shift_of(one, other)
    back = ndimage.shift(other, [-each for each in shift], order=1, mode="nearest")
    inside = tuple(slice(margin, -margin) for margin in (int(abs(s)) + 1 for s in shift))
    likeness = _pearson(one[inside], back[inside])
    gain = likeness - _pearson(one[inside], other[inside])
    sharpness = [sharpness_of(each) for each in planes]
    noise = [noise_of(each) / _span(each) for each in planes]
    return PairFacts(shift, likeness, gain, _ratio(*sharpness), _ratio(*noise))


def _shift_of(one: np.ndarray, other: np.ndarray) -> Tuple[float, float]:
    """Estimate by how many pixels the details of a target lie off, along Y and X.

    The peak of the cross-correlation (Guizar-Sicairos et al. 2008, doi:10.1364/OL.33.000156, as scikit-image has it);
    that of the phase alone would be the noise's.
    """
    from skimage.registration import phase_cross_correlation

    window = np.outer(*(np.hanning(length) for length in one.shape))
    register: Any = phase_cross_correlation
    found = register(one * window, other * window, upsample_factor=_FINEST, normalization=None)
    down, along = (-float(each) for each in found[0])
    return down, along


def noise_of(plane: np.ndarray) -> float:
    """Estimate the standard deviation of white noise (Immerkaer 1996, doi:10.1006/cviu.1996.0060).

    Of the residuals the median is taken, not the mean as there: edges count less (factor 0.6745 of the normal
    distribution, 6 of the kernel's norm).
    """
    residual = ndimage.convolve(plane, _NOISE_KERNEL)[1:-1, 1:-1]
    return float(np.median(np.abs(residual))) / (0.6745 * 6)


def sharpness_of(plane: np.ndarray) -> Optional[float]:
    """Power of the slopes in units of that of the plane, what white noise adds to both taken off; None: noise alone."""
    smooth = ndimage.gaussian_filter(plane, _SMOOTH)
    noise = noise_of(plane) ** 2
    slopes, level = _slope_power(smooth), float(smooth.var())
    of_slopes, of_level = _noise_gains()
    level -= noise * of_level
    slopes -= noise * of_slopes
    if level <= noise * of_level or slopes <= 0:
        return None
    return float(np.sqrt(slopes / level))


def noise_correlation(plane: np.ndarray) -> Optional[float]:
    """Correlation of the noise of neighbouring pixels, along Y or X, whichever is the stronger.

    It is measured in the tiles of 16 x 16 px that vary least, each less its own plane; white noise has 0.

    Returns
    -------
    float or None
        -1..1; None: the plane is too small, or these tiles have no noise.
    """
    tiles = _tiles(plane.astype(np.float64))
    spread = tiles.var(axis=(1, 2))
    tiles, spread = tiles[spread > 0], spread[spread > 0]
    count = int(len(tiles) * _DARKEST)
    if count < _FEWEST_TILES:
        return None
    flat = tiles[np.argsort(spread, kind="stable")[:count]]
    flat = flat / flat.std(axis=(1, 2), keepdims=True)
    down = float((flat[:, 1:] * flat[:, :-1]).mean())
    along = float((flat[..., 1:] * flat[..., :-1]).mean())
    return max(down, along, key=abs)


def _tiles(plane: np.ndarray) -> np.ndarray:
    """Cut a plane into tiles, (tiles, 16, 16), and take off each the plane that fits it best."""
    rows, columns = (length // _TILE for length in plane.shape)
    cut = plane[: rows * _TILE, : columns * _TILE].reshape(rows, _TILE, columns, _TILE)
    tiles = cut.swapaxes(1, 2).reshape(-1, _TILE, _TILE)
    slope = np.arange(_TILE) - (_TILE - 1) / 2
    norm = _TILE * float((slope**2).sum())
    tiles = tiles - tiles.mean(axis=(1, 2), keepdims=True)
    down = (tiles * slope[:, np.newaxis]).sum(axis=(1, 2), keepdims=True) / norm
    along = (tiles * slope).sum(axis=(1, 2), keepdims=True) / norm
    flat: np.ndarray = tiles - down * slope[:, np.newaxis] - along * slope
    return flat


def _detail(plane: np.ndarray) -> np.ndarray:
    """Keep what is between some pixels and some tens of them: noise and background say nothing of a shift."""
    smooth = ndimage.gaussian_filter(plane, 2.0)
    detail: np.ndarray = smooth - ndimage.uniform_filter(smooth, 33)
    return detail


def _slope_power(plane: np.ndarray) -> float:
    return float(sum((each**2).mean() for each in np.gradient(plane)))


def _noise_gains() -> Tuple[float, float]:
    """What white noise of variance 1 adds to the power of slopes, and to the variance, of a smoothed plane."""
    point = np.zeros((33, 33))
    point[16, 16] = 1
    response = ndimage.gaussian_filter(point, _SMOOTH)
    return _slope_power(response) * response.size, float((response**2).sum())


def _span(plane: np.ndarray) -> float:
    """Bright end minus dark end of the smoothed plane: what the noise stands against."""
    low, high = np.percentile(ndimage.gaussian_filter(plane, _SMOOTH), (1, 99.9))
    return float(high - low)


def _pearson(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def _ratio(source: Optional[float], target: Optional[float]) -> Optional[float]:
    return None if source is None or target is None or source <= 0 else target / source

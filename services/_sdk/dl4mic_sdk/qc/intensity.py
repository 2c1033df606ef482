# SPDX-License-Identifier: BSD-3-Clause
"""Intensities of two images against each other: percentiles, moments, and the threshold of the foreground."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from functools import reduce
from typing import List, Optional, Sequence, Tuple

import numpy as np

DARKEST, BRIGHTEST = 0.1, 99.9
"""Percentiles that become 0 and 1: they leave dead and hot pixels out (Weigert et al. 2018, and the notebooks)."""

BINS = 256
"""Of the histogram that the threshold is found on."""


def percentiles(pixels: np.ndarray, low: float, high: float) -> Tuple[float, float]:
    """Return two percentiles, interpolated linearly as NumPy does by default, whose versions differ in the last digit.

    Parameters
    ----------
    pixels : ndarray, any shape and real dtype
        Finite values.
    low, high
        In 0..100.
    """
    last = pixels.size - 1
    places = [last * each / 100 for each in (low, high)]
    indices = sorted({near for each in places for near in (int(each), min(int(each) + 1, last))})
    ordered = np.partition(pixels, indices, axis=None)
    first, second = (_between(ordered, each, last) for each in places)
    return first, second


def _between(ordered: np.ndarray, place: float, last: int) -> float:
    below = float(ordered[int(place)])
    above = float(ordered[min(int(place) + 1, last)])
    return below + (above - below) * (place - int(place))


@dataclass(frozen=True)
class Moments:
    """Sums of two images over the same pixels; those of several parts add up.

    Attributes
    ----------
    pixels
        How many.
    target_mean, mean
        Of the target and of the other image.
    target_square, square, product
        Sums of the squared deviations from the means, and of their products.
    """

    pixels: int
    target_mean: float
    mean: float
    target_square: float
    square: float
    product: float

    @classmethod
    def of(cls, target: np.ndarray, image: np.ndarray) -> Moments:
        """Compute them in float64; the arrays are of one shape and not empty."""
        (first, one), (second, other) = map(_centred, (target, image))
        return cls(one.size, first, second, dot(one, one), dot(other, other), dot(one, other))

    def __add__(self, more: Moments) -> Moments:
        """Join two parts (Chan et al. 1983, doi:10.1080/00031305.1983.10483115)."""
        pixels = self.pixels + more.pixels
        share, weight = more.pixels / pixels, self.pixels * more.pixels / pixels
        one, other = more.target_mean - self.target_mean, more.mean - self.mean
        return Moments(
            pixels,
            self.target_mean + one * share,
            self.mean + other * share,
            self.target_square + more.target_square + one * one * weight,
            self.square + more.square + other * other * weight,
            self.product + more.product + one * other * weight,
        )

    @property
    def slope(self) -> float:
        """Factor of the least-squares fit of the image to the target; 0 for a constant image."""
        return self.product / self.square if self.square > 0 else 0.0

    @property
    def correlation(self) -> Optional[float]:
        """Pearson's correlation; None where one of the images is constant."""
        scale = math.sqrt(self.target_square) * math.sqrt(self.square)
        return max(-1.0, min(1.0, self.product / scale)) if scale > 0 else None


def dot(one: np.ndarray, other: np.ndarray) -> float:
    """Sum the products of two flat arrays: without BLAS, whose threads wait for each other on a busy machine."""
    return float(np.einsum("i,i->", one, other))


def _centred(pixels: np.ndarray) -> Tuple[float, np.ndarray]:
    """Return the mean and the flat deviations from it; one value is taken off first, so that a constant has none."""
    flat = pixels.ravel().astype(np.float64)
    first = float(flat[0])
    flat -= first
    mean = float(flat.mean())
    flat -= mean
    return first + mean, flat


def moments_of(targets: np.ndarray, images: np.ndarray) -> List[Moments]:
    """Return the moments of each plane; shapes (planes, rows, columns)."""
    return [Moments.of(target, image) for target, image in zip(targets, images)]


def total_of(parts: Sequence[Moments]) -> Moments:
    """Join the moments of parts, of which there is at least one."""
    return reduce(operator.add, parts)


def histogram(unit: np.ndarray) -> np.ndarray:
    """Count values of 0..1 in `BINS` bins of equal width; the last one holds 1, too."""
    at = (unit * BINS).astype(np.intp)
    return np.bincount(np.minimum(at, BINS - 1, out=at).ravel(), minlength=BINS)


def otsu_threshold(counts: np.ndarray) -> float:
    """Find the threshold that parts a histogram of 0..1 into two classes of the largest variance between them.

    Otsu 1979, doi:10.1109/TSMC.1979.4310076, as scikit-image 0.26 returns it: the middle of the darker class's last
    bin. In float64, since that library's single precision counts no more than 2**24 pixels exactly.
    """
    middles = (np.arange(counts.size) + 0.5) / counts.size
    dark, bright = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    dark_sum, bright_sum = (
        np.cumsum(counts * middles),
        np.cumsum((counts * middles)[::-1])[::-1],
    )
    both = (dark[:-1] > 0) & (bright[1:] > 0)
    means = dark_sum[:-1] / np.maximum(dark[:-1], 1), bright_sum[1:] / np.maximum(bright[1:], 1)
    between = np.where(both, 1.0 * dark[:-1] * bright[1:] * (means[0] - means[1]) ** 2, 0.0)
    return float(middles[int(between.argmax())])

# SPDX-License-Identifier: BSD-3-Clause
"""Brings intensities to about 0..1 by percentiles, alike in training, validation, QC, prediction."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Iterable, Iterator, Mapping, Tuple

import numpy as np

from dl4mic_sdk.images import Image, ImageOnDisk

TINY = np.float32(1e-20)
"""Keeps a constant image from a division by zero, as in csbdeep."""

Limits = Tuple[Any, Any]
"""The intensities that become 0 and 1: numbers, or arrays along the channels."""

Blocks = Callable[[], Iterable[np.ndarray]]
"""Makes an iterator over parts of an image that hold each pixel once."""

_HALF = 1 << 16


@dataclass(frozen=True)
class Normalisation:
    """Percentiles of the whole image that become 0 and 1.

    Attributes
    ----------
    low, high
        In percent; csbdeep's examples and the ZeroCostDL4Mic notebooks use 1 and 99.8.
    """

    low: float = 1.0
    high: float = 99.8

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Normalisation:
        """Take the percentiles from a network's parameters."""
        return cls(float(parameters["percentile_low"]), float(parameters["percentile_high"]))

    def limits(self, pixels: np.ndarray) -> Tuple[float, float]:
        """Return the intensities of the two percentiles, as `numpy.percentile` interpolates them."""
        if pixels.dtype in (np.uint8, np.uint16):
            return self._of_counts(np.bincount(pixels.ravel()))
        low, high = np.percentile(pixels, [self.low, self.high])
        return float(low), float(high)

    def limits_of(self, blocks: Blocks) -> Tuple[float, float]:
        """Return the same of an image that is seen part by part, of whatever size, in 65536 counters.

        Numbers of 8 and 16 bit are counted in one pass. Others are counted as float32 by their upper 16 bit, and in a
        second pass those near the percentiles by their lower 16 bit: the result is that of the whole image rounded to
        float32 (a relative error below 6e-8).
        """
        first = next(iter(blocks()))
        if first.dtype in (np.uint8, np.uint16):
            return self._of_counts(_counted(blocks()))
        upper = _counted(_ordered(each) >> 16 for each in blocks())
        ranks, share = self._ranks(int(upper.sum()))
        below, above = _selected(blocks, upper, ranks)
        low, high = below + (above - below) * share
        return float(low), float(high)

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """Return an image as float32 with its own percentiles at 0 and 1; nothing is clipped."""
        return scale(pixels, self.limits(pixels))

    def limits_by_channel(self, image: Image) -> Limits:
        """Return the limits of an image, or of each of its channels by itself, as csbdeep's examples do."""
        if "C" not in image.axes:
            return self.limits(image.pixels)
        channels = np.moveaxis(image.pixels, image.axes.index("C"), 0)
        low, high = np.transpose([self.limits(each) for each in channels])
        return low, high

    def limits_on_disk(self, image: ImageOnDisk) -> Limits:
        """Return the same of an image that is read part by part."""
        if "C" not in image.axes:
            return self.limits_of(image.bands)
        at = image.axes.index("C")
        channels = [
            self.limits_of(partial(_channel_of, image, which)) for which in range(image.shape[at])
        ]
        low, high = np.transpose(channels)
        return low, high

    def normalised(self, image: Image) -> np.ndarray:
        """Return an image as the network sees it: normalised, channels last."""
        return scale(channels_last(image.pixels, image.axes), self.limits_by_channel(image))

    def _of_counts(self, counts: np.ndarray) -> Tuple[float, float]:
        """Percentiles of small integers from their histogram, several times as fast as by sorting."""
        up_to = np.cumsum(counts)
        ranks, share = self._ranks(int(up_to[-1]))
        below, above = np.searchsorted(up_to, ranks, side="right")
        values = below + (above - below) * share
        return float(values[0]), float(values[1])

    def _ranks(self, size: int) -> Tuple[np.ndarray, np.ndarray]:
        """Ranks of the pixels around the two percentiles, shape (2, 2), and where between them these lie."""
        exact = np.array([self.low, self.high]) / 100 * (size - 1)
        below = np.floor(exact).astype(np.int64)
        return np.stack([below, np.minimum(below + 1, size - 1)]), exact - below


def scale(pixels: np.ndarray, limits: Limits) -> np.ndarray:
    """Bring the first limit to 0 and the second to 1, as csbdeep's `normalize_mi_ma` does; returns float32."""
    low, high = np.float32(limits[0]), np.float32(limits[1])
    scaled: np.ndarray = (pixels.astype(np.float32) - low) / (high - low + TINY)
    return scaled


def channels_last(pixels: np.ndarray, axes: str) -> np.ndarray:
    """Bring the channels of pixels along `axes`, if there are any, behind the other axes."""
    return np.moveaxis(pixels, axes.index("C"), -1) if "C" in axes else pixels


def _channel_of(image: ImageOnDisk, which: int) -> Iterator[np.ndarray]:
    at = image.axes.index("C")
    return (each.take(which, at) for each in image.bands())


def _counted(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Count how often each number below 65536 occurs."""
    counts = np.zeros(_HALF, np.int64)
    for each in blocks:
        counts += np.bincount(each.ravel(), minlength=_HALF)
    return counts


def _ordered(pixels: np.ndarray) -> np.ndarray:
    """Turn numbers into uint32 that are ordered as the numbers are: as float32, by their bits."""
    bits = pixels.astype(np.float32).view(np.uint32)
    sign = np.uint32(1 << 31)
    return np.where(bits & sign, ~bits, bits | sign)


def _selected(blocks: Blocks, upper: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Return the pixels of some ranks, given how many have which upper bits."""
    up_to = np.cumsum(upper)
    buckets = np.searchsorted(up_to, ranks, side="right")
    lower = {int(each): np.zeros(_HALF, np.int64) for each in np.unique(buckets)}
    for each in blocks():
        keys = _ordered(each)
        for number, counts in lower.items():
            counts += np.bincount(keys[keys >> 16 == number] & (_HALF - 1), minlength=_HALF)
    found = np.empty(ranks.shape, np.uint32)
    for at, bucket in np.ndenumerate(buckets):
        left = ranks[at] - (up_to[bucket] - upper[bucket])
        inside = np.searchsorted(np.cumsum(lower[int(bucket)]), left, side="right")
        found[at] = int(bucket) << 16 | int(inside)
    sign = np.uint32(1 << 31)
    values = np.where(found & sign, found & ~sign, ~found).view(np.float32)
    return values.astype(np.float64)

# SPDX-License-Identifier: BSD-3-Clause
"""Shows a part of an enlarged image, the same as if the whole had been enlarged."""

from __future__ import annotations

from typing import Any, Callable, Sequence, Tuple

import numpy as np

Read = Callable[[Tuple[slice, ...]], np.ndarray]


class Zoom:
    """An image enlarged by linear interpolation, as by `scipy.ndimage.zoom` of order 1, which the library uses.

    Parameters
    ----------
    shape
        Of the image, without channels.
    factor
        By which it is enlarged along each axis.

    Attributes
    ----------
    shape
        Of the enlarged image.
    """

    def __init__(self, shape: Sequence[int], factor: float) -> None:
        self._factor = factor
        self.shape = tuple(max(1, round(size * factor)) for size in shape)
        self._steps = [
            (size - 1) / (large - 1) if large > 1 else 0.0 for size, large in zip(shape, self.shape)
        ]
        self._last = [size - 1 for size in shape]

    def reading(self, read: Read) -> Read:
        """Make of a function that reads windows of the image one that reads windows of the enlarged one."""
        return read if self._factor == 1 else lambda window: self._enlarged(read, window)

    def _enlarged(self, read: Read, window: Tuple[slice, ...]) -> np.ndarray:
        places = [
            np.arange(part.start, part.stop) * step for part, step in zip(window, self._steps)
        ]
        lows = [
            np.minimum(np.floor(at + 1e-9).astype(int), last)
            for at, last in zip(places, self._last)
        ]
        highs = [np.minimum(low + 1, last) for low, last in zip(lows, self._last)]
        pixels = read(tuple(slice(low[0], high[-1] + 1) for low, high in zip(lows, highs)))
        for axis, (at, low, high) in enumerate(zip(places, lows, highs)):
            pixels = _between(pixels, axis, low - low[0], high - low[0], at - low)
        return pixels.astype(np.float32)


def _between(pixels: np.ndarray, axis: int, low: Any, high: Any, share: np.ndarray) -> np.ndarray:
    weight = share.reshape((-1,) + (1,) * (pixels.ndim - axis - 1))
    found: np.ndarray = pixels.take(low, axis) * (1 - weight) + pixels.take(high, axis) * weight
    return found

# SPDX-License-Identifier: BSD-3-Clause
"""Overlapping tiles of a large image, and their results blended so that no seam shows."""

from __future__ import annotations

import itertools
from typing import Callable, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np

Tile = Tuple[slice, ...]


def tiles(shape: Sequence[int], tile: Sequence[int], overlap: Sequence[int]) -> List[Tile]:
    """Cover an image with tiles of one size.

    Parameters
    ----------
    shape
        Size of the image along each axis.
    tile
        Size of a tile; along an axis where the image is smaller, the image's.
    overlap
        Least overlap of neighbours along each axis, in pixels; less than the tile's size.

    Returns
    -------
    list of tuple of slice
        Spread evenly, so that neighbours overlap as much as the number of tiles allows.

    Raises
    ------
    ValueError
        The overlap is as large as the tile.
    """
    lengths = [min(each, length) for each, length in zip(tile, shape)]
    ranges = [
        [slice(start, start + size) for start in _starts(length, size, least)]
        for length, size, least in zip(shape, lengths, overlap)
    ]
    return list(itertools.product(*ranges))


class Blend:
    """An image that is put together from overlapping tiles.

    Where tiles overlap their weights fall towards the border of each as the square of a sine, and sum to 1
    everywhere. So a constant result stays constant, and a border, where a network sees the least context, counts least.

    Parameters
    ----------
    shape
        Size of the image along each axis.
    where
        All tiles, as `tiles` makes them.
    channels
        Length of a further last axis of the results; None without.
    """

    def __init__(
        self, shape: Sequence[int], where: Sequence[Tile], channels: Optional[int] = None
    ) -> None:
        extra = () if channels is None else (channels,)
        self.pixels = np.zeros(tuple(shape) + extra, np.float32)
        self._channels = channels
        self._weights = [
            _axis_weights({(tile[axis].start, tile[axis].stop) for tile in where}, length)
            for axis, length in enumerate(shape)
        ]

    def weights(self, tile: Tile) -> np.ndarray:
        """Return the weight of each pixel of a tile, float64."""
        along = [each[(part.start, part.stop)] for each, part in zip(self._weights, tile)]
        product = np.ones(())
        for each in along:
            product = product[..., np.newaxis] * each
        return product

    def add(self, tile: Tile, result: np.ndarray) -> None:
        """Add the result of a tile; each tile once. Afterwards `pixels` is the image."""
        weights = self.weights(tile)
        if self._channels is not None:
            weights = weights[..., np.newaxis]
        self.pixels[tile] += (weights * result).astype(np.float32)


def apply_tiled(
    pixels: np.ndarray,
    tile: Sequence[int],
    overlap: Sequence[int],
    apply: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Apply a function to tiles of an image and blend the results.

    Parameters
    ----------
    pixels
        Spatial axes first, as many as `tile` has; a last axis of channels may follow.
    tile, overlap
        As of `tiles`.
    apply
        Gets a tile of `pixels`; returns an array of the same spatial size, with or without a last axis of channels.

    Returns
    -------
    numpy.ndarray
        float32, of the size of the image.
    """
    shape = pixels.shape[: len(tile)]
    where = tiles(shape, tile, overlap)
    first = apply(pixels[where[0]])
    blend = Blend(shape, where, first.shape[len(tile)] if first.ndim > len(tile) else None)
    blend.add(where[0], first)
    for each in where[1:]:
        blend.add(each, apply(pixels[each]))
    return blend.pixels


def _starts(length: int, size: int, overlap: int) -> List[int]:
    if size == length:
        return [0]
    if not 0 <= overlap < size:
        raise ValueError("an overlap of {} is too large for tiles of {}".format(overlap, size))
    count = -(-(length - overlap) // (size - overlap))
    return [(length - size) * index // (count - 1) for index in range(count)]


def _axis_weights(
    parts: Iterable[Tuple[int, int]], length: int
) -> Dict[Tuple[int, int], np.ndarray]:
    """Weights along one axis of each (start, stop)."""
    ordered = sorted(parts)
    raw = {}
    for index, (start, stop) in enumerate(ordered):
        weight = np.ones(stop - start)
        if index:
            weight *= _rise(ordered[index - 1][1] - start, stop - start)
        if index + 1 < len(ordered):
            weight *= _rise(stop - ordered[index + 1][0], stop - start)[::-1]
        raw[(start, stop)] = weight
    total = np.zeros(length)
    for (start, stop), weight in raw.items():
        total[start:stop] += weight
    return {(start, stop): weight / total[start:stop] for (start, stop), weight in raw.items()}


def _rise(width: int, length: int) -> np.ndarray:
    """Rise from 0 to 1 over the first pixels as a squared sine; two such opposed ones sum to 1."""
    rise = np.ones(length)
    rise[:width] = np.sin(np.pi / 2 * (np.arange(width) + 0.5) / max(width, 1)) ** 2
    return rise

# SPDX-License-Identifier: BSD-3-Clause
"""Overlapping tiles of one size, and the weights by which their results blend so that no seam shows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Iterator, List, Optional, Sequence, Tuple

import numpy as np

from dl4mic_sdk.errors import SdkError

Window = Tuple[slice, ...]


@dataclass(frozen=True)
class Part:
    """What one tile contributes along one axis.

    Attributes
    ----------
    sources : ndarray of int
        Index in the image of each of the tile's pixels; beyond the image's ends it is mirrored.
    kept
        The tile's pixels that count.
    place
        Where they lie in the image.
    weights : ndarray of float32
        Of these pixels, 0..1; those of all tiles sum to 1.
    """

    sources: np.ndarray
    kept: slice
    place: slice
    weights: np.ndarray


@dataclass(frozen=True)
class Tile:
    """One tile of an image: its part along each axis."""

    parts: Tuple[Part, ...]

    @property
    def window(self) -> Window:
        """Smallest region of the image that holds all that the tile shows."""
        ends = ((int(each.sources.min()), int(each.sources.max()) + 1) for each in self.parts)
        return tuple(slice(*each) for each in ends)

    @property
    def place(self) -> Window:
        """Where the result lies in the image, as far as it counts."""
        return tuple(each.place for each in self.parts)

    def filled(self, pixels: np.ndarray) -> np.ndarray:
        """Return the tile of the pixels of its `window`; further axes stay as they are."""
        for axis, (part, region) in enumerate(zip(self.parts, self.window)):
            inside = part.sources - region.start
            if len(inside) != pixels.shape[axis] or (np.diff(inside) != 1).any():
                pixels = pixels.take(inside, axis)
        return pixels

    def weighted(self, result: np.ndarray) -> np.ndarray:
        """Return what a result of the tile's size contributes at `place`."""
        found = result[tuple(each.kept for each in self.parts)]
        for axis, part in enumerate(self.parts):
            if (part.weights != 1).any():
                further = (1,) * (found.ndim - axis - 1)
                found = found * part.weights.reshape((-1,) + further)
        return found


@dataclass(frozen=True)
class Tiling:
    """Tiles of one size that cover an image, which is mirrored at its ends to a size that the network takes.

    What is missing to that size is added half before and half behind, as csbdeep's `PadAndCropResizer` does. Tiles
    begin at multiples of what the network needs: so its pooling falls on the same pixels as in the whole image, and
    with enough context the result is that of the whole image.

    Attributes
    ----------
    shape
        Of the image along its spatial axes.
    size
        Of every tile.
    overlap
        Least overlap of neighbours, in pixels.
    multiple
        What the sizes of a tile must be multiples of.
    context
        Pixels at each side of a tile, where another follows, that do not count.
    """

    shape: Tuple[int, ...]
    size: Tuple[int, ...]
    overlap: Tuple[int, ...]
    multiple: Tuple[int, ...]
    context: Tuple[int, ...]

    @classmethod
    def of(
        cls,
        shape: Sequence[int],
        tile: Optional[Sequence[int]],
        overlap: Sequence[int],
        multiple: Sequence[int],
        context: Optional[Sequence[int]] = None,
    ) -> Tiling:
        """Cut an image into tiles.

        Parameters
        ----------
        shape, overlap, multiple
            As of the attributes, which see.
        tile
            Largest size of a tile along the last axes, made a multiple; None: a single one.
        context
            By default 3/8 of the overlap, so that the results blend over its middle quarter.

        Raises
        ------
        SdkError
            The overlap leaves nothing of a tile.
        """
        whole = [_up(length, step) for length, step in zip(shape, multiple)]
        given = list(tile or whole)[-len(whole) :]
        given = whole[: len(whole) - len(given)] + given
        asked = [max(each // step, 1) * step for each, step in zip(given, multiple)]
        size = tuple(min(each, most) for each, most in zip(asked, whole))
        for length, most, least, step in zip(size, whole, overlap, multiple):
            if length < most and _up(least, step) >= length:
                text = "tiles of {} px cannot overlap by {} px".format(length, _up(least, step))
                raise SdkError(text, "Lower tile_overlap, or raise tile.")
        ignored = [each * 3 // 8 for each in overlap] if context is None else context
        return cls(tuple(shape), size, tuple(overlap), tuple(multiple), tuple(ignored))

    def tiles(self) -> List[Tile]:
        """Return the tiles, row by row."""
        along = [list(self._parts(axis)) for axis in range(len(self.shape))]
        return [Tile(parts) for parts in itertools.product(*along)]

    def _parts(self, axis: int) -> Iterator[Part]:
        length, size, step = self.shape[axis], self.size[axis], self.multiple[axis]
        whole = _up(length, step)
        before = (whole - length) // 2
        begins = _starts(whole // step, size // step, _up(self.overlap[axis], step) // step)
        starts = [step * each for each in begins]
        for start, weights in zip(starts, _weights(starts, size, self.context[axis])):
            positions = np.arange(start, start + size) - before
            counted = np.flatnonzero((weights > 0) & (positions >= 0) & (positions < length))
            first, last = int(counted[0]), int(counted[-1]) + 1
            place = slice(int(positions[first]), int(positions[last - 1]) + 1)
            kept = slice(first, last)
            yield Part(_mirrored(positions, length), kept, place, weights[kept])


def _up(length: int, step: int) -> int:
    return -(-length // step) * step


def _starts(length: int, size: int, overlap: int) -> List[int]:
    """Spread the fewest tiles evenly, so that neighbours overlap as much as their number allows."""
    if size >= length:
        return [0]
    count = -(-(length - overlap) // (size - overlap))
    return [(length - size) * index // (count - 1) for index in range(count)]


def _mirrored(positions: np.ndarray, length: int) -> np.ndarray:
    """Mirror indices at the first and the last pixel, as `numpy.pad` does with "reflect"."""
    if length == 1:
        return np.zeros_like(positions)
    period = 2 * (length - 1)
    inside = np.abs(positions) % period
    mirrored: np.ndarray = np.minimum(inside, period - inside)
    return mirrored


def _weights(starts: Sequence[int], size: int, context: int) -> List[np.ndarray]:
    """Weights of the pixels of each tile along one axis, float32, which sum to 1 at every pixel."""
    raw = [np.ones(size) for _ in starts]
    for before, behind, one, other in zip(raw, raw[1:], starts, starts[1:]):
        shared = one + size - other
        rise = _rise(shared, min(context, shared // 2))
        behind[:shared] *= rise
        before[size - shared :] *= rise[::-1]
    total = np.zeros(starts[-1] + size)
    for start, weights in zip(starts, raw):
        total[start : start + size] += weights
    return [
        (weights / total[start : start + size]).astype(np.float32)
        for start, weights in zip(starts, raw)
    ]


def _rise(width: int, context: int) -> np.ndarray:
    """Rise from 0 to 1 as a squared sine, but for the context at both ends; two such opposed ones sum to 1."""
    steps = (np.arange(width) - context + 0.5) / max(width - 2 * context, 1e-9)
    rise: np.ndarray = np.sin(np.pi / 2 * np.clip(steps, 0, 1)) ** 2
    return rise

# SPDX-License-Identifier: BSD-3-Clause
"""Finds the objects of an image tile by tile: each is decided once and drawn whole, and memory does not grow.

The network runs on tiles with as much context as it looks around, which gives the proposals of the whole image. Which
of them are objects is decided tile by tile: what an earlier tile has decided stands and takes part as the likeliest,
and of tiles to come the proposals near the border take part too, so that both sides of a seam decide the same.
"""

from __future__ import annotations

import itertools
import math
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from skimage.draw import polygon
from stardist.geometry import dist_to_coord
from stardist.nms import non_maximum_suppression_inds

Index = Tuple[int, int]
Window = Tuple[slice, ...]
Read = Callable[[Window], np.ndarray]
"""Returns normalised pixels, channels last, of a window of the image as the network sees it."""

_CHAIN = 6
"""Radii of objects from a tile's border within which proposals of the next tile take part: three objects in a row."""

_EARLIER, _LATER = ((-1, -1), (-1, 0), (-1, 1), (0, -1)), ((0, 1), (1, -1), (1, 0), (1, 1))
_BORDER = 2
"""Points of the grid at the edge of an image where nothing is proposed, as in the library."""

_POINT, _RAYS = slice(1, 3), slice(3, None)
"""Columns of a proposal: probability, row and column of its point, distances to its edge."""


@dataclass(frozen=True)
class Tiling:
    """Tiles that cover an image without overlap, and the context that each is seen with.

    Attributes
    ----------
    shape
        Of the image as the network sees it, (y, x).
    size
        Of a tile; the last ones may be smaller.
    context
        Pixels around a tile that the network is shown too.
    """

    shape: Tuple[int, ...]
    size: Tuple[int, ...]
    context: Tuple[int, ...]

    @classmethod
    def of(
        cls, model: Any, shape: Sequence[int], counts: Sequence[int], overlap: Optional[int]
    ) -> Tiling:
        """Cut an image into so many tiles along each axis, or fewer.

        Parameters
        ----------
        model
            Of the library.
        shape
            Of the image as the network sees it.
        counts
            Tiles along each axis.
        overlap
            Of the context of neighbours, in pixels; None takes what the network looks around, as the library does.
        """
        steps = model._axes_div_by("YX")
        around = model._axes_tile_overlap("YX") if overlap is None else [math.ceil(overlap / 2)] * 2
        least = [
            2 * each for each in model.config.grid
        ]  # the library leaves out a border of two points
        context = [_up(max(each, low), step) for each, low, step in zip(around, least, steps)]
        size = [
            max(_up(math.ceil(length / count), step), 2 * margin)
            for length, count, step, margin in zip(shape, counts, steps, context)
        ]
        return cls(tuple(shape), tuple(size), tuple(context))

    @property
    def counts(self) -> Tuple[int, ...]:
        """How many tiles there are along each axis."""
        return tuple(math.ceil(length / size) for length, size in zip(self.shape, self.size))

    def __iter__(self) -> Iterator[Index]:
        """Go through the tiles row by row."""
        rows, columns = self.counts
        return itertools.product(range(rows), range(columns))

    def near(self, index: Index, steps: Sequence[Index]) -> List[Index]:
        """Neighbours of a tile that lie in the image."""
        found = [(index[0] + down, index[1] + along) for down, along in steps]
        return [each for each in found if all(0 <= i < n for i, n in zip(each, self.counts))]

    def core(self, index: Index) -> Window:
        """Where a tile lies."""
        return tuple(
            slice(i * size, min((i + 1) * size, length))
            for i, size, length in zip(index, self.size, self.shape)
        )

    def seen(self, index: Index) -> Window:
        """Where a tile and its context lie."""
        return tuple(
            slice(max(0, part.start - margin), min(part.stop + margin, length))
            for part, margin, length in zip(self.core(index), self.context, self.shape)
        )


class Shelf:
    """Keeps arrays by name: in files of a folder, or without one in memory."""

    def __init__(self, folder: Optional[Path] = None) -> None:
        self._folder = folder
        self._kept: Dict[str, np.ndarray] = {}

    def put(self, kind: str, index: Index, values: np.ndarray) -> None:
        """Keep an array."""
        if self._folder is None:
            self._kept[_name(kind, index)] = values
        else:
            np.save(self._folder / _name(kind, index), values, allow_pickle=False)

    def get(self, kind: str, index: Index) -> np.ndarray:
        """Return an array."""
        if self._folder is None:
            return self._kept[_name(kind, index)]
        kept: np.ndarray = np.load(self._folder / _name(kind, index), allow_pickle=False)
        return kept

    def drop(self, kind: str, index: Index) -> None:
        """Forget an array."""
        if self._folder is None:
            del self._kept[_name(kind, index)]
        else:
            (self._folder / _name(kind, index)).unlink()


@dataclass(frozen=True)
class Part:
    """Objects whose centres lie in one tile.

    Attributes
    ----------
    before
        Objects of the tiles before: the first here has the next number.
    probability : ndarray of float32, shape (objects,)
    outlines : ndarray of float32, shape (objects, 2, rays)
        Row and column of each corner, in pixels of the image.
    """

    before: int
    probability: np.ndarray
    outlines: np.ndarray

    def region(self, shape: Sequence[int]) -> Window:
        """Return the part of an image that holds them all."""
        low = np.floor(self.outlines.min(axis=(0, 2))).astype(int)
        high = np.ceil(self.outlines.max(axis=(0, 2))).astype(int) + 1
        ends = zip(low, high, shape)
        return tuple(slice(max(0, int(a)), max(0, min(int(b), n))) for a, b, n in ends)


class TiledSegmentation:
    """One image on its way from tiles to objects.

    Parameters
    ----------
    model
        Of the library, 2D.
    tiling
        Of the image as the network sees it.
    read
        Gives the pixels of a window.
    thresholds
        ``prob_thresh`` and ``nms_thresh``.
    rescale
        From pixels that the network sees to those of the image, along Y and X.
    labels
        Array of integers, or what can be read and written like one by region; all 0.
    shelf
        For what one tile has to tell another.
    """

    def __init__(
        self,
        model: Any,
        tiling: Tiling,
        read: Read,
        thresholds: Any,
        rescale: Tuple[float, float],
        labels: Any,
        shelf: Shelf,
    ) -> None:
        self._model = model
        self._tiling = tiling
        self._read = read
        self._thresholds = thresholds
        self._rescale = rescale
        self._labels = labels
        self._shelf = shelf
        self._before: Dict[Index, int] = {}
        self._probability = array("f", [0.0])

    @property
    def rays(self) -> int:
        """Corners of an outline."""
        rays: int = self._model.config.n_rays
        return rays

    def run(self) -> None:
        """Find the objects and draw them."""
        rows, columns = self._tiling.counts
        for row in range(rows + 1):
            for column in range(columns if row < rows else 0):
                self._propose((row, column))
            for column in range(columns if row else 0):
                self._decide((row - 1, column))
            for column in range(columns if row > 1 else 0):
                self._shelf.drop("proposed", (row - 2, column))

    def parts(self) -> Iterator[Part]:
        """Go through the objects of tile after tile, once they are drawn."""
        for index in self._tiling:
            part = self._part(index, self._shelf.get("objects", index))
            if part.probability.size:
                yield part

    def _propose(self, index: Index) -> None:
        """Ask the network for the proposals of a tile, those that the library's `predict_sparse` would make of them."""
        window, core, grid = (
            self._tiling.seen(index),
            self._tiling.core(index),
            self._model.config.grid,
        )
        probability, distances = self._answers(window)
        inner = tuple(
            slice(
                max((part.start - seen.start) // step, _BORDER),
                min(math.ceil((part.stop - seen.start) / step), size - _BORDER),
            )
            for part, seen, step, size in zip(core, window, grid, probability.shape)
        )
        likely = np.nonzero(probability[inner] > self._thresholds["prob_thresh"])
        points = [
            (at + part.start) * step + seen.start
            for at, part, step, seen in zip(likely, inner, grid, window)
        ]
        found = (probability[inner][likely], *points)
        columns = (np.stack(found, axis=1), np.maximum(1e-3, distances[inner][likely]))
        self._shelf.put("proposed", index, np.concatenate(columns, axis=1).astype(np.float32))

    def _answers(self, window: Window) -> Tuple[np.ndarray, np.ndarray]:
        """Return probability and distances of a window on the grid; its end is mirrored to what the network needs."""
        pixels = self._read(window)
        steps = self._model._axes_div_by("YX")
        missing = [(0, -size % step) for size, step in zip(pixels.shape, steps)]
        pixels = np.pad(pixels, missing + [(0, 0)] * (pixels.ndim - 2), "reflect")
        if pixels.ndim == 2:
            pixels = pixels[..., np.newaxis]
        probability, distances = self._model.keras_model.predict(pixels[np.newaxis], verbose=0)[:2]
        return probability[0, ..., 0], distances[0]

    def _decide(self, index: Index) -> None:
        """Choose the objects of a tile among its proposals, and draw them."""
        own = self._shelf.get("proposed", index)
        objects = own[:0]
        if len(own):
            fixed, near = self._around(index, own)
            free = np.concatenate([own, near])
            order = np.argsort(-free[:, 0], kind="stable")
            asked = np.concatenate([fixed, free[order]])
            kept = self._suppressed(asked)[len(fixed) :]
            chosen = order[kept]
            objects = own[chosen[chosen < len(own)]]
        self._shelf.put("objects", index, objects)
        self._before[index] = len(self._probability) - 1
        self._probability.extend(objects[:, 0].tolist())
        if len(objects):
            self._draw(self._part(index, objects))

    def _around(self, index: Index, own: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Return what earlier neighbours have decided, and what later ones propose, as far as it matters."""
        core, radius = self._tiling.core(index), own[:, _RAYS].max(axis=1)
        empty = own[:0]
        fixed, near = [empty], [empty]
        for each in self._tiling.near(index, _EARLIER):
            found = self._shelf.get("objects", each)
            reach = radius.max() + found[:, _RAYS].max(axis=1, initial=0)
            fixed.append(found[_away(found, core) <= reach])
        reach = _CHAIN * np.percentile(radius, 99)
        for each in self._tiling.near(index, _LATER):
            found = self._shelf.get("proposed", each)
            near.append(found[_away(found, core) <= reach])
        return np.concatenate(fixed), np.concatenate(near)

    def _suppressed(self, proposals: np.ndarray) -> np.ndarray:
        """Say which proposals, the most important first, overlap with no kept one before them."""
        kept: np.ndarray = non_maximum_suppression_inds(
            proposals[:, _RAYS],
            proposals[:, _POINT],
            scores=proposals[:, 0],
            thresh=self._thresholds["nms_thresh"],
            verbose=False,
        )
        return kept

    def _part(self, index: Index, objects: np.ndarray) -> Part:
        points = objects[:, _POINT] * np.array(self._rescale)
        outlines = dist_to_coord(objects[:, _RAYS], points, scale_dist=self._rescale)
        return Part(self._before[index], objects[:, 0], outlines)

    def _draw(self, part: Part) -> None:
        """Draw objects from the least likely on; where others lie already, the likelier one wins."""
        region = part.region(self._labels.shape)
        pixels = np.array(self._labels[region])
        offset = np.array([[each.start] for each in region])
        known = np.frombuffer(self._probability, np.float32)
        for number in np.argsort(part.probability, kind="stable"):
            rows, columns = polygon(*(part.outlines[number] - offset), pixels.shape)
            free = known[pixels[rows, columns]] <= part.probability[number]
            pixels[rows[free], columns[free]] = part.before + number + 1
        self._labels[region] = pixels


def _away(proposals: np.ndarray, core: Window) -> np.ndarray:
    """How far points lie outside of a tile, along the axis where they do most."""
    outside = [
        np.maximum(part.start - at, at - (part.stop - 1))
        for part, at in zip(core, proposals[:, _POINT].T)
    ]
    away: np.ndarray = np.maximum(*outside)
    return away


def _up(length: int, step: int) -> int:
    """Round up to a multiple."""
    return math.ceil(length / step) * step


def _name(kind: str, index: Index) -> str:
    return "{}_{}_{}.npy".format(kind, *index)

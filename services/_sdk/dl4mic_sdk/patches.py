# SPDX-License-Identifier: BSD-3-Clause
"""Random patches drawn from images while a network trains; the images themselves stay in their files."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from dl4mic_sdk.errors import DataError
from dl4mic_sdk.images import Image
from dl4mic_sdk.pairs import Item

CACHE_BYTES = 64 << 20
"""Pixels kept opened: enough for hundreds of small images, and little beside a framework's own memory."""

MOST_DRAWS = 32
"""Positions tried for a patch that must be accepted, e.g. that must show an object."""

Augment = Callable[[np.ndarray, Optional[np.ndarray], str, np.random.Generator], Tuple[Any, Any]]
Measure = Callable[[Image], Tuple[Any, Any]]
Accept = Callable[[np.ndarray, Optional[np.ndarray], Item], bool]
_Pair = Tuple[Image, Optional[Image]]


@dataclass(frozen=True)
class Patch:
    """A part of an image and the same part of its target.

    Attributes
    ----------
    source
        Array along `axes`; float32 where the sampler normalises.
    target
        The same part of the target without channels of the source, or None.
    axes
        ``"YX"``, ``"ZYX"``, ``"YXC"`` or ``"ZYXC"``: channels are last.
    item
        Where it comes from.
    start
        Its first pixel in the image of `item`, along the patch's axes without C.
    """

    source: np.ndarray
    target: Optional[np.ndarray]
    axes: str
    item: Item
    start: Tuple[int, ...]


class PatchSampler:
    """Draws random patches; which ones depends on the seed and the number of the patch alone.

    Every image is used once before any is used again, in an order that is shuffled anew each time. There is no state
    to save: a training that goes on at a step gets the patches that it would have got.

    Parameters
    ----------
    items
        The images to draw from.
    patch_size
        (Y, X) or (Z, Y, X) in pixels. Of images with further axes (T; Z for a 2D patch) one plane is drawn.
    batch_size
        Patches in a batch.
    seed
        Of order and positions.
    measure
        Called once with each whole image (or region); returns offset and scale, numbers or arrays along C. Patches of
        the source become ``(pixels - offset) / scale`` as float32. None: pixels as they are.
    accept, accept_share
        For this share of the patches up to 32 positions are tried until ``accept(source, target, item)``, called with
        the patch before it is normalised, says yes; e.g. `shows_object`.
    augment
        Called as ``augment(source, target, axes, rng)`` with every patch; see `dl4mic_sdk.augment`.
    cache_bytes
        Pixels that are kept opened; one image is, whatever its size.

    Raises
    ------
    DataError
        An image is smaller than a patch.

    Notes
    -----
    Methods may be called from several threads.
    """

    def __init__(
        self,
        items: Sequence[Item],
        patch_size: Sequence[int],
        batch_size: int = 1,
        seed: int = 0,
        measure: Optional[Measure] = None,
        accept: Optional[Accept] = None,
        accept_share: float = 1.0,
        augment: Optional[Augment] = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        refuse_smaller(items, patch_size)
        self.items = tuple(items)
        self.patch_size = tuple(int(each) for each in patch_size)
        self.batch_size = batch_size
        self._seed = seed
        self._measure = measure
        self._accept = accept
        self._accept_share = accept_share
        self._augment = augment
        self._opened = _OpenedImages(cache_bytes)
        self._scales: Dict[int, Tuple[Any, Any]] = {}

    def batch(self, step: int) -> List[Patch]:
        """Return the patches of a step, counted from 0 over all epochs."""
        first = step * self.batch_size
        return [self.patch(number) for number in range(first, first + self.batch_size)]

    def patch(self, number: int) -> Patch:
        """Return a patch by its number.

        Raises
        ------
        ImageError
            The image can no longer be read.
        """
        rng = np.random.default_rng([self._seed, number])
        index = self._image_of(number)
        pair = self._opened.get(index, self.items[index])
        axes = self._patch_axes(pair[0].axes)
        pixels, aim, start = self._draw(self.items[index], pair, axes, rng)
        if self._measure is not None:
            pixels = self._normalised(index, pair[0], pixels, self._measure)
        if self._augment is not None:
            pixels, aim = self._augment(pixels, aim, axes, rng)
        return Patch(pixels, aim, axes, self.items[index], start)

    def _image_of(self, number: int) -> int:
        turn, place = divmod(number, len(self.items))
        order = np.random.default_rng([self._seed, turn, len(self.items)]).permutation(
            len(self.items)
        )
        return int(order[place])

    def _patch_axes(self, axes: str) -> str:
        return "ZYX"[-len(self.patch_size) :] + ("C" if "C" in axes else "")

    def _draw(
        self, item: Item, pair: _Pair, axes: str, rng: np.random.Generator
    ) -> Tuple[np.ndarray, Optional[np.ndarray], Tuple[int, ...]]:
        """Cut a patch out of image and target, if need be at the first of some positions that is accepted."""
        accept = self._accept if rng.random() < self._accept_share else None
        draws = MOST_DRAWS if accept else 1
        for draw in range(draws):
            chosen = self._position(pair[0], rng)
            pixels = _cut(pair[0], chosen, axes)
            aim = None if pair[1] is None else _cut(pair[1], chosen, axes)
            if draw == draws - 1 or accept is None or accept(pixels, aim, item):
                break
        return pixels, aim, tuple(chosen[axis].start for axis in axes if axis != "C")

    def _position(self, source: Image, rng: np.random.Generator) -> Dict[str, slice]:
        sizes = dict(zip("ZYX"[-len(self.patch_size) :], self.patch_size))
        chosen = {}
        for axis, length in zip(source.axes, source.pixels.shape):
            if axis != "C":
                size = sizes.get(axis, 1)
                start = int(rng.integers(length - size + 1))
                chosen[axis] = slice(start, start + size)
        return chosen

    def _normalised(
        self, index: int, source: Image, pixels: np.ndarray, measure: Measure
    ) -> np.ndarray:
        if index not in self._scales:
            self._scales[index] = measure(source)
        offset, scale = self._scales[index]
        return ((pixels - np.float32(offset)) / np.float32(scale)).astype(np.float32, copy=False)


def shows_object(source: np.ndarray, target: Optional[np.ndarray], item: Item) -> bool:
    """Whether the target of a patch is not all background; for `accept` of `PatchSampler`."""
    return target is not None and bool(target.any())


def refuse_smaller(items: Sequence[Item], patch_size: Sequence[int]) -> None:
    """Raise DataError naming every image that is smaller than a patch (Y, X or Z, Y, X)."""
    wanted = dict(zip("ZYX"[-len(patch_size) :], patch_size))
    said = " x ".join(str(each) for each in patch_size)
    faults = [
        (str(each.source), "is smaller ({}) than a patch of {}".format(_sizes(each), said))
        for each in items
        if any(
            dict(zip(each.axes, each.shape)).get(axis, 1) < size for axis, size in wanted.items()
        )
    ]
    if faults:
        message = "{} of {} images are smaller than a patch of {} pixels".format(
            len(faults), len(items), said
        )
        raise DataError(message, "Lower patch_size, or leave the small images out.", faults)


class _OpenedImages:
    """The most recently used images, up to a number of bytes (mapped ones count: they are in memory when used)."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, _Pair] = OrderedDict()
        self._bytes = 0

    def get(self, index: int, item: Item) -> _Pair:
        with self._lock:
            if index in self._kept:
                self._kept.move_to_end(index)
                return self._kept[index]
        pair = item.read_source(), (item.read_target() if item.target is not None else None)
        with self._lock:
            if index not in self._kept:
                self._kept[index] = pair
                self._bytes += _bytes_of(pair)
            while self._bytes > self._most_bytes and len(self._kept) > 1:
                self._bytes -= _bytes_of(self._kept.popitem(last=False)[1])
        return pair


def _bytes_of(pair: _Pair) -> int:
    return sum(each.pixels.nbytes for each in pair if each is not None)


def _cut(image: Image, chosen: Dict[str, slice], axes: str) -> np.ndarray:
    """Copy a part of an image into an array along `axes`; a target may lack their C."""
    part = image.pixels[tuple(chosen.get(axis, slice(None)) for axis in image.axes)]
    kept = [axis for axis in axes if axis in image.axes]
    single = [axis for axis in image.axes if axis not in axes]
    part = part.transpose([image.axes.index(axis) for axis in kept + single])
    return np.array(part.reshape(part.shape[: len(kept)]))


def _sizes(item: Item) -> str:
    return " x ".join(str(each) for each in item.shape)

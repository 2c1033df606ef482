# SPDX-License-Identifier: BSD-3-Clause
"""Image-to-image networks on images of any size: tile by tile, in memory or on disk, and blended."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, Generator, List, Optional, Sequence, Tuple, Union

import numpy as np

from dl4mic_sdk.array_on_disk import ArrayOnDisk
from dl4mic_sdk.axis_order import AXES
from dl4mic_sdk.free_memory import memory_for_tile
from dl4mic_sdk.images import Image, ImageOnDisk
from dl4mic_sdk.normalisation import channels_last
from dl4mic_sdk.prefetch import Prefetch
from dl4mic_sdk.tiling import Tile, Tiling

Kernel = Callable[[np.ndarray], Sequence[np.ndarray]]
"""Gets a tile in the type of the image, its channels last (1 where it has no axis C); returns one or more float32
arrays of the same spatial size with channels last, of which each becomes an image."""

AnyImage = Union[Image, ImageOnDisk]


def predict_tiled(
    kernel: Kernel,
    image: AnyImage,
    tile: Optional[Sequence[int]],
    overlap: Sequence[int],
    multiple: Sequence[int],
    context: Optional[Sequence[int]] = None,
    scratch: Optional[Path] = None,
) -> List[AnyImage]:
    """Apply a network to an image, tile by tile, and blend what it makes of them.

    Parameters
    ----------
    kernel
        The network; called with tiles of one shape.
    image
        With the axes (Z) Y X, and perhaps C.
    tile, overlap, multiple, context
        Along (Z) Y X, as of `Tiling.of`. Where neighbours overlap by twice the context or more, and the context is at
        least what the network looks around, the result is that of the whole image.
    scratch
        Existing folder for the results of an image on disk: memory does not grow with it.

    Returns
    -------
    list of Image or ImageOnDisk
        float32, one for each array of the kernel, with the name and pixel size of the image. Results of one channel
        have an axis C only if the image has one of length 1.

    Raises
    ------
    SdkError
        The overlap leaves nothing of a tile.
    """
    spatial = [length for axis, length in zip(image.axes, _shape(image)) if axis != "C"]
    tiling = Tiling.of(spatial, tile, overlap, multiple, context)
    results = _Results(image, scratch if isinstance(image, ImageOnDisk) else None)
    tiles = tiling.tiles()
    with closing(_windows(image, tiles)) as windows:
        for each, pixels in zip(tiles, windows):
            results.add(each, kernel(each.filled(pixels)))
    return results.images()


def tile_that_fits(
    shape: Sequence[int],
    bytes_per_pixel: float,
    multiple: Sequence[int],
    overlap: Optional[Sequence[int]] = None,
) -> Optional[Tuple[int, ...]]:
    """Choose the size of tiles by the memory that a network needs for them.

    Parameters
    ----------
    shape
        Of the image along its spatial axes.
    bytes_per_pixel
        That the network holds at once of its intermediate results.
    multiple
        What the sizes must be multiples of.
    overlap
        Of neighbouring tiles, in pixels: tiles stay twice as large, whatever the memory.

    Returns
    -------
    tuple of int or None
        The axis that is longest, by what it may be at least, is halved until `memory_for_tile` is enough; None: it is
        for the image as a whole.
    """
    room = memory_for_tile()
    size = list(shape)
    least = [max(2 * each, step) for each, step in zip(overlap or [0] * len(size), multiple)]
    while np.prod(size, dtype=float) * bytes_per_pixel > room:
        longest = int(np.argmax(np.divide(size, least)))
        half = -(-size[longest] // (2 * multiple[longest])) * multiple[longest]
        if half >= size[longest] or half < least[longest]:
            break
        size[longest] = half
    return None if size == list(shape) else tuple(size)


class _Results:
    """The images that come together from tiles."""

    def __init__(self, image: AnyImage, scratch: Optional[Path]) -> None:
        self._image = image
        self._scratch = scratch
        self._arrays: List[Any] = []

    def add(self, tile: Tile, found: Sequence[np.ndarray]) -> None:
        """Add what the network made of a tile."""
        for number, result in enumerate(found):
            part = _channels_placed(tile.weighted(result))
            shape = self._shape_of(part.shape[-3])
            if self._scratch is None and part.shape == shape:  # the tile is the image
                self._arrays.append(part.astype(np.float32, copy=False))
                continue
            if len(self._arrays) == number:
                self._arrays.append(self._new(number, shape))
            region = (*tile.place[:-2], slice(None), *tile.place[-2:])
            self._arrays[number][region] = self._arrays[number][region] + part

    def images(self) -> List[AnyImage]:
        """Return the finished images."""
        return [self._as_image(each) for each in self._arrays]

    def _shape_of(self, channels: int) -> Tuple[int, ...]:
        sizes: Dict[str, int] = dict(zip(self._image.axes, _shape(self._image)), C=channels)
        return tuple(sizes[axis] for axis in AXES if axis in sizes)

    def _new(self, number: int, shape: Tuple[int, ...]) -> Any:
        if self._scratch is None:
            return np.zeros(shape, np.float32)
        return ArrayOnDisk(self._scratch / "tiled_{}".format(number), shape, np.float32)

    def _as_image(self, array: Any) -> AnyImage:
        kept = "".join(axis for axis in AXES if axis in self._image.axes or axis == "C")
        single = array.shape[kept.index("C")] == 1
        source = dict(zip(self._image.axes, _shape(self._image))).get("C")
        axes = kept.replace("C", "") if single and source != 1 else kept
        if isinstance(self._image, Image):
            pixels = array if axes == kept else array.squeeze(kept.index("C"))
            return replace(self._image, pixels=pixels, axes=axes)
        return _on_disk(array, kept, axes, self._image)


def _on_disk(array: ArrayOnDisk, stored: str, axes: str, like: ImageOnDisk) -> ImageOnDisk:
    """Give an array on disk the axes of an image; a channel that is not among them has length 1."""
    shape = tuple(length for axis, length in zip(stored, array.shape) if axis in axes)

    def read(region: Any) -> np.ndarray:
        whole = array[tuple(region.get(axis, slice(None)) for axis in stored)]
        return whole if axes == stored else whole.squeeze(stored.index("C"))

    return replace(like, axes=axes, shape=shape, dtype=array.dtype, read=read)


def _windows(image: AnyImage, tiles: Sequence[Tile]) -> Generator[np.ndarray, None, None]:
    """Yield the pixels of each tile's window, channels last; of an image on disk they are read ahead."""
    axes = image.axes.replace("C", "")
    if isinstance(image, Image):
        pixels = _with_channels(image.pixels, image.axes)
        yield from (pixels[each.window] for each in tiles)
        return
    stored = image

    def read(number: int) -> np.ndarray:
        region = dict(zip(axes, tiles[number].window))
        return _with_channels(stored.read(region), stored.axes)

    with Prefetch(read, 0, len(tiles)) as windows:
        yield from windows


def _with_channels(pixels: np.ndarray, axes: str) -> np.ndarray:
    return channels_last(pixels, axes) if "C" in axes else pixels[..., np.newaxis]


def _channels_placed(pixels: np.ndarray) -> np.ndarray:
    """Bring the channels from the end to before Y."""
    return np.moveaxis(pixels, -1, -3)


def _shape(image: AnyImage) -> Tuple[int, ...]:
    shape: Tuple[int, ...] = image.pixels.shape if isinstance(image, Image) else image.shape
    return shape

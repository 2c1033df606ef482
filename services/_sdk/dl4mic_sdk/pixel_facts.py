# SPDX-License-Identifier: BSD-3-Clause
"""What the pixels of one image say: fingerprint, range, a sample; of labels also the objects. Block by block."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Dict, Iterator, Tuple

import numpy as np

from dl4mic_sdk.images import Image

_BLOCK_BYTES = 4 << 20
_LEAST_COMPONENT = 5
"""Pixels; smaller specks do not count as parts of a mask."""


@dataclass(frozen=True)
class PixelFacts:
    """What the pixels of an image say.

    Attributes
    ----------
    sha256
        Over axes, shape, dtype and the pixels in little-endian order: the same for the same image in another format.
    minimum, maximum, mean
        Over all pixels; NaN if one of them is.
    not_finite
        Pixels that are NaN or infinite.
    foreground
        Share of pixels that are not 0.
    at_maximum
        Share of pixels that have the largest value.
    sample
        Some pixels spread evenly over the image.
    """

    sha256: str
    minimum: float
    maximum: float
    mean: float
    not_finite: int
    foreground: float
    at_maximum: float
    sample: np.ndarray


@dataclass(frozen=True)
class LabelFacts:
    """What object numbers say.

    Attributes
    ----------
    numbers
        The object numbers in use, ascending, without 0.
    extents
        Axis letter -> size in pixels of each object's bounding box, in the order of `numbers`.
    """

    numbers: np.ndarray
    extents: Dict[str, np.ndarray]


def pixel_facts(image: Image, sample_size: int = 4096) -> PixelFacts:
    """Read every pixel of an image once.

    Parameters
    ----------
    image
        Any axes.
    sample_size
        About how many pixels to keep as a sample.
    """
    pixels = image.pixels
    digest = hashlib.sha256("{} {} {}".format(image.axes, pixels.shape, pixels.dtype.name).encode())
    # An odd step: one that divides the width would sample the same few columns only.
    step = max(1, pixels.size // sample_size) | 1
    ranges, sample = [], []
    total, not_finite, foreground = 0.0, 0, 0
    largest = []
    for _, block in _blocks(pixels):
        digest.update(block.astype(block.dtype.newbyteorder("<"), copy=False).data)
        ranges.append((block.min(), block.max()))
        largest.append(int(np.count_nonzero(block == ranges[-1][1])))
        total += float(block.sum(dtype=np.float64))
        foreground += int(np.count_nonzero(block))
        if block.dtype.kind == "f":
            not_finite += block.size - int(np.count_nonzero(np.isfinite(block)))
        sample.append(block.ravel()[::step].copy())
    maximum = max(high for _, high in ranges)
    at_maximum = sum(count for count, (_, high) in zip(largest, ranges) if high == maximum)
    return PixelFacts(
        sha256=digest.hexdigest(),
        minimum=float(min(low for low, _ in ranges)),
        maximum=float(maximum),
        mean=total / pixels.size,
        not_finite=not_finite,
        foreground=foreground / pixels.size,
        at_maximum=at_maximum / pixels.size,
        sample=np.concatenate(sample),
    )


def label_facts(image: Image) -> LabelFacts:
    """Find the objects of a label image and their bounding boxes.

    Parameters
    ----------
    image
        Integers; 0 is background.
    """
    tables = [_boxes(block, first) for first, block in _blocks(image.pixels)]
    numbers = np.concatenate([each[0] for each in tables])
    boxes = np.concatenate([each[1] for each in tables])
    if not numbers.size:
        return LabelFacts(numbers, dict.fromkeys(image.axes, numbers))
    numbers, boxes = _merged(numbers, boxes)
    sizes = boxes[:, 1] - boxes[:, 0] + 1
    return LabelFacts(numbers, {axis: sizes[:, index] for index, axis in enumerate(image.axes)})


def components(image: Image) -> int:
    """Count the connected parts of a mask (touching by side or corner), of at least 5 pixels each."""
    from scipy import ndimage

    parts, count = ndimage.label(image.pixels != 0, np.ones((3,) * image.pixels.ndim))
    areas = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    return int(np.count_nonzero(areas >= _LEAST_COMPONENT))


def _blocks(pixels: np.ndarray) -> Iterator[Tuple[int, np.ndarray]]:
    """Yield contiguous parts along the first axis with the index of their first."""
    row_bytes = max(1, pixels.nbytes // pixels.shape[0])
    rows = max(1, _BLOCK_BYTES // row_bytes)
    for first in range(0, pixels.shape[0], rows):
        yield first, np.ascontiguousarray(pixels[first : first + rows])


def _boxes(block: np.ndarray, first: int) -> Tuple[np.ndarray, np.ndarray]:
    """Return object numbers, and per number the lowest and highest index along each axis: (objects, 2, axes)."""
    places = np.nonzero(block)
    numbers = block[places]
    offsets = [first] + [0] * (block.ndim - 1)
    positions = np.stack([each + offset for each, offset in zip(places, offsets)], axis=1)
    return _merged(numbers, np.stack([positions, positions], axis=1))


def _merged(numbers: np.ndarray, boxes: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Join boxes of the same number."""
    if not numbers.size:
        return numbers, boxes
    order = np.argsort(numbers, kind="stable")
    numbers, boxes = numbers[order], boxes[order]
    begins = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]]))
    lows = np.minimum.reduceat(boxes[:, 0], begins, axis=0)
    highs = np.maximum.reduceat(boxes[:, 1], begins, axis=0)
    return numbers[begins], np.stack([lows, highs], axis=1)

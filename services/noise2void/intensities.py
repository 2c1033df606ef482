# SPDX-License-Identifier: BSD-3-Clause
"""Mean and standard deviation of the training images: what the library normalises by, and keeps in the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Sequence, Tuple

import numpy as np

from dl4mic_sdk.errors import SdkError
from dl4mic_sdk.images import Image
from dl4mic_sdk.pairs import Item

_PIXELS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Intensities:
    """Of all pixels that a network learns from.

    Attributes
    ----------
    means, stds
        One of each channel.
    """

    means: Tuple[float, ...]
    stds: Tuple[float, ...]


def measure(items: Sequence[Item]) -> Intensities:
    """Measure images, one after the other and each part by part, in float64.

    Raises
    ------
    SdkError
        All pixels of a channel have the same value.
    dl4mic_sdk.errors.ImageError
        An image cannot be read.
    """
    count, mean, squares = 0, np.zeros(items[0].channels), np.zeros(items[0].channels)
    for item in items:
        for part in _parts(item.read_source()):
            count, mean, squares = _joined(count, mean, squares, part)
    stds = np.sqrt(squares / count)
    if not stds.all():
        raise SdkError(
            "the training images have the same value everywhere: there is no noise to learn from",
            "Look at the images, and at the channel that was chosen.",
        )
    return Intensities(tuple(map(float, mean)), tuple(map(float, stds)))


def moments_of(config: Any) -> Tuple[np.ndarray, np.ndarray]:
    """Return the means and standard deviations of a model's channels, float32 as the library computes with them."""
    means, stds = ([float(each) for each in kept] for kept in (config.means, config.stds))
    return np.array(means, np.float32), np.array(stds, np.float32)


def _parts(image: Image) -> Iterable[np.ndarray]:
    """Yield the pixels of an image in float64, shape (pixels, channels)."""
    pixels = image.pixels if "C" in image.axes else image.pixels[..., np.newaxis]
    if "C" in image.axes:
        pixels = np.moveaxis(pixels, image.axes.index("C"), -1)
    step = max(1, _PIXELS_AT_ONCE // max(1, pixels[0].size))
    for first in range(0, len(pixels), step):
        part = pixels[first : first + step].astype(np.float64)
        yield part.reshape(-1, pixels.shape[-1])


def _joined(
    count: int, mean: np.ndarray, squares: np.ndarray, part: np.ndarray
) -> Tuple[int, np.ndarray, np.ndarray]:
    """Add pixels to a count, a mean and a sum of squared deviations (Chan, Golub, LeVeque 1983)."""
    own_mean = part.mean(axis=0)
    own_squares = ((part - own_mean) ** 2).sum(axis=0)
    total = count + len(part)
    apart = own_mean - mean
    squares = squares + own_squares + apart**2 * (count * len(part) / total)
    return total, mean + apart * (len(part) / total), squares

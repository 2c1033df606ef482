# SPDX-License-Identifier: BSD-3-Clause
"""A flat view of an image for people: a plane as it is, a stack as an xy section above an xz one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np

from dl4mic_sdk.images import Image

LONGEST_SIDE = 720
"""Pixels of a view; larger images are sampled, smaller ones enlarged, so that lines stay thin."""

_GAP = 8
_PERCENTILES = (1.0, 99.8)
_LARGEST_STRETCH = 10.0
"""Of z against xy, so that a wrong pixel size does not make the view a tower."""


@dataclass(frozen=True)
class View:
    """Shows every image of one grid (source, target, prediction) in the same way.

    Attributes
    ----------
    height, width
        Rows and columns of the whole view.
    scale
        Pixels of the view per pixel in x and y.
    z, y
        Indices of the sections of a stack; None for a plane.
    depth
        Rows of the view that the section along z takes.
    """

    scale: float
    height: int
    width: int
    z: Optional[int] = None
    y: Optional[int] = None
    depth: int = 0

    def show(self, image: Image) -> np.ndarray:
        """Return the view of an image: shape (rows, columns, channels), the image's dtype."""
        pixels = _channels_last(image)
        if self.z is None:
            return _resized(pixels, self.height, self.width)
        xy = _resized(pixels[self.z], self.height, self.width)
        xz = _resized(pixels[:, self.y], self.depth, self.width)
        gap = np.zeros((_GAP, self.width, xy.shape[2]), xy.dtype)
        return np.concatenate([xy, gap, xz])

    def paint_gap(self, pixels: np.ndarray) -> np.ndarray:
        """Make the space between the sections white; `pixels` of shape (rows, columns, 3), uint8."""
        if self.z is not None:
            pixels[self.height : self.height + _GAP] = 255
        return pixels

    @property
    def size(self) -> Tuple[int, int]:
        """Rows and columns of all that is shown."""
        return self.height + (0 if self.z is None else _GAP + self.depth), self.width

    @property
    def note(self) -> str:
        """Which sections are shown; empty for a plane."""
        if self.z is None:
            return ""
        return "Above: xy section at z = {}. Below: xz section at y = {}.".format(self.z, self.y)


def view_of(image: Image, at: Optional[Tuple[int, int, int]] = None) -> View:
    """Choose the view of an image.

    Parameters
    ----------
    image
        Without `at` a label image: of a stack, the sections with most foreground are chosen.
    at
        The pixel (z, y, x) of a stack through which the sections go.
    """
    pixels = _channels_last(image)[..., 0]
    rows, columns = pixels.shape[-2:]
    if pixels.ndim == 2:
        scale = LONGEST_SIDE / max(rows, columns)
        return View(scale, _scaled(rows, scale), _scaled(columns, scale))
    stretched = pixels.shape[0] * _stretch(image)
    scale = LONGEST_SIDE / max(rows + stretched, columns)
    z, y = _fullest(pixels > 0) if at is None else at[:2]
    height, width = _scaled(rows, scale), _scaled(columns, scale)
    return View(scale, height, width, z=z, y=y, depth=_scaled(stretched, scale))


def _fullest(foreground: np.ndarray) -> Tuple[int, int]:
    """Find the plane and the row of a stack with most foreground."""
    by_plane, by_row = foreground.sum(axis=(1, 2)), foreground.sum(axis=(0, 2))
    return int(by_plane.argmax()), int(by_row.argmax())


def grey_levels(view: np.ndarray) -> np.ndarray:
    """Scale intensities for display.

    Parameters
    ----------
    view : ndarray, shape (rows, columns, channels)
        One channel becomes grey, three become red, green and blue; of others the mean is shown.

    Returns
    -------
    ndarray of uint8, shape (rows, columns, 3)
        Percentiles 1 and 99.8 of each channel are black and full.
    """
    pixels = view.astype(np.float32)
    if pixels.shape[2] != 3:
        pixels = pixels.mean(axis=2, keepdims=True)
    low, high = np.percentile(pixels, _PERCENTILES, axis=(0, 1))
    span = np.where(high > low, high - low, 1)
    levels = np.clip((pixels - low) / span, 0, 1) * 255
    return np.broadcast_to(levels, pixels.shape[:2] + (3,)).astype(np.uint8)


def _channels_last(image: Image) -> np.ndarray:
    """Bring an image to (Z,) Y, X, C; of a series, the frame in the middle."""
    pixels, axes = image.pixels, image.axes
    if "T" in axes:
        pixels = pixels.take(pixels.shape[axes.index("T")] // 2, axis=axes.index("T"))
        axes = axes.replace("T", "")
    if "C" not in axes:
        return pixels[..., np.newaxis]
    return np.moveaxis(pixels, axes.index("C"), -1)


def _stretch(image: Image) -> float:
    """Distance of planes over distance of pixels, 1 where it is not known."""
    sizes = image.pixel_size
    if not (sizes.get("Z", 0) > 0 and sizes.get("X", 0) > 0):
        return 1.0
    return min(max(sizes["Z"] / sizes["X"], 1 / _LARGEST_STRETCH), _LARGEST_STRETCH)


def _scaled(length: float, scale: float) -> int:
    return max(1, round(length * scale))


def _resized(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    rows, columns = (_samples(*each) for each in zip(plane.shape[:2], (height, width)))
    resized: np.ndarray = plane[rows][:, columns]
    return resized


def _samples(length: int, wanted: int) -> np.ndarray:
    middles = (np.arange(wanted) + 0.5) * length / wanted
    samples: np.ndarray = np.minimum(middles.astype(np.int64), length - 1)
    return samples

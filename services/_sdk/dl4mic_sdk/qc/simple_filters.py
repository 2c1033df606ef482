# SPDX-License-Identifier: BSD-3-Clause
"""Filters that everybody has, to say what a network gains over them; their width is tuned on training pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from scipy.ndimage import gaussian_filter, median_filter

from dl4mic_sdk.images import Image

GAUSSIAN, MEDIAN = "gaussian", "median"

_WIDTHS: Mapping[str, Tuple[float, ...]] = {
    GAUSSIAN: (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0),
    MEDIAN: (3, 5, 7, 9),
}
_FINER = 4
"""Steps between two neighbours of the best Gaussian, on a scale of equal ratios."""

_TRUNCATE = 4.0
_LARGEST_RATIO = 10.0
"""Of the distances of pixels along x and z, so that a wrong pixel size makes no absurd filter."""

Score = Callable[["SimpleFilter"], Optional[float]]


@dataclass(frozen=True)
class SimpleFilter:
    """A filter of a width.

    Attributes
    ----------
    kind
        `GAUSSIAN` or `MEDIAN`.
    width
        Sigma of the Gaussian in pixels; side of the median's square.
    through
        Filter stacks along z, too: the Gaussian by the same distance, the median over three planes.
    """

    kind: str
    width: float
    through: bool = False

    def apply(self, image: Image) -> Image:
        """Filter an image; channels and times are left apart. The result is of float32."""
        pixels = image.pixels.astype(np.float32)
        if self.kind == GAUSSIAN:
            sigma = [self.width * self._ratio(axis, image) for axis in image.axes]
            return image.with_pixels(
                gaussian_filter(pixels, sigma, mode="reflect", truncate=_TRUNCATE)
            )
        sides = [self._side(axis) for axis in image.axes]
        return image.with_pixels(median_filter(pixels, size=sides, mode="reflect"))

    @property
    def text(self) -> str:
        """What it is, in words."""
        if self.kind == GAUSSIAN:
            along = " along x and y, by the same distance along z" if self.through else ""
            return "Gaussian filter of sigma {:.3g} px{}".format(self.width, along)
        planes = " x 3 planes" if self.through else ""
        return "median filter of {0:.0f} x {0:.0f} px{1}".format(self.width, planes)

    def _ratio(self, axis: str, image: Image) -> float:
        if axis != "Z":
            return 1.0 if axis in "YX" else 0.0
        sizes = image.pixel_size
        known = sizes.get("X", 0) > 0 and sizes.get("Z", 0) > 0
        ratio = sizes["X"] / sizes["Z"] if known else 1.0
        return min(max(ratio, 1 / _LARGEST_RATIO), _LARGEST_RATIO) if self.through else 0.0

    def _side(self, axis: str) -> int:
        if axis == "Z":
            return 3 if self.through else 1
        return int(self.width) if axis in "YX" else 1


def tune(kind: str, stacks: bool, score: Score) -> Optional[SimpleFilter]:
    """Find the filter of a kind that scores highest.

    Parameters
    ----------
    kind
        `GAUSSIAN` or `MEDIAN`.
    stacks
        Whether there are planes along z to filter through.
    score
        Of a filter, on training pairs; more is better.

    Returns
    -------
    SimpleFilter or None
        None if none of them has a score.
    """
    coarse = [
        SimpleFilter(kind, width, through)
        for through in ((False, True) if stacks else (False,))
        for width in _WIDTHS[kind]
    ]
    best = _best(coarse, score)
    if best is None or kind != GAUSSIAN:
        return best[1] if best else None
    finer = _best(list(_between(best[1])), score)
    return max((best, finer or best), key=lambda each: each[0])[1]


def _best(filters: Sequence[SimpleFilter], score: Score) -> Optional[Tuple[float, SimpleFilter]]:
    scored: List[Tuple[float, SimpleFilter]] = []
    for each in filters:
        value = score(each)
        if value is not None:
            scored.append((value, each))
    return max(scored, key=lambda each: each[0]) if scored else None


def _between(best: SimpleFilter) -> Iterator[SimpleFilter]:
    """Go through widths between the neighbours of a coarse one."""
    widths = _WIDTHS[best.kind]
    at = widths.index(best.width)
    for low, high in zip(widths[max(0, at - 1) : at + 1], widths[max(0, at - 1) + 1 : at + 2]):
        for step in range(1, _FINER):
            yield SimpleFilter(best.kind, low * (high / low) ** (step / _FINER), best.through)

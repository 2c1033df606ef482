# SPDX-License-Identifier: BSD-3-Clause
"""In which type predicted intensities are written: as computed, or in that of the image that they were made of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Mapping, Optional

import numpy as np

from dl4mic_sdk.errors import SdkError
from dl4mic_sdk.images import Image, ImageOnDisk
from dl4mic_sdk.prediction import Prediction

PARAMETER = "output_type"
SOURCE = "source"
CLIPPED, NORMALISED = "PIXELS_CLIPPED", "RESULTS_NORMALISED"

_NAMES_SAID = 5
_NORMALISED_TEXT = (
    "This model's results are normalised (0 and 1 are the low and high percentile of the image); rounded to {}, hardly "
    "anything would be left of them. They are written as float32, although output_type=source was asked for. Scale "
    "them to the range that you need before you save them as integers."
)


class Conversion:
    """Rounds intensities to a type of integers and cuts them off at the ends of its range, never wrapped or rescaled.

    Parameters
    ----------
    dtype
        A type of integers.

    Attributes
    ----------
    dtype
        As given.
    clipped
        Pixels so far that were cut off.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.clipped = 0
        self.dtype = dtype
        # float32 holds every number of 16 bit, float64 of 32; of 64 bit the last number that it holds ends the range.
        self._exact = np.dtype(np.float32 if dtype.itemsize <= 2 else np.float64)
        limits = np.iinfo(dtype)
        self._low, high = float(limits.min), float(limits.max)
        self._high = high if int(high) <= limits.max else float(np.nextafter(high, 0))

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Convert pixels.

        Raises
        ------
        SdkError
            They are NaN or infinite.
        """
        rounded = np.rint(pixels.astype(self._exact, copy=False))
        inside = np.clip(rounded, self._low, self._high)
        if not np.isfinite(rounded).all():
            text = "its result has pixels that are NaN or infinite, which {} cannot hold"
            raise SdkError(text.format(self.dtype.name), "Ask for output_type=float32.")
        self.clipped += int(np.count_nonzero(inside != rounded))
        return inside.astype(self.dtype)


def conversion_of(
    output_type: Any,
    prediction: Prediction,
    source: np.dtype[Any],
    warn: Callable[[str, str], None],
) -> Optional[Conversion]:
    """Return how the first image of a prediction becomes integers, as its source is; None where it stays as it is.

    Results on a normalised scale stay, and are warned of by code and message: rounded, hardly anything would be left.
    """
    if output_type != SOURCE or prediction.labels or source.kind not in "iu":
        return None
    if prediction.normalised:
        warn(NORMALISED, _NORMALISED_TEXT.format(source.name))
        return None
    return Conversion(source)


def converted(prediction: Prediction, convert: Conversion) -> Prediction:
    """Convert the first image of a prediction; of one on disk, each part when it is read.

    Further images, such as of an uncertainty, are not of the source's kind and stay as they are.
    """
    title, image = prediction.main
    found = _in_memory(image, convert) if isinstance(image, Image) else _on_disk(image, convert)
    return replace(prediction, images=dict(prediction.images, **{title: found}))


def clipped_text(counts: Mapping[str, int]) -> str:
    """Say of which images how many pixels were cut off."""
    said = ["{} ({})".format(name, count) for name, count in counts.items()]
    more = len(said) - _NAMES_SAID
    names = ", ".join(said[:_NAMES_SAID]) + (" and {} more".format(more) if more > 0 else "")
    text = (
        "Predicted values lay beyond what the type of the image holds, and were set to the end of its range, in {} "
        "pixels of {}. output_type=float32 keeps them."
    )
    return text.format(sum(counts.values()), names)


def _in_memory(image: Image, convert: Conversion) -> Image:
    return image.with_pixels(convert(image.pixels))


def _on_disk(image: ImageOnDisk, convert: Conversion) -> ImageOnDisk:
    return replace(image, dtype=convert.dtype, read=lambda region: convert(image.read(region)))

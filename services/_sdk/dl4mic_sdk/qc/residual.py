# SPDX-License-Identifier: BSD-3-Clause
"""What can be said of a restored image without knowing what is right: how much noise is gone, and what with it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from scipy.ndimage import convolve

from dl4mic_sdk.images import Image
from dl4mic_sdk.qc.definition import Definition
from dl4mic_sdk.qc.intensity import BRIGHTEST, DARKEST, moments_of, percentiles, total_of
from dl4mic_sdk.qc.kind import Numbers
from dl4mic_sdk.qc.restoration import planes_of

_LAPLACIANS = np.array([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]])
"""The difference of two Laplacians, which leaves of an image little but its noise (Immerkaer 1996)."""

NOISE_SOURCE = "restoration.noise.source/1"
NOISE_PREDICTION = "restoration.noise.prediction/1"
NOISE_REMOVED = "restoration.noise_removed/1"
RESIDUAL_CORRELATION = "restoration.residual_correlation/1"
RESIDUAL_WHITENESS = "restoration.residual_whiteness/1"
PEARSON_SOURCE = "restoration.pearson_with_source/1"

_FIT = "The prediction is fitted to the source by least squares (a I + b), each channel apart; "
_NOISE = (
    "Standard deviation of the noise as Immerkaer estimates it (1996, doi:10.1006/cviu.1996.0060), over the span of "
    "the source's percentiles 0.1 and 99.9; of a stack, mean over its planes."
)
_RESIDUAL = (
    _FIT
    + "the residual is source minus prediction. Mean correlation of the residual with itself one pixel on along x "
    "and along y: about 0 where noise alone was taken away that is independent from pixel to pixel; above it where "
    "structure went with it, or the noise is itself correlated."
)

DEFINITIONS: Tuple[Definition, ...] = (
    Definition(
        RESIDUAL_WHITENESS, "residual whiteness", "1 - |residual correlation|. " + _RESIDUAL
    ),
    Definition(RESIDUAL_CORRELATION, "residual correlation", _RESIDUAL),
    Definition(
        NOISE_REMOVED, "noise removed", "1 - noise of the prediction / noise of the source."
    ),
    Definition(NOISE_SOURCE, "noise of source", _NOISE),
    Definition(
        NOISE_PREDICTION, "noise of prediction", _FIT + "then as noise of source. " + _NOISE
    ),
    Definition(
        PEARSON_SOURCE,
        "Pearson with source",
        "Pearson's correlation of the intensities of prediction and source, each channel apart.",
    ),
)


@dataclass(frozen=True)
class Residual:
    """What was measured of one image, or of several.

    Attributes
    ----------
    pixels
        How many.
    numbers
        Of every definition.
    """

    pixels: int
    numbers: Numbers


def measure_residual(source: Image, prediction: Image) -> Tuple[Residual, Image]:
    """Compare a prediction with the image that it was made of, of the same shape.

    Returns
    -------
    tuple
        What was measured, and the residual as float32, in the source's intensities.
    """
    residual = source.with_pixels(np.zeros(source.pixels.shape, np.float32))
    # The planes are a view: what is written into them is written into the residual.
    channels = zip(*map(planes_of, (source, prediction, residual)))
    numbers = [_of_channel(*each) for each in channels]
    size = source.pixels.size // len(numbers)
    return pool_residuals([Residual(size, each) for each in numbers]), residual


def pool_residuals(parts: Sequence[Residual]) -> Residual:
    """Average what is defined, weighted by pixels."""
    means: Numbers = {}
    for key in (each.id for each in DEFINITIONS):
        known = [(p.pixels, v) for p, v in ((p, p.numbers[key]) for p in parts) if v is not None]
        total = sum(pixels for pixels, _ in known)
        means[key] = math.fsum(pixels * v for pixels, v in known) / total if known else None
    return Residual(sum(part.pixels for part in parts), means)


def noise_of(plane: np.ndarray) -> Optional[float]:
    """Estimate the standard deviation of the noise in a plane of float64; None below 3 x 3 px."""
    if min(plane.shape) < 3:
        return None
    response = convolve(plane, _LAPLACIANS)[1:-1, 1:-1]
    return math.sqrt(math.pi / 2) / 6 * float(np.abs(response).mean())


def neighbour_correlation(planes: np.ndarray) -> Optional[float]:
    """Correlate planes, shape (planes, rows, columns), with themselves one pixel on along x and y.

    None where they are constant.
    """
    found = []
    for axis in (1, 2):
        if planes.shape[axis] > 1:
            here = planes.take(range(planes.shape[axis] - 1), axis=axis)
            there = planes.take(range(1, planes.shape[axis]), axis=axis)
            found.append(total_of(moments_of(here, there)).correlation)
    known = [each for each in found if each is not None]
    return sum(known) / len(known) if known else None


def _of_channel(source: np.ndarray, prediction: np.ndarray, residual: np.ndarray) -> Numbers:
    """Measure a channel, shapes (planes, rows, columns), and fill in its residual."""
    fit = total_of(moments_of(source, prediction))
    low, high = percentiles(source, DARKEST, BRIGHTEST)
    noise: Dict[str, List[float]] = {NOISE_SOURCE: [], NOISE_PREDICTION: []}
    for index, (one, other) in enumerate(zip(source, prediction)):
        fitted = (other.astype(np.float64) - fit.mean) * fit.slope + fit.target_mean
        residual[index] = one - fitted
        for key, plane in ((NOISE_SOURCE, one.astype(np.float64)), (NOISE_PREDICTION, fitted)):
            found = noise_of(plane)
            if found is not None and high > low:
                noise[key].append(found / (high - low))
    levels = {key: float(np.mean(each)) if each else None for key, each in noise.items()}
    correlation = neighbour_correlation(residual)
    return {
        RESIDUAL_WHITENESS: None if correlation is None else 1 - abs(correlation),
        RESIDUAL_CORRELATION: correlation,
        NOISE_REMOVED: _removed(levels[NOISE_SOURCE], levels[NOISE_PREDICTION]),
        **levels,
        PEARSON_SOURCE: fit.correlation,
    }


def _removed(before: Optional[float], after: Optional[float]) -> Optional[float]:
    return 1 - after / before if before and after is not None else None

# SPDX-License-Identifier: BSD-3-Clause
"""The structural similarity of two planes, pixel by pixel; what depends on the target alone is computed once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

SIGMA, TRUNCATE = 1.5, 3.5
"""Of the Gaussian window, in pixels and in sigmas: 11 x 11 pixels, as in Wang et al. 2004."""

BORDER = 5
"""Pixels at the image's edge whose window would leave it: they are in the map, but in no number."""

_C1, _C2 = 0.01**2, 0.03**2
"""(K L)**2 for K of 0.01 and 0.03 and a data range L of 1."""


@dataclass(frozen=True)
class Smoothed:
    """A target plane with its local mean and variance, float64."""

    pixels: np.ndarray
    mean: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, pixels: np.ndarray) -> Smoothed:
        """Smooth a plane, shape (rows, columns), float64."""
        mean = _local_mean(pixels)
        return cls(pixels, mean, _local_mean(pixels * pixels) - mean * mean)


def similarity_map(target: Smoothed, image: np.ndarray) -> np.ndarray:
    """Compute SSIM with a Gaussian window for each pixel.

    Parameters
    ----------
    target, image : float64, shape (rows, columns)
        With a data range of 1.

    Returns
    -------
    ndarray of float64
        At most 1; may be negative. Beyond the edge the image is taken as mirrored.

    Notes
    -----
    Wang et al. 2004, doi:10.1109/TIP.2003.819861; the same as scikit-image's ``structural_similarity`` with
    ``gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1``.
    """
    mean = _local_mean(image)
    product = target.mean * mean
    covariance = _local_mean(target.pixels * image) - product
    variance = _local_mean(image * image)
    mean *= mean
    variance -= mean
    above: np.ndarray = (2 * product + _C1) * (2 * covariance + _C2)
    mean += target.mean * target.mean + _C1
    variance += target.variance + _C2
    above /= mean * variance
    return above


def interior(plane: np.ndarray) -> np.ndarray:
    """Return the part of a plane whose windows lie inside it; empty in planes of less than 11 pixels."""
    return plane[BORDER:-BORDER, BORDER:-BORDER]


def _local_mean(plane: np.ndarray) -> np.ndarray:
    smooth: np.ndarray = gaussian_filter(plane, SIGMA, mode="reflect", truncate=TRUNCATE)
    return smooth

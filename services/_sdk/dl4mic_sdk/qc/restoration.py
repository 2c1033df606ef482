# SPDX-License-Identifier: BSD-3-Clause
"""Compares images with a target, plane by plane: errors and similarity, their sums, and their maps."""

from __future__ import annotations

from typing import Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from dl4mic_sdk.errors import DataError
from dl4mic_sdk.images import Image
from dl4mic_sdk.qc.agreement import (
    Agreement,
    Measurement,
    Profile,
    Region,
    ScoreKey,
    join,
)
from dl4mic_sdk.qc.intensity import (
    BRIGHTEST,
    DARKEST,
    Moments,
    dot,
    histogram,
    moments_of,
    otsu_threshold,
    percentiles,
    total_of,
)
from dl4mic_sdk.qc.similarity import Smoothed, interior, similarity_map

SSIM, SIGNED_ERROR, ABSOLUTE_ERROR = "ssim", "signed_error", "absolute_error"
KeepMap = Callable[[str, str, int, int, np.ndarray], None]
"""Takes what is compared, the map's name, channel, plane, and the values."""


def compare_images(
    target: Image,
    images: Mapping[str, Image],
    profiles: Sequence[Profile] = tuple(Profile),
    keep: Optional[KeepMap] = None,
) -> Tuple[Measurement, List[Measurement]]:
    """Compare images with a target.

    Parameters
    ----------
    target
        Any of the axes T, Z, C, Y, X; each channel is brought onto a scale of its own.
    images
        Name -> an image with the axes and shape of the target.
    profiles
        Those to compute.
    keep
        Called with each map of the profile ``standard``, plane by plane.

    Returns
    -------
    tuple
        Of the whole image, and, where it has several planes (along T and Z), of each.

    Raises
    ------
    DataError
        An image has another shape, or pixels that are NaN or infinite.
    """
    refuse_not_finite("the target", target)
    for name, image in images.items():
        refuse_unlike("the " + name, image, target)
    targets, others = planes_of(target), {name: planes_of(each) for name, each in images.items()}
    channels = [
        _Channel(number, plane, {name: each[number] for name, each in others.items()})
        for number, plane in enumerate(targets)
    ]
    measured = [list(channel.planes(profiles, keep)) for channel in channels]
    planes = [join(of_channels) for of_channels in zip(*measured)]
    if len(planes) == 1:
        return planes[0], []
    sums = join(planes)
    whole = join([channel.correlated() for channel in channels]).correlations
    return Measurement(sums.scores, whole, sums.foreground, sums.pixels), planes


def planes_of(image: Image) -> np.ndarray:
    """View an image as (channels, planes, rows, columns); planes along T, then Z."""
    pixels, axes = image.pixels, image.axes
    if "C" not in axes:
        pixels, axes = pixels[np.newaxis], "C" + axes
    moved = np.moveaxis(pixels, axes.index("C"), 0)
    return moved.reshape((moved.shape[0], -1) + moved.shape[-2:])


def refuse_unlike(what: str, image: Image, target: Image, against: str = "the target") -> None:
    """Raise DataError unless an image can be compared with another, the target, pixel by pixel."""
    if (image.axes, image.pixels.shape) != (target.axes, target.pixels.shape):
        said = [_said(each) for each in (image, target)]
        hint = "They must show the same pixels along the same axes."
        raise DataError("{} has shape {}, {} {}".format(what, said[0], against, said[1]), hint)
    refuse_not_finite(what, image)


def refuse_not_finite(what: str, image: Image) -> None:
    """Raise DataError where pixels are NaN or infinite."""
    if image.pixels.dtype.kind == "f" and not np.isfinite(image.pixels).all():
        count = image.pixels.size - int(np.isfinite(image.pixels).sum())
        raise DataError("{} has {} pixels that are NaN or infinite".format(what, count))


def _said(image: Image) -> str:
    return "{} ({})".format(image.pixels.shape, image.axes)


class _Channel:
    """One channel of a target and of what is compared with it, shapes (planes, rows, columns)."""

    def __init__(self, number: int, target: np.ndarray, images: Mapping[str, np.ndarray]) -> None:
        self._number = number
        self._target = target
        self._images = images
        low, high = percentiles(target, DARKEST, BRIGHTEST)
        self._low, self._span = low, high - low
        self._threshold = self._find_threshold() if self._span > 0 else 0.0
        self._moments = {name: moments_of(target, each) for name, each in images.items()}

    def planes(self, profiles: Sequence[Profile], keep: Optional[KeepMap]) -> Iterator[Measurement]:
        """Measure plane by plane."""
        for index, target in enumerate(self._target):
            if not self._span > 0:
                yield Measurement(pixels=target.size)
                continue
            unit = self._unit(target)
            mask = unit > self._threshold
            foreground = mask.astype(np.float64)
            scores: Dict[ScoreKey, Agreement] = {}
            for profile in profiles:
                scores.update(self._scores(index, profile, unit, foreground, keep))
            correlations = self._correlations(range(index, index + 1), [mask])
            yield Measurement(scores, correlations, int(mask.sum()), target.size)

    def correlated(self) -> Measurement:
        """Measure the correlations over all planes as one."""
        if not self._span > 0:
            return Measurement()
        masks = [self._unit(target) > self._threshold for target in self._target]
        return Measurement({}, self._correlations(range(len(masks)), masks))

    def _unit(self, target: np.ndarray) -> np.ndarray:
        """Bring a plane of the target onto the scale whose percentiles are 0 and 1, and clip it to that."""
        unit: np.ndarray = target.astype(np.float64)
        unit -= self._low
        unit /= self._span
        return np.clip(unit, 0.0, 1.0, out=unit)

    def _find_threshold(self) -> float:
        counts = [histogram(self._unit(each)) for each in self._target]
        return otsu_threshold(np.sum(counts, axis=0))

    def _scores(
        self,
        index: int,
        profile: Profile,
        unit: np.ndarray,
        foreground: np.ndarray,
        keep: Optional[KeepMap],
    ) -> Iterator[Tuple[ScoreKey, Agreement]]:
        standard = profile is Profile.STANDARD
        target = unit if standard else self._mean_centred(index)
        if target is None:
            return
        smoothed = Smoothed.of(target)
        for name in self._images:
            image = self._fitted(name, index) if standard else self._gained(name, index)
            if image is None:
                continue
            similarity = similarity_map(smoothed, image)
            image -= target
            if keep is not None and standard:
                self._keep(keep, name, index, image, similarity)
            for region, agreement in _agreements(image, similarity, foreground):
                yield (name, profile, region), agreement

    def _fitted(self, name: str, index: int) -> np.ndarray:
        """Fit a plane to the unit target by least squares over all planes, and clip it.

        Percentiles of the image itself would not change the result: the fit undoes them.
        """
        fit = total_of(self._moments[name])
        image: np.ndarray = self._images[name][index].astype(np.float64)
        image -= fit.mean
        image *= fit.slope / self._span
        image += (fit.target_mean - self._low) / self._span
        return np.clip(image, 0.0, 1.0, out=image)

    def _mean_centred(self, index: int) -> Optional[np.ndarray]:
        """Bring a plane of the target into the notebooks' form, which know one plane at a time."""
        target = self._target[index]
        low, high = self._range_of(target)
        if not high > low:
            return None
        unit: np.ndarray = target.astype(np.float64)
        unit -= unit.mean()
        unit /= high - low
        return unit

    def _gained(self, name: str, index: int) -> Optional[np.ndarray]:
        """Multiply a mean-centred plane by the notebooks' gain: covariance (n - 1) over variance (n)."""
        moments = self._moments[name][index]
        if not moments.square > 0 or moments.pixels < 2:
            return None
        low, high = self._range_of(self._target[index])
        unbiased = moments.pixels / (moments.pixels - 1)
        image: np.ndarray = self._images[name][index].astype(np.float64)
        image -= moments.mean
        image *= moments.slope * unbiased / (high - low)
        return image

    def _range_of(self, target: np.ndarray) -> Tuple[float, float]:
        if len(self._target) == 1:
            return self._low, self._low + self._span
        return percentiles(target, DARKEST, BRIGHTEST)

    def _keep(
        self, keep: KeepMap, name: str, index: int, error: np.ndarray, similarity: np.ndarray
    ) -> None:
        keep(name, SSIM, self._number, index, similarity)
        keep(name, SIGNED_ERROR, self._number, index, error)
        keep(name, ABSOLUTE_ERROR, self._number, index, np.abs(error))

    def _correlations(
        self, indices: Sequence[int], masks: Sequence[np.ndarray]
    ) -> Dict[Tuple[str, Region], Tuple[int, float]]:
        found: Dict[Tuple[str, Region], Tuple[int, float]] = {}
        for name, each in self._images.items():
            of_region = {
                Region.WHOLE: [self._moments[name][index] for index in indices],
                Region.FOREGROUND: [
                    Moments.of(self._target[index][mask], each[index][mask])
                    for index, mask in zip(indices, masks)
                    if mask.any()
                ],
            }
            for region, moments in of_region.items():
                total = total_of(moments) if moments else None
                if total is not None and total.correlation is not None:
                    found[name, region] = total.pixels, total.pixels * total.correlation
        return found


def _agreements(
    error: np.ndarray, similarity: np.ndarray, foreground: np.ndarray
) -> Iterator[Tuple[Region, Agreement]]:
    """Sum over all pixels, and over those whose weight in `foreground` is 1."""
    inner = interior(similarity).ravel()
    weights, inner_weights = foreground.ravel(), interior(foreground).ravel()
    absolute = np.abs(error).ravel()
    squared = np.square(absolute)
    sums = [float(each.sum()) for each in (squared, absolute, inner)]
    yield Region.WHOLE, Agreement(absolute.size, sums[0], sums[1], inner.size, sums[2])
    sums = [dot(each, weights) for each in (squared, absolute)]
    counts = int(weights.sum()), int(inner_weights.sum())
    similar = dot(inner, inner_weights)
    yield Region.FOREGROUND, Agreement(counts[0], sums[0], sums[1], counts[1], similar)

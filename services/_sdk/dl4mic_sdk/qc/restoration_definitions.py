# SPDX-License-Identifier: BSD-3-Clause
"""What each number of restoration means, and how it follows from the sums that were measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Dict, Iterator, Optional, Sequence, Tuple

from dl4mic_sdk.qc.agreement import Agreement, Measurement, Profile, Region
from dl4mic_sdk.qc.definition import Definition
from dl4mic_sdk.qc.kind import Numbers

PREDICTION, SOURCE = "prediction", "source"

LEAST_SQUARED_ERROR = 1e-10
"""A mean squared error below it counts as it, which is 100 dB: images of 16 bit are not known better."""

FOREGROUND_ID = "restoration.foreground/1"


class Metric(Enum):
    """How alike two images are."""

    SSIM = "SSIM"
    NRMSE = "NRMSE"
    PSNR = "PSNR"
    PEARSON = "Pearson"


@dataclass(frozen=True)
class Quantity:
    """One number: a metric of something against the target, in a profile, over a region.

    Attributes
    ----------
    profile
        None for Pearson's correlation, which no linear scale changes.
    """

    metric: Metric
    profile: Optional[Profile]
    region: Region
    of: str

    @property
    def id(self) -> str:
        """Its identifier: ``restoration.standard.ssim.foreground.source/1``."""
        parts = [
            "restoration",
            self.profile.value if self.profile else "",
            self.metric.name.lower(),
        ]
        if self.region is Region.FOREGROUND:
            parts.append("foreground")
        if self.of != PREDICTION:
            parts.append(self.of)
        return ".".join(filter(None, parts)) + "/1"

    def definition(self) -> Definition:
        """Say what it is."""
        inside = " in foreground" if self.region is Region.FOREGROUND else ""
        how = " (zerocost)" if self.profile is Profile.ZEROCOST else ""
        measure = self.metric.value + inside + how
        title = measure if self.of == PREDICTION else "{}, {}".format(measure, self.of)
        unit = "dB" if self.metric is Metric.PSNR else ""
        return Definition(self.id, title, self._text(), unit=unit, measure=measure, of=self.of)

    def value(self, measurement: Measurement) -> Optional[float]:
        """Compute it; None where it is not defined."""
        if self.profile is None:
            pixels, total = measurement.correlations.get((self.of, self.region), (0, 0.0))
            return total / pixels if pixels else None
        sums = measurement.scores.get((self.of, self.profile, self.region), Agreement())
        return _FORMULAS[self.metric](sums, self.profile)

    def _text(self) -> str:
        formula = _TEXTS[self.metric, self.profile]
        where = _FOREGROUND_TEXT if self.region is Region.FOREGROUND else ""
        return formula.format(what="the " + self.of) + where


RANK = Quantity(Metric.SSIM, Profile.STANDARD, Region.WHOLE, PREDICTION)
"""What images and models are ranked by, and filters tuned by."""


def quantities(compared: Sequence[str]) -> Tuple[Quantity, ...]:
    """Return every number of what is compared with the target, in the order of tables."""
    return tuple(each for of in compared for each in _of_one(of))


def _of_one(of: str) -> Iterator[Quantity]:
    for profile in Profile:
        for region in Region:
            for metric in (Metric.SSIM, Metric.NRMSE, Metric.PSNR):
                yield Quantity(metric, profile, region, of)
    for region in Region:
        yield Quantity(Metric.PEARSON, None, region, of)


def definitions(compared: Sequence[str]) -> Tuple[Definition, ...]:
    """Define every number of `numbers`."""
    return (*(each.definition() for each in quantities(compared)), _FOREGROUND)


def numbers(measurement: Measurement, compared: Sequence[str]) -> Numbers:
    """Compute every number from the sums; None where it is not defined."""
    found: Numbers = {each.id: each.value(measurement) for each in quantities(compared)}
    share = measurement.foreground / measurement.pixels if measurement.foreground else None
    return dict(found, **{FOREGROUND_ID: share})


def headline_id(metric: Metric, of: str = PREDICTION) -> str:
    """Id of a metric over the whole image, in profile ``standard`` where there are profiles."""
    profile = None if metric is Metric.PEARSON else Profile.STANDARD
    return Quantity(metric, profile, Region.WHOLE, of).id


def _similarity(sums: Agreement, profile: Profile) -> Optional[float]:
    return sums.similarity / sums.windows if sums.windows else None


def _error(sums: Agreement, profile: Profile) -> Optional[float]:
    if not sums.pixels:
        return None
    total = sums.squared if profile is Profile.STANDARD else sums.absolute
    return math.sqrt(total / sums.pixels)


def _noise_ratio(sums: Agreement, profile: Profile) -> Optional[float]:
    if not sums.pixels:
        return None
    return -10 * math.log10(max(sums.squared / sums.pixels, LEAST_SQUARED_ERROR))


_FORMULAS = {Metric.SSIM: _similarity, Metric.NRMSE: _error, Metric.PSNR: _noise_ratio}

_STANDARD = (
    "Profile standard: the target's percentiles 0.1 and 99.9 become 0 and 1 (of a stack, those of all its planes; each "
    "channel apart), {what} is fitted to it by least squares (a I + b; Weigert et al. 2018, "
    "doi:10.1038/s41592-018-0216-7), and both are clipped to 0..1. "
)
_ZEROCOST = (
    "Profile zerocost, as the notebooks of ZeroCostDL4Mic compute it (von Chamier et al. 2021, "
    "doi:10.1038/s41467-021-22518-0), to compare with their reports: each plane of the target is scaled by its "
    "percentiles 0.1 and 99.9, the means are taken off, {what} is multiplied by covariance (n - 1) over variance (n), "
    "nothing is clipped. "
)
_SSIM = (
    "Structural similarity with the target (Wang et al. 2004, doi:10.1109/TIP.2003.819861): Gaussian window of sigma "
    "1.5, 11 x 11 px, K 0.01 and 0.03, data range 1, population covariance, negative values kept; mean over the pixels "
    "whose window lies in the image, of a stack over all its planes. Not defined in planes of less than 11 px."
)
_PSNR = "10 log10(1 / mean squared error) in dB, at most 100, which is beyond what 16 bit show."
_EMPTY = " Not defined where the percentiles are equal: there is nothing to score."
_TEXTS: Dict[Tuple[Metric, Optional[Profile]], str] = {
    (Metric.SSIM, Profile.STANDARD): _STANDARD + _SSIM + _EMPTY,
    (Metric.NRMSE, Profile.STANDARD): _STANDARD
    + "Root of the mean squared error, over the target's range, which is 1 by then."
    + _EMPTY,
    (Metric.PSNR, Profile.STANDARD): _STANDARD + _PSNR + _EMPTY,
    (Metric.SSIM, Profile.ZEROCOST): _ZEROCOST + _SSIM + _EMPTY,
    (Metric.NRMSE, Profile.ZEROCOST): _ZEROCOST
    + "Root of the mean absolute error: the notebooks' NRMSE, which is no root of squares."
    + _EMPTY,
    (Metric.PSNR, Profile.ZEROCOST): _ZEROCOST + _PSNR + _EMPTY,
    (
        Metric.PEARSON,
        None,
    ): "Pearson's correlation of the intensities of {what} and the target, as they are; of a "
    "stack over all its planes. Not defined where one of them is constant.",
}
_FOREGROUND_TEXT = (
    " Over the foreground only: the pixels above Otsu's threshold (1979, doi:10.1109/TSMC.1979.4310076) of the target, "
    "scaled as in profile standard."
)
_FOREGROUND = Definition(
    FOREGROUND_ID,
    "target foreground",
    "Share of the target's pixels above Otsu's threshold; whole-image numbers reward an empty background.",
    measure="target foreground",
)

# SPDX-License-Identifier: BSD-3-Clause
"""What is measured of images against their target: sums, from which every number of restoration follows."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum
from typing import Dict, Mapping, Sequence, Tuple


class Profile(Enum):
    """How intensities are brought onto one scale before they are compared."""

    STANDARD = "standard"
    ZEROCOST = "zerocost"


class Region(Enum):
    """Which pixels count."""

    WHOLE = "whole"
    FOREGROUND = "foreground"


ScoreKey = Tuple[str, Profile, Region]
"""What is compared with the target, how, and where."""


@dataclass(frozen=True)
class Agreement:
    """Sums over pixels; those of planes, channels and images add up.

    Attributes
    ----------
    pixels, squared, absolute
        Pixels, and the sums of their squared and absolute errors.
    windows, similarity
        Pixels whose window lies inside the image, and the sum of their SSIM.
    """

    pixels: int = 0
    squared: float = 0.0
    absolute: float = 0.0
    windows: int = 0
    similarity: float = 0.0

    def __add__(self, more: Agreement) -> Agreement:
        return Agreement(
            self.pixels + more.pixels,
            self.squared + more.squared,
            self.absolute + more.absolute,
            self.windows + more.windows,
            self.similarity + more.similarity,
        )


@dataclass(frozen=True)
class Measurement:
    """What was measured of a plane, an image, or several.

    Attributes
    ----------
    scores
        What is compared, how and where -> the sums; what is not defined is left out.
    correlations
        What is compared, and where -> pixels, and Pearson's correlation times these.
    foreground, pixels
        Of the target; where it is constant nothing is foreground.
    """

    scores: Mapping[ScoreKey, Agreement] = field(default_factory=dict)
    correlations: Mapping[Tuple[str, Region], Tuple[int, float]] = field(default_factory=dict)
    foreground: int = 0
    pixels: int = 0


def join(parts: Sequence[Measurement]) -> Measurement:
    """Add up; correlations are weighted by pixels."""
    scores: Dict[ScoreKey, Agreement] = defaultdict(Agreement)
    correlations: Dict[Tuple[str, Region], Tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for part in parts:
        for key, agreement in part.scores.items():
            scores[key] += agreement
        for place, (pixels, total) in part.correlations.items():
            before = correlations[place]
            correlations[place] = before[0] + pixels, before[1] + total
    return Measurement(
        dict(scores),
        dict(correlations),
        sum(part.foreground for part in parts),
        sum(part.pixels for part in parts),
    )

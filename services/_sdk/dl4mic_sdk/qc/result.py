# SPDX-License-Identifier: BSD-3-Clause
"""What quality control found out about one model, or about one folder of predictions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence

from dl4mic_sdk.qc.candidates import Candidate
from dl4mic_sdk.qc.definition import Definition
from dl4mic_sdk.qc.kind import Kind, Numbers


@dataclass(frozen=True)
class ImageRow:
    """Numbers of one image predicted by one model."""

    model: str
    name: str
    numbers: Numbers


@dataclass(frozen=True)
class Spread:
    """How a number varies over the images where it is defined.

    Attributes
    ----------
    mean, standard_deviation, minimum, maximum
        Of the images; the deviation is that of a sample (n - 1), None for a single image.
    images
        How many images define the number.
    """

    mean: float
    standard_deviation: Optional[float]
    minimum: float
    maximum: float
    images: int


@dataclass(frozen=True)
class QcResult:
    """Everything that was measured of one candidate.

    Attributes
    ----------
    kind
        How it was scored.
    candidate
        What was scored.
    measured
        Name of each image that was scored -> what the kind measured, in the order of the images.
    rows
        The numbers of these images.
    pooled
        Numbers of all images taken as one; all None where no image was scored.
    failed
        Name -> why an image has no score.
    """

    kind: Kind
    candidate: Candidate
    measured: Mapping[str, Any]
    rows: Sequence[ImageRow]
    pooled: Numbers
    failed: Mapping[str, str]

    @classmethod
    def of(
        cls,
        kind: Kind,
        candidate: Candidate,
        measured: Mapping[str, Any],
        failed: Mapping[str, str],
    ) -> QcResult:
        """Compute all numbers from what was measured."""
        label = candidate.label
        rows = [ImageRow(label, name, kind.numbers(each)) for name, each in measured.items()]
        return cls(kind, candidate, measured, rows, pooled_numbers(kind, measured.values()), failed)

    @property
    def rank_definition(self) -> Definition:
        """The number that images and models are ranked by."""
        return next(each for each in self.kind.definitions if each.id == self.kind.rank_by)

    def undefined(self) -> List[str]:
        """Names of the images that have nothing to score."""
        return [row.name for row in self.rows if row.numbers[self.kind.rank_by] is None]

    def spread(self) -> Dict[str, Optional[Spread]]:
        """Mean and spread of every number over the images; None where no image defines it."""
        ids = [each.id for each in self.kind.definitions]
        return {key: spread_of([row.numbers[key] for row in self.rows]) for key in ids}

    def ranked(self) -> List[ImageRow]:
        """Images from worst to best; those whose rank is not defined are left out."""
        key = self.kind.rank_by
        defined = [row for row in self.rows if row.numbers[key] is not None]
        return sorted(defined, key=lambda row: row.numbers[key] or 0.0)

    def scores(self, names: Iterable[str]) -> List[Optional[float]]:
        """The number that images are ranked by, of each of these images; None where there is none."""
        known = {row.name: row.numbers[self.kind.rank_by] for row in self.rows}
        return [known.get(name) for name in names]


def pooled_numbers(kind: Kind, measurements: Iterable[Any]) -> Numbers:
    """Compute the numbers of images taken as one; all None without any image."""
    every = list(measurements)
    if not every:
        return {each.id: None for each in kind.definitions}
    return kind.numbers(kind.pool(every))


def spread_of(values: Sequence[Optional[float]]) -> Optional[Spread]:
    """Describe the values that are defined; None if there is none."""
    known = [float(each) for each in values if each is not None]
    if not known:
        return None
    mean = math.fsum(known) / len(known)
    squares = math.fsum((each - mean) ** 2 for each in known)
    deviation = math.sqrt(squares / (len(known) - 1)) if len(known) > 1 else None
    return Spread(mean, deviation, min(known), max(known), len(known))

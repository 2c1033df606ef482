# SPDX-License-Identifier: BSD-3-Clause
"""Which of several models is best on the same images, and whether that may be chance."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Iterable, List, Optional, Sequence

from dl4mic_sdk.qc.paired_test import METHOD, PairedTest, holm, paired_test
from dl4mic_sdk.qc.result import QcResult, pooled_numbers
from dl4mic_sdk.qc.warning_rules import QcWarning

RANKING = (
    "Models are ranked by {} pooled over the images that every model could score: a model that "
    "fails on hard images gains nothing by it. Equal scores share a rank. "
)


@dataclass(frozen=True)
class Place:
    """Where a model stands among the others.

    Attributes
    ----------
    result
        What was measured of it.
    rank
        From 1; None where it has no score.
    score
        The number that it is ranked by, pooled over the images that every model could score.
    test
        Against the best; None for the best itself.
    """

    result: QcResult
    rank: Optional[int]
    score: Optional[float]
    test: Optional[PairedTest] = None


@dataclass(frozen=True)
class Comparison:
    """Results of one or more candidates on the same images.

    Attributes
    ----------
    places
        Best first.
    images
        Names of the images that the ranking is made on.
    warnings
        What a reader must know.
    """

    places: Sequence[Place]
    images: Sequence[str]
    warnings: Sequence[QcWarning] = ()

    @property
    def best(self) -> QcResult:
        """What was measured of the best."""
        return self.places[0].result

    @property
    def several(self) -> bool:
        """There is more than one candidate."""
        return len(self.places) > 1

    @property
    def method(self) -> str:
        """How models were ranked and compared."""
        return RANKING.format(self.best.rank_definition.title) + METHOD

    def with_warnings(self, warnings: Iterable[QcWarning]) -> Comparison:
        """Add warnings."""
        return replace(self, warnings=[*self.warnings, *warnings])


def compare(results: Sequence[QcResult]) -> Comparison:
    """Rank results, and test each against the best.

    Parameters
    ----------
    results
        One or more, of one kind; what scores alike stays in this order.
    """
    images = _shared(results)
    places = _ranked(results, images)
    best = places[0].result.scores(images)
    tests = [paired_test(best, each.result.scores(images)) for each in places[1:]]
    adjusted = holm([each.p for each in tests])
    tested = [
        replace(place, test=replace(test, p_adjusted=p))
        for place, test, p in zip(places[1:], tests, adjusted)
    ]
    return Comparison([places[0], *tested], images)


def _shared(results: Sequence[QcResult]) -> List[str]:
    """Names of the images that all results have that have any; of no common image, those of the first."""
    scored = [each.measured for each in results if each.measured]
    shared = [name for name in scored[0] if all(name in each for each in scored)]
    return shared or list(scored[0])


def _ranked(results: Sequence[QcResult], images: Sequence[str]) -> List[Place]:
    scores = [_score(each, images) for each in results]
    values = [-math.inf if each is None else each for each in scores]
    order = sorted(range(len(results)), key=lambda index: -values[index])
    return [
        Place(
            results[index],
            None if scores[index] is None else 1 + sum(v > values[index] for v in values),
            scores[index],
        )
        for index in order
    ]


def _score(result: QcResult, images: Sequence[str]) -> Optional[float]:
    measured = [result.measured[name] for name in images if name in result.measured]
    return pooled_numbers(result.kind, measured)[result.kind.rank_by]

# SPDX-License-Identifier: BSD-3-Clause
"""Is one model better than another on the same images, or was it chance? A paired test says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import List, Mapping, Optional, Sequence, Tuple

import numpy as np
from scipy.stats import rankdata, wilcoxon

SIGNIFICANT = 0.05
FEWEST_DIFFERENCES = 6
"""With five, the smallest two-sided p is 2 / 2**5 = 0.0625: no outcome could be told from chance."""

MOST_EXACT = 25
"""Differences up to which p is exact; that of the normal distribution is close beyond it."""

_DECIMALS = 9
"""Scores are ratios of integers: differences that are equal up to rounding are ties."""

EXACT, NORMAL, NONE = "exact", "normal approximation", "none"

TEST = (
    "Wilcoxon's signed-rank test (1945, doi:10.2307/3001968), two-sided, on the differences of the "
    "scores image by image. Images that a model could not score, or that have nothing to score, are "
    "left out. Differences of 0 are left out, as Wilcoxon did; equal differences share the mean of "
    "their ranks. Up to {} differences p is exact, given the ties; beyond, it is that of the normal "
    "distribution with the variance corrected for ties and no correction for continuity."
).format(MOST_EXACT)

METHOD = TEST + (
    " The best model is compared with several others: p is given as it is and as Holm (1979) adjusts it."
)


class Outcome(Enum):
    """What a test says of a model."""

    SAME = "same"
    TOO_FEW = "too few"
    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class PairedTest:
    """A model's scores against those of the best model on the same images.

    Attributes
    ----------
    images
        Images that both have a score of.
    better, worse, equal
        Images on which the model scores above, below, and like the best one.
    median_difference
        Of the model's score minus that of the best one; None without any image.
    statistic
        Sum of the ranks of the differences above 0; None where nothing differs.
    p
        Two-sided; None where nothing differs.
    p_adjusted
        Adjusted for the number of models compared (Holm 1979).
    method
        `EXACT`, `NORMAL` or `NONE`.
    """

    images: int
    better: int
    worse: int
    equal: int
    median_difference: Optional[float]
    statistic: Optional[float]
    p: Optional[float]
    p_adjusted: Optional[float]
    method: str

    @property
    def too_few(self) -> bool:
        """Whether so few differences could tell the models apart at all."""
        return self.better + self.worse < FEWEST_DIFFERENCES

    @property
    def outcome(self) -> Outcome:
        """What it says."""
        differing = self.better + self.worse
        if self.images and not differing:
            return Outcome.SAME
        if self.too_few:
            return Outcome.TOO_FEW
        if self.p_adjusted is not None and self.p_adjusted < SIGNIFICANT:
            middle = differing * (differing + 1) / 4
            above = self.statistic is not None and self.statistic > middle
            return Outcome.BETTER if above else Outcome.WORSE
        return Outcome.UNDECIDED

    @property
    def verdict(self) -> str:
        """What it means of a model against the best one, in words."""
        return self.verdict_in(_AGAINST_BEST)

    def verdict_in(self, words: Mapping[Outcome, str]) -> str:
        """Say what it means; `words` for every outcome but too few images."""
        if self.outcome is Outcome.TOO_FEW:
            text = "too few images to tell: {} differ, at least {} must"
            return text.format(self.better + self.worse or "none", FEWEST_DIFFERENCES)
        return words[self.outcome]


_AGAINST_BEST: Mapping[Outcome, str] = {
    Outcome.SAME: "scores the same on every image",
    Outcome.BETTER: "better on most images",
    Outcome.WORSE: "worse than the best",
    Outcome.UNDECIDED: "cannot be told from the best",
}


def paired_test(best: Sequence[Optional[float]], other: Sequence[Optional[float]]) -> PairedTest:
    """Compare two models on the same images.

    Parameters
    ----------
    best, other
        A score for each image, in the same order; None where there is none.

    Returns
    -------
    PairedTest
        With `p_adjusted` as `p`; `adjusted` takes all comparisons into account.
    """
    pairs = [(a, b) for a, b in zip(best, other) if a is not None and b is not None]
    differences = np.round([b - a for a, b in pairs], _DECIMALS)
    nonzero = differences[differences != 0]
    statistic, p, method = _signed_rank(nonzero)
    return PairedTest(
        images=len(pairs),
        better=int((nonzero > 0).sum()),
        worse=int((nonzero < 0).sum()),
        equal=len(pairs) - nonzero.size,
        median_difference=float(np.median(differences)) if pairs else None,
        statistic=statistic,
        p=p,
        p_adjusted=p,
        method=method,
    )


def holm(values: Sequence[Optional[float]]) -> List[Optional[float]]:
    """Adjust p-values for their number: the family-wise error stays below the level (Holm 1979)."""
    known = sorted((p, place) for place, p in enumerate(values) if p is not None)
    adjusted: List[Optional[float]] = [None] * len(values)
    largest = 0.0
    for done, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - done)))
        adjusted[place] = largest
    return adjusted


def _signed_rank(differences: np.ndarray) -> Tuple[Optional[float], Optional[float], str]:
    """Sum of positive ranks, p, and how p was found; `differences` holds no 0."""
    if not differences.size:
        return None, None, NONE
    ranks = rankdata(np.abs(differences), method="average")
    statistic = float(ranks[differences > 0].sum())
    if differences.size <= MOST_EXACT:
        return statistic, _exact_p(ranks, statistic), EXACT
    # By position, since the last argument changed its name from mode to method.
    found = wilcoxon(differences, None, "wilcox", False, "two-sided", "approx")
    return statistic, float(found[1]), NORMAL


def _exact_p(ranks: np.ndarray, statistic: float) -> float:
    """Share of all 2**n signs of these ranks that lie as far from the middle; twice the smaller tail.

    SciPy's own exact p holds without ties only, and what it does with ties differs from version to version.
    """
    doubled = np.round(2 * ranks).astype(int)
    ways = np.ones(1)
    for rank in doubled:
        longer = np.zeros(ways.size + rank)
        longer[: ways.size] += ways
        longer[rank:] += ways
        ways = longer
    at = round(2 * statistic)
    tail = min(math.fsum(ways[: at + 1]), math.fsum(ways[at:]))
    return min(1.0, 2 * tail / 2.0**doubled.size)

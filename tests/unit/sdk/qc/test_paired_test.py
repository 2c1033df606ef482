# SPDX-License-Identifier: BSD-3-Clause
"""The paired test: by hand, against SciPy where that is exact, and the same numbers under every Python."""

from __future__ import annotations

from typing import List, Optional

import numpy as np
import pytest
from scipy.stats import wilcoxon

from dl4mic_sdk.qc.paired_test import EXACT, NONE, NORMAL, holm, paired_test


def against_zero(differences: List[float]):
    return paired_test([0.0] * len(differences), differences)


def test_by_hand_without_ties() -> None:
    # Ranks 1 2 3 4 5 6; only the smallest difference is above 0. Two of the 64 signs have a rank
    # sum of at most 1 (none above 0; the first alone), so that p = 2 * 2 / 64.
    found = against_zero([0.01, -0.02, -0.03, -0.04, -0.05, -0.06])
    assert (found.statistic, found.p, found.method) == (1.0, 4 / 64, EXACT)
    assert (found.better, found.worse, found.equal) == (1, 5, 0)
    assert found.median_difference == pytest.approx(-0.035)


def test_by_hand_with_ties() -> None:
    # All of rank (1 + 2 + 3 + 4 + 5 + 6) / 6: only one sign of all is as extreme on either side.
    found = against_zero([-0.1] * 6)
    assert (found.statistic, found.p) == (0.0, 2 / 64)
    # Ranks 1.5 1.5 3 (|d| = .1 .1 .2), the sum above 0 is 1.5. Of the 8 signs the sums are
    # 0 1.5 1.5 3 3 4.5 4.5 6: three are at most 1.5.
    assert against_zero([0.1, -0.1, -0.2]).p == pytest.approx(2 * 3 / 8)


@pytest.mark.parametrize("count", [1, 5, 6, 11, 25])
def test_without_ties_it_is_scipys_exact_p(count: int) -> None:
    random = np.random.RandomState(count)
    differences = random.permutation(count) + 1 - 0.31 * count
    found = against_zero(list(differences / 100))
    recorded = wilcoxon(differences, None, "wilcox", False, "two-sided", "exact")
    assert found.p == pytest.approx(recorded[1], rel=1e-12)


def test_the_normal_approximation_of_many_differences() -> None:
    # n = 40, the differences below 0 have the ranks 1 to 10: W = 820 - 55 = 765, mean 410,
    # variance 40 * 41 * 81 / 24 = 5535, z = 4.77166, p = 2 (1 - Phi(z)).
    differences = [-rank / 100 if rank <= 10 else rank / 100 for rank in range(1, 41)]
    found = against_zero(differences)
    assert (found.statistic, found.method) == (765.0, NORMAL)
    assert found.p == pytest.approx(1.82713e-06, rel=1e-4)


@pytest.mark.parametrize(
    ("seed", "count", "p"),
    [(1, 8, 0.296875), (2, 20, 0.0900726318359375), (3, 60, 0.032479934709708815)],
)
def test_golden_numbers(seed: int, count: int, p: float) -> None:
    """Scores of a hundredth, as F1 of few objects is: many ties, some zeros."""
    random = np.random.RandomState(seed)
    best = random.randint(60, 100, count) / 100
    other = best - random.randint(-4, 9, count) / 100
    assert paired_test(list(best), list(other)).p == pytest.approx(p, rel=1e-6)


def test_rounding_makes_no_differences() -> None:
    # 0.8 - 0.6 and 0.6 - 0.4 differ in their last digit, and 0.1 + 0.2 - 0.3 is not 0.
    found = paired_test([0.8, 0.6, 0.1 + 0.2], [0.6, 0.4, 0.3])
    assert (found.statistic, found.p, found.equal) == (0.0, 0.5, 1)


def test_images_that_one_of_them_lacks_are_left_out() -> None:
    best: List[Optional[float]] = [1.0, None, 0.9, 0.8]
    found = paired_test(best, [0.5, 0.5, None, 0.8])
    assert (found.images, found.worse, found.equal) == (2, 1, 1)


def test_nothing_differs() -> None:
    found = paired_test([0.5] * 9, [0.5] * 9)
    assert (found.p, found.statistic, found.method) == (None, None, NONE)
    assert found.verdict == "scores the same on every image"


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([], "too few images to tell: none differ, at least 6 must"),
        ([-0.1] * 5, "too few images to tell: 5 differ, at least 6 must"),
        ([-0.1] * 6, "worse than the best"),
        ([0.1] * 6, "better on most images"),
        ([-0.1, 0.2, -0.3, 0.4, -0.5, 0.6, -0.7], "cannot be told from the best"),
    ],
)
def test_it_says_what_it_means(differences: List[float], verdict: str) -> None:
    assert against_zero(differences).verdict == verdict


def test_holm_by_hand() -> None:
    # Sorted: 0.01 * 4, 0.02 * 3, 0.03 * 2 (no less than the one before), 0.9 * 1.
    assert holm([0.9, 0.01, None, 0.03, 0.02]) == [0.9, 0.04, None, 0.06, 0.06]
    assert holm([0.6, 0.7]) == [1.0, 1.0]

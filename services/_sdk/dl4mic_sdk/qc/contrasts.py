# SPDX-License-Identifier: BSD-3-Clause
"""Is what was predicted better than something simpler, such as what it was predicted from? Paired tests say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List

from dl4mic_sdk.qc.definition import Definition
from dl4mic_sdk.qc.paired_test import Outcome, PairedTest, paired_test
from dl4mic_sdk.qc.result import QcResult

_VERDICTS = {
    Outcome.SAME: "the same on every image",
    Outcome.BETTER: "better on most images",
    Outcome.WORSE: "worse on most images",
    Outcome.UNDECIDED: "cannot be told apart",
}


@dataclass(frozen=True)
class Contrast:
    """A number of the prediction against the same number of something simpler, image by image.

    Attributes
    ----------
    score, baseline
        The two numbers.
    test
        Positive differences where the prediction is better.
    """

    score: Definition
    baseline: Definition
    test: PairedTest

    @property
    def verdict(self) -> str:
        """What it means, in words."""
        return self.test.verdict_in(_VERDICTS)

    def as_plain(self) -> Dict[str, Any]:
        """Say the same in plain values."""
        return dict(
            vars(self.test), score=self.score.id, baseline=self.baseline.id, verdict=self.verdict
        )


def contrasts_of(result: QcResult) -> List[Contrast]:
    """Test each of the kind's contrasts that has images; each is a question of its own, so p is not adjusted."""
    by_id = {each.id: each for each in result.kind.definitions}
    found: List[Contrast] = []
    for score, baseline in result.kind.contrasts:
        one, other = ([row.numbers[key] for row in result.rows] for key in (baseline, score))
        test = paired_test(one, other)
        if test.images:
            found.append(Contrast(by_id[score], by_id[baseline], test))
    return found

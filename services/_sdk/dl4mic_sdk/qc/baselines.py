# SPDX-License-Identifier: BSD-3-Clause
"""The simple filters that a restoration is held against, tuned on pairs that its model was trained on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from dl4mic_sdk.errors import SdkError
from dl4mic_sdk.images import Image
from dl4mic_sdk.qc.agreement import Profile
from dl4mic_sdk.qc.restoration import compare_images
from dl4mic_sdk.qc.restoration_definitions import RANK
from dl4mic_sdk.qc.simple_filters import GAUSSIAN, MEDIAN, SimpleFilter, tune
from dl4mic_sdk.qc.training_pairs import NoTrainingPairs, crops, training_pairs

if TYPE_CHECKING:
    from dl4mic_sdk.context import Context
    from dl4mic_sdk.task import QcTask

WITHOUT = (
    "What the model gains over a Gaussian and a median filter tuned on training pairs: {}. They are never tuned on "
    "the test images."
)


@dataclass(frozen=True)
class Baselines:
    """Filters tuned on training pairs, or why there are none.

    Attributes
    ----------
    filters
        One of each kind; none where nothing could be tuned on.
    model
        The model whose training pairs they were tuned on.
    pairs
        How many pairs.
    why_not
        Why there are no filters, in words for a report.
    """

    filters: Tuple[SimpleFilter, ...] = ()
    model: str = ""
    pairs: int = 0
    why_not: str = ""

    @classmethod
    def of(cls, task: QcTask, ctx: Context) -> Baselines:
        """Tune on the training pairs of the first model whose files are still there; never on the test images."""
        reasons = ["no model was given"]
        for model in task.models:
            try:
                pairs = crops(training_pairs(model, task.data))
            except NoTrainingPairs as reason:
                reasons.append("{}: {}".format(model.name, reason))
                continue
            except SdkError as error:
                reasons.append("{}: {}".format(model.name, error.message))
                continue
            return cls(_tuned(pairs, ctx), model.name, len(pairs))
        return cls(why_not="; ".join(dict.fromkeys(reasons[1:] or reasons)))

    @property
    def left_out(self) -> Sequence[str]:
        """What cannot be said without filters."""
        return () if self.filters else (WITHOUT.format(self.why_not),)

    @property
    def method(self) -> str:
        """How the filters came about, in a sentence for a methods section."""
        if not self.filters:
            return ""
        text = " Beside it stand a {}, whose widths give the highest SSIM on {} training pair{}."
        named = " and a ".join(each.text for each in self.filters)
        return text.format(named, self.pairs, "" if self.pairs == 1 else "s")

    def as_plain(self) -> Dict[str, Any]:
        """Say the same in plain values."""
        filters = [dict(asdict(each), text=each.text) for each in self.filters]
        return {
            "filters": filters,
            "tuned_on_pairs": self.pairs,
            "of_model": self.model,
            "why_not": self.why_not,
        }


def _tuned(pairs: Sequence[Tuple[Image, Image]], ctx: Context) -> Tuple[SimpleFilter, ...]:
    def score(each: SimpleFilter) -> Optional[float]:
        ctx.raise_if_stopping()
        return mean_similarity(pairs, each)

    stacks = any("Z" in target.axes for _, target in pairs)
    found = [tune(kind, stacks, score) for kind in (GAUSSIAN, MEDIAN)]
    filters = tuple(each for each in found if each is not None)
    ctx.log.info("tuned on %d training pairs: %s", len(pairs), ", ".join(f.text for f in filters))
    return filters


def mean_similarity(pairs: Sequence[Tuple[Image, Image]], each: SimpleFilter) -> Optional[float]:
    """Score a filter by the number that images are ranked by, mean over pairs of source and target."""
    values: List[float] = []
    for source, target in pairs:
        images = {RANK.of: each.apply(source)}
        value = RANK.value(compare_images(target, images, (Profile.STANDARD,))[0])
        if value is not None:
            values.append(value)
    return float(np.mean(values)) if values else None

# SPDX-License-Identifier: BSD-3-Clause
"""The warnings of a quality control: which rules apply to what was scored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Iterable, Iterator, List, Optional, Tuple

from dl4mic_sdk.qc import warning_rules
from dl4mic_sdk.qc.comparison import Comparison
from dl4mic_sdk.qc.restoration_definitions import SOURCE
from dl4mic_sdk.qc.result import QcResult
from dl4mic_sdk.qc.warning_rules import QcWarning, facts_of
from dl4mic_sdk.training import read_history

if TYPE_CHECKING:
    from dl4mic_sdk.task import ModelFolder, QcTask


def warnings_of(comparison: Comparison, task: QcTask) -> List[QcWarning]:
    """Collect the warnings of a comparison; of several models, those about one name it.

    What several sets of weights of a model share is said once.
    """
    found: List[QcWarning] = []
    for place in comparison.places:
        result, model = place.result, place.result.candidate.model
        of_result = _about_result(result)
        of_model = _about_model(model, task) if model else []
        if comparison.several:
            of_result = _named(result.candidate.label, of_result)
            of_model = _named(model.name if model else "", of_model)
        found += [*of_result, *of_model]
    best = comparison.best
    found += warning_rules.about_amount(len(best.rows), best.pooled.get(best.kind.foreground))
    return list(dict.fromkeys(found))


def _about_result(result: QcResult) -> Iterator[QcWarning]:
    yield from warning_rules.about_failures(list(result.failed), result.undefined())
    yield from warning_rules.about_gain(_against_source(result))


def _against_source(result: QcResult) -> Dict[str, Tuple[Optional[float], Optional[float]]]:
    defined = {each.id: each for each in result.kind.definitions}
    return {
        defined[score].title: (result.pooled[score], result.pooled[baseline])
        for score, baseline in result.kind.contrasts
        if defined[baseline].of == SOURCE
    }


def _about_model(model: ModelFolder, task: QcTask) -> Iterator[QcWarning]:
    trained = facts_of(model.record.get("data") or {})
    yield from warning_rules.about_training_data(facts_of(task.data.as_record()), trained)
    yield from warning_rules.about_loss(read_history(model.path))


def _named(name: str, warnings: Iterable[QcWarning]) -> Iterator[QcWarning]:
    for each in warnings:
        yield QcWarning(each.code, "{}: {}".format(name, each.message))

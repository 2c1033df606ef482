# SPDX-License-Identifier: BSD-3-Clause
"""The default quality control of a network: predict, score by the kind of task, compare models, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from dl4mic_sdk.errors import DataError, SdkError
from dl4mic_sdk.folder_predict import predict_folder
from dl4mic_sdk.prediction_files import FINISHED_FILE
from dl4mic_sdk.qc.candidates import FINISHED, Candidate, candidates_of
from dl4mic_sdk.qc.comparison import Comparison, compare
from dl4mic_sdk.qc.kind import Kind
from dl4mic_sdk.qc.kinds import kind_of
from dl4mic_sdk.qc.pictures import draw_panels
from dl4mic_sdk.qc.result import QcResult
from dl4mic_sdk.qc.result_files import write_result
from dl4mic_sdk.qc.result_warnings import warnings_of
from dl4mic_sdk.qc.sample import SampleFiles

if TYPE_CHECKING:
    from dl4mic_sdk.context import Context
    from dl4mic_sdk.network import Network
    from dl4mic_sdk.pairs import Item
    from dl4mic_sdk.task import QcTask

PREDICTIONS = "predictions"
REPORT_NAME = "report.pdf"


def score(network: Network, task: QcTask, ctx: Context) -> None:
    """Predict the test images with each model, score them, rank the models, and report.

    Parameters
    ----------
    network
        Its `load` is called for each model, before the images of that model.
    task
        The models, and the images with their targets.
    ctx
        Gets progress, the warnings, and the headline numbers of the best model as metrics.

    Raises
    ------
    SdkError
        Not one image could be predicted and scored. Of several models, some may fail.
    Stopped
        The worker was asked to stop; the next attempt takes over what was predicted.

    Notes
    -----
    One image is in memory at a time, however many models and images there are. The predictions of one model lie in
    `PREDICTIONS`, those of several in a folder of it for each.
    """
    kind = _kind(task, ctx)
    candidates = candidates_of(task.models, task.output / PREDICTIONS)
    results = _results(network, kind, candidates, task, ctx)
    conclude(compare(results), task, ctx)
    for each in candidates:
        note = each.predictions / FINISHED_FILE
        if note.exists():
            note.unlink()


def score_finished(task: QcTask, ctx: Context) -> None:
    """Score predictions that were made before: the sources of `task.items`.

    Parameters
    ----------
    task
        Without models.
    ctx
        As of `score`.

    Raises
    ------
    SdkError
        Not one prediction could be scored, or nobody knows how to score the task.
    """
    kind = _kind(task, ctx)
    candidate = Candidate(FINISHED, task.items[0].source.parent)
    conclude(compare([_measured(kind, candidate, task, {}, ctx)]), task, ctx)


def conclude(comparison: Comparison, task: QcTask, ctx: Context) -> None:
    """Write and announce what was found; matplotlib is loaded only here."""
    from dl4mic_sdk.qc.report import write_report
    from dl4mic_sdk.qc.report_parts import ReportParts

    comparison = comparison.with_warnings(warnings_of(comparison, task))
    write_result(comparison, task.network, task.output)
    _announce(comparison, ctx)
    panels = draw_panels(comparison.best, task, ctx)
    write_report(task.output / REPORT_NAME, ReportParts.of(comparison, task, panels))


def _kind(task: QcTask, ctx: Context) -> Kind:
    targets = any(item.target is not None for item in task.items)
    return kind_of(task.task_kind, targets).prepared(task, ctx)


def _results(
    network: Network, kind: Kind, candidates: Sequence[Candidate], task: QcTask, ctx: Context
) -> List[QcResult]:
    """Score each model; of several, one that fails is kept without scores, so that the others' are not lost."""
    results: List[QcResult] = []
    first: Optional[SdkError] = None
    for number, candidate in enumerate(candidates, 1):
        ctx.log.info("model %d of %d: %s", number, len(candidates), candidate.label)
        if len(candidates) > 1:
            ctx.stage = "model {} of {}".format(number, len(candidates))
        try:
            results.append(_result_of(network, kind, candidate, task, ctx))
        except SdkError as error:
            ctx.log.error("%s cannot be scored: %s", candidate.label, error)
            first = first or error
            failed = {item.name: error.message for item in task.items}
            results.append(QcResult.of(kind, candidate, {}, failed))
    ctx.stage = ""
    if first is not None and not any(each.measured for each in results):
        raise first
    return results


def _result_of(
    network: Network, kind: Kind, candidate: Candidate, task: QcTask, ctx: Context
) -> QcResult:
    if candidate.model is None:
        raise ValueError("a candidate without a model makes no predictions")
    network.load(candidate.model)
    candidate.predictions.mkdir(parents=True, exist_ok=True)
    previous = _previous(candidate, task)
    failed = predict_folder(
        network, task.items, candidate.predictions, ctx, previous=previous, keep_note=True
    )
    return _measured(kind, candidate, task, failed, ctx)


def _previous(candidate: Candidate, task: QcTask) -> Optional[Path]:
    """Name the folder that the attempt before had for the same predictions."""
    if task.previous is None:
        return None
    return task.previous / candidate.predictions.relative_to(task.output / PREDICTIONS)


def _measured(
    kind: Kind, candidate: Candidate, task: QcTask, failed: Mapping[str, str], ctx: Context
) -> QcResult:
    part = candidate.predictions.name if len(task.models) > 1 else ""
    files = SampleFiles(task.output, candidate.label, part)
    items = [item for item in task.items if item.name not in failed]

    def measure(item: Item) -> Any:
        return kind.measure(candidate.sample(item, kind, task.sources), files)

    measured, incomparable = _measure_all(measure, items, kind, ctx)
    return QcResult.of(kind, candidate, measured, dict(failed, **incomparable))


def _measure_all(
    measure: Callable[[Item], Any], items: Sequence[Item], kind: Kind, ctx: Context
) -> Tuple[Dict[str, Any], Dict[str, str]]:
    measured: Dict[str, Any] = {}
    failed: Dict[str, str] = {}
    for done, item in enumerate(items):
        ctx.raise_if_stopping()
        ctx.progress(done, len(items), "images", "scoring", failed=len(failed))
        try:
            measured[item.name] = measure(item)
        except SdkError as error:
            failed[item.name] = error.message
    if not measured:
        raise DataError(
            "none of the {} images could be scored: {}".format(
                len(items), "; ".join(set(failed.values()))
            ),
            kind.target_hint,
            files=list(failed.items()),
        )
    return measured, failed


def _announce(comparison: Comparison, ctx: Context) -> None:
    for warning in comparison.warnings:
        ctx.warning(warning.code, warning.message)
    best = comparison.best
    titles = {each.id: each.title for each in best.kind.definitions}
    for key in best.kind.headline:
        value = best.pooled[key]
        if value is not None:
            ctx.metric(titles[key], value, 0)

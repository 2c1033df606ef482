# SPDX-License-Identifier: BSD-3-Clause
"""The default quality control of a network: predict, score by the kind of task, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Sequence, Tuple

from dl4mic_sdk import images
from dl4mic_sdk.errors import DataError, SdkError
from dl4mic_sdk.folder_predict import predict_folder
from dl4mic_sdk.qc import warning_rules
from dl4mic_sdk.qc.kind import Kind
from dl4mic_sdk.qc.kinds import kind_of
from dl4mic_sdk.qc.result import ImageRow, QcResult, write_result
from dl4mic_sdk.qc.warning_rules import QcWarning, facts_of
from dl4mic_sdk.training import read_history

if TYPE_CHECKING:
    from dl4mic_sdk.context import Context
    from dl4mic_sdk.network import Network
    from dl4mic_sdk.pairs import Item
    from dl4mic_sdk.task import ModelFolder, QcTask

PREDICTIONS = "predictions"
PANELS = "panels"
REPORT_NAME = "report.pdf"
MOST_PANELS = 8
"""Worst, best, and others spread evenly between them."""


def score(network: Network, task: QcTask, ctx: Context) -> None:
    """Predict the test images, score them and write predictions, numbers, panels and report.

    Parameters
    ----------
    network
        With the model loaded.
    task
        One model and the images with their targets.
    ctx
        Gets progress, the warnings, and the headline numbers as metrics.

    Raises
    ------
    DataError
        Not one image could be predicted and scored.
    """
    kind = kind_of(task.task_kind)
    model = task.models[0]
    predictions = task.output / PREDICTIONS
    predictions.mkdir(exist_ok=True)
    failed = predict_folder(network, task.items, predictions, ctx, previous=task.previous)
    measured, incomparable = _measure_all(kind, _without(task.items, failed), predictions, ctx)
    failed = dict(failed, **incomparable)
    result = _result(kind, task, model, measured, failed)
    write_result(result, task.output)
    _announce(result, ctx)
    _draw(result, task, model, ctx)


def prediction_of(item: Item, predictions: Path) -> images.Image:
    """Read what the network made of an image."""
    return images.read(predictions / (item.name + ".tif"), item.axes.replace("C", ""))


def _without(items: Sequence[Item], failed: Mapping[str, str]) -> List[Item]:
    return [item for item in items if item.name not in failed]


def _measure_all(
    kind: Kind, items: Sequence[Item], predictions: Path, ctx: Context
) -> Tuple[Dict[str, Any], Dict[str, str]]:
    measured: Dict[str, Any] = {}
    failed: Dict[str, str] = {}
    for done, item in enumerate(items):
        ctx.raise_if_stopping()
        ctx.progress(done, len(items), "images", "scoring", failed=len(failed))
        try:
            measured[item.name] = kind.measure(item.read_target(), prediction_of(item, predictions))
        except SdkError as error:
            failed[item.name] = error.message
    if not measured:
        raise DataError(
            "none of the {} images could be scored: {}".format(
                len(items), "; ".join(set(failed.values()))
            ),
            "The targets must be label images of the same shape as the images.",
            files=list(failed.items()),
        )
    return measured, failed


def _result(
    kind: Kind,
    task: QcTask,
    model: ModelFolder,
    measured: Mapping[str, Any],
    failed: Dict[str, str],
) -> QcResult:
    rows = [ImageRow(model.name, name, kind.numbers(each)) for name, each in measured.items()]
    pooled = kind.numbers(kind.pool(list(measured.values())))
    facts = {"name": model.name, "weights": model.weights, "network": task.network}
    undefined = [row.name for row in rows if row.numbers[kind.rank_by] is None]
    warnings: List[QcWarning] = [
        *warning_rules.about_failures(list(failed), undefined),
        *warning_rules.about_training_data(
            facts_of(task.data.as_record()), facts_of(model.record.get("data") or {})
        ),
        *warning_rules.about_amount(len(rows), pooled.get(kind.foreground)),
        *warning_rules.about_loss(read_history(model.path)),
    ]
    return QcResult(kind, [facts], rows, pooled, failed, warnings)


def _announce(result: QcResult, ctx: Context) -> None:
    for warning in result.warnings:
        ctx.warning(warning.code, warning.message)
    titles = {each.id: each.title for each in result.kind.definitions}
    for key in result.kind.headline:
        value = result.pooled[key]
        if value is not None:
            ctx.metric(titles[key], value, 0)


def _draw(result: QcResult, task: QcTask, model: ModelFolder, ctx: Context) -> None:
    """Write panels and report; matplotlib is loaded only here."""
    from dl4mic_sdk.qc.panels import save_png
    from dl4mic_sdk.qc.report import ReportParts, write_report

    folder = task.output / PANELS
    folder.mkdir(exist_ok=True)
    drawn = []
    for caption, item in _chosen(result, task.items):
        ctx.raise_if_stopping()
        prediction = prediction_of(item, task.output / PREDICTIONS)
        panel = result.kind.panel(item.read_source(), item.read_target(), prediction)
        save_png(panel, folder / (item.name + ".png"))
        drawn.append((caption, panel))
    parts = ReportParts(result, model.record, task.manifest, drawn, read_history(model.path))
    write_report(task.output / REPORT_NAME, parts)
    ctx.artifact(PANELS, "pictures of the worst, the best and other images")


def _chosen(result: QcResult, items: Sequence[Item]) -> Iterator[Tuple[str, Item]]:
    """Choose worst, best, and images spread evenly between them by rank."""
    ranked = result.ranked()
    by_name = {item.name: item for item in items}
    last = len(ranked) - 1
    count = min(MOST_PANELS, len(ranked))
    places = sorted({round(step * last / max(1, count - 1)) for step in range(count)})
    order = places if last < 1 else [places[0], places[-1], *places[1:-1]]
    for place in order:
        yield _caption(place, last, ranked[place], result.kind), by_name[ranked[place].name]


def _caption(place: int, last: int, row: ImageRow, kind: Kind) -> str:
    rank = next(each for each in kind.definitions if each.id == kind.rank_by)
    value = row.numbers[kind.rank_by] or 0.0
    which = {0: "Worst image", last: "Best image"} if last else {0: "The image"}
    said = which.get(place, "Rank {} of {} from the worst".format(place + 1, last + 1))
    return "{}: {} ({} {:.3f})".format(said, row.name, rank.title, value)

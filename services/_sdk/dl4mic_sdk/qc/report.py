# SPDX-License-Identifier: BSD-3-Clause
"""The QC report for people: what was tested, the numbers, pictures, warnings, methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Mapping, Sequence, Tuple

from dl4mic_sdk.loss_curves import loss_drawer
from dl4mic_sdk.pages import WIDTH, Document
from dl4mic_sdk.qc.comparison import Comparison
from dl4mic_sdk.qc.methods import citations_of, methods_sentence
from dl4mic_sdk.qc.panels import Panel
from dl4mic_sdk.qc.pictures import CaptionedPanel
from dl4mic_sdk.qc.ranking_page import add_ranking
from dl4mic_sdk.qc.report_parts import ReportParts, shown
from dl4mic_sdk.qc.result import QcResult
from dl4mic_sdk.qc.result_files import CSV_NAME, JSON_NAME
from dl4mic_sdk.qc.score_pages import add_scores, parted

MOST_ROWS = 40
"""Images in the report's table, worst first; `qc.csv` has all."""

LARGE_PANELS = 2
"""Worst and best image are shown large, the others small."""

SMALL_COLUMNS = 4


def write_report(path: Path, parts: ReportParts) -> None:
    """Write the report as PDF."""
    with Document(path, _title(parts), _subtitle(parts)) as document:
        _add_warnings(document, parts.comparison)
        _add_subject(document, parts)
        if parts.comparison.several:
            add_ranking(document, parts.comparison)
        add_scores(document, parts.comparison)
        _add_pictures(document, parts.panels)
        _add_images(document, parts.result)
        _add_training(document, parts.history)
        _add_definitions(document, parts.result)
        _add_methods(document, parts)


def _title(parts: ReportParts) -> str:
    if parts.comparison.several:
        return "Quality control of {} models".format(len(parts.comparison.places))
    if parts.model is None:
        return "Quality control of finished predictions"
    return "Quality control of {}".format(parts.model.name)


def _subtitle(parts: ReportParts) -> str:
    task = parts.result.kind.task
    return "{} \u00b7 {}".format(parts.network, task) if parts.network and parts.model else task


def _add_warnings(document: Document, comparison: Comparison) -> None:
    for warning in comparison.warnings:
        document.notice(warning.code, warning.message)


def _add_subject(document: Document, parts: ReportParts) -> None:
    document.heading("What was tested")
    rows = [(name, value) for name, value in _subject(parts) if value]
    document.table(("", ""), rows, (0.27, 0.73))
    if parts.left_out:
        document.heading("What was left out")
        document.bullets(parts.left_out)


def _subject(parts: ReportParts) -> List[Tuple[str, str]]:
    result = parts.result
    failed = " ({} more could not be scored)".format(len(result.failed)) if result.failed else ""
    return [
        *_subject_of_candidate(parts),
        ("Test images", "{}{}".format(len(result.rows), failed)),
        ("Worst and best image", _extremes(result)),
    ]


def _subject_of_candidate(parts: ReportParts) -> List[Tuple[str, str]]:
    if parts.model is None:
        return [("Predictions", "folder {}".format(parts.result.candidate.predictions.name))]
    count = len(parts.comparison.places)
    head = "Best of {} models".format(count) if parts.comparison.several else "Model"
    return [
        (head, "{} ({} weights)".format(parts.model.name, parts.model.weights)),
        ("Network", parts.network),
        ("Trained", _trained(parts.record)),
    ]


def _trained(record: Mapping[str, Any]) -> str:
    device = record.get("device", {}).get("name", "")
    parts = [record.get("end_time", "")[:10], "on " + device if device else ""]
    return " ".join(each for each in parts if each)


def _extremes(result: QcResult) -> str:
    ranked = result.ranked()
    if not ranked:
        return ""
    rank = result.rank_definition
    worst, best = ((row.name, shown(rank, row.numbers[rank.id])) for row in (ranked[0], ranked[-1]))
    return "{} ({} {}), {} ({})".format(worst[0], rank.title, worst[1], *best)


def _add_pictures(document: Document, panels: Sequence[CaptionedPanel]) -> None:
    if not panels:
        return
    document.heading("Pictures", room=panels[0][1].height(WIDTH, _columns(panels[0][1], True)))
    for index, (caption, panel) in enumerate(panels):
        document.panel(panel, _columns(panel, index < LARGE_PANELS), caption)


def _columns(panel: Panel, large: bool) -> int:
    """Tiles in a row: large ones in two rows, small ones in one."""
    count = len(panel.tiles)
    return -(-count // 2) if large else max(count, SMALL_COLUMNS)


def _add_images(document: Document, result: QcResult) -> None:
    document.heading("Images")
    by_id = {each.id: each for each in result.kind.definitions}
    chosen = [by_id[key] for key in result.kind.headline]
    undefined = [row for row in result.rows if row.numbers[result.kind.rank_by] is None]
    ordered = result.ranked() + undefined
    rows = [(row.name, *(shown(each, row.numbers[each.id]) for each in chosen)) for row in ordered]
    share = 0.65 / len(chosen)
    columns = ("image (worst first)", *(each.title for each in chosen))
    document.table(columns, rows[:MOST_ROWS], (0.35, *(share,) * len(chosen)))
    if len(rows) > MOST_ROWS:
        text = "{} more images are in {}.".format(len(rows) - MOST_ROWS, CSV_NAME)
        document.paragraph(text)
    for name, why in list(result.failed.items())[:MOST_ROWS]:
        document.paragraph("{}: not scored: {}".format(name, why))


def _add_training(document: Document, history: Sequence[Mapping[str, float]]) -> None:
    if not history:
        return
    document.heading("Loss while the model was trained", room=2.6)
    document.plots([loss_drawer(history, False), loss_drawer(history, True)], 2.5)


def _add_definitions(document: Document, result: QcResult) -> None:
    document.heading("What the numbers mean")
    first, beside = parted(result.kind.definitions)
    rows = [(each.title, each.text) for each in first]
    document.table(("", ""), rows, (0.24, 0.76), size=7.5)
    if beside:
        text = (
            "The same numbers of {} are defined alike, each under an identifier of its own, in {}."
        )
        document.paragraph(text.format(", ".join(beside[1:]), JSON_NAME))


def _add_methods(document: Document, parts: ReportParts) -> None:
    document.heading("For the methods section")
    document.paragraph(methods_sentence(parts))
    document.heading("Please cite")
    document.bullets(citations_of(parts))

# SPDX-License-Identifier: BSD-3-Clause
"""The part of the QC report with the numbers of the best model: tables, dots, and tests against what is simpler."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from dl4mic_sdk.pages import NOT_DEFINED, Document
from dl4mic_sdk.qc.comparison import Comparison
from dl4mic_sdk.qc.contrasts import Contrast, contrasts_of
from dl4mic_sdk.qc.definition import Definition
from dl4mic_sdk.qc.paired_test import TEST
from dl4mic_sdk.qc.report_parts import shown, shown_p
from dl4mic_sdk.qc.result import QcResult, Spread

_DOT, _MEAN = "#0072b2", "#d55e00"
_NOTE_SIZE, _NOTE_COLOUR = 7.5, "#666666"


def add_scores(document: Document, comparison: Comparison) -> None:
    """Set the numbers of the best model."""
    result = comparison.best
    title = "Scores of the best model, {}" if comparison.several else "Scores"
    document.heading(title.format(result.candidate.label), room=4.0)
    first, beside = parted(result.kind.definitions)
    if beside:
        _add_side_by_side(document, result, beside)
        _add_contrasts(document, contrasts_of(result))
    _add_spread(document, result, first)
    if len(result.rows) > 1:
        document.plots(dot_drawers(result), 2.4)


def parted(definitions: Sequence[Definition]) -> Tuple[List[Definition], List[str]]:
    """Return the numbers of the prediction, and all that numbers are of where it is not the prediction alone."""
    every = list(dict.fromkeys(each.of for each in definitions if each.of))
    first = [each for each in definitions if not every or each.of in ("", every[0])]
    return first, every if len(every) > 1 else []


def _add_side_by_side(document: Document, result: QcResult, columns: Sequence[str]) -> None:
    by_place = {(each.measure, each.of): each for each in result.kind.definitions if each.of}
    spread = result.spread()
    rows = [
        (measure, *(_mean(by_place.get((measure, of)), spread) for of in columns))
        for measure in dict.fromkeys(measure for measure, _ in by_place)
    ]
    share = 0.64 / len(columns)
    document.table(("mean over the images", *columns), rows, (0.36, *(share,) * len(columns)))


def _mean(definition: Optional[Definition], spread: Mapping[str, Optional[Spread]]) -> str:
    found = spread[definition.id] if definition else None
    return "{:.3f}".format(found.mean) if found else NOT_DEFINED


def _add_contrasts(document: Document, contrasts: Sequence[Contrast]) -> None:
    if not contrasts:
        return
    columns = ("", "against", "images", "better on", "median difference", "p", "")
    rows = [_contrast_row(each) for each in contrasts]
    document.table(columns, rows, (0.12, 0.13, 0.1, 0.12, 0.15, 0.1, 0.28))
    text = "The prediction's numbers against those of what is simpler, image by image. {}"
    document.paragraph(text.format(TEST), _NOTE_SIZE, _NOTE_COLOUR)


def _contrast_row(each: Contrast) -> Tuple[str, ...]:
    test = each.test
    difference = test.median_difference
    return (
        each.score.title,
        each.baseline.of,
        str(test.images),
        str(test.better),
        NOT_DEFINED if difference is None else "{:.3f}".format(difference),
        shown_p(test),
        each.verdict,
    )


def _add_spread(document: Document, result: QcResult, definitions: Sequence[Definition]) -> None:
    spread = result.spread()
    columns = ("", "pooled", "mean", "SD", "lowest", "highest")
    rows = [
        (each.title, shown(each, result.pooled[each.id]), *_spread_cells(each, spread[each.id]))
        for each in definitions
    ]
    document.table(columns, rows, (0.35, 0.13, 0.13, 0.13, 0.13, 0.13))
    text = "Pooled: all images taken as one. Mean, SD (sample standard deviation) and range: over the images."
    document.paragraph(text, _NOTE_SIZE, _NOTE_COLOUR)


def _spread_cells(definition: Definition, spread: Optional[Spread]) -> Tuple[str, ...]:
    if spread is None:
        return (NOT_DEFINED,) * 4
    deviation = spread.standard_deviation
    return (
        "{:.3f}".format(spread.mean),
        NOT_DEFINED if deviation is None else "{:.3f}".format(deviation),
        shown(definition, spread.minimum),
        shown(definition, spread.maximum),
    )


def dot_drawers(result: QcResult) -> List[Any]:
    """Return what draws the headline numbers, those of each unit in axes of their own."""
    by_unit: Dict[str, List[Definition]] = {}
    by_id = {each.id: each for each in result.kind.definitions}
    for key in result.kind.headline:
        by_unit.setdefault(by_id[key].unit, []).append(by_id[key])
    return [_dots_drawer(result, each) for each in by_unit.values()]


def _dots_drawer(result: QcResult, definitions: Sequence[Definition]) -> Any:
    """One dot an image for each number, spread sideways by rank, and a line at the mean."""

    def draw(axes: Any) -> None:
        for place, each in enumerate(definitions):
            _draw_dots(axes, place, [row.numbers[each.id] for row in result.rows])
        axes.set_xticks(range(len(definitions)))
        names = [each.title.replace(", ", "\n") for each in definitions]
        axes.set_xticklabels(names, fontsize=7.5 if len(names) < 6 else 6)
        unit = definitions[0].unit
        if unit:
            axes.set_ylabel(unit, fontsize=7.5)
        else:
            show_from_0_to_1(axes)
        axes.set_title("Each dot is an image, the line their mean", fontsize=8, loc="left")

    return draw


def _draw_dots(axes: Any, place: int, numbers: Sequence[Optional[float]]) -> None:
    values = sorted(each for each in numbers if each is not None)
    if not values:
        return
    sideways = [place + 0.5 * ((i + 0.5) / len(values) - 0.5) for i in range(len(values))]
    axes.plot(sideways, values, "o", color=_DOT, markersize=3, alpha=0.7)
    mean = sum(values) / len(values)
    axes.plot([place - 0.3, place + 0.3], [mean, mean], color=_MEAN, linewidth=1.4)


def show_from_0_to_1(axes: Any) -> None:
    """Show the range of a score, and more where there is more."""
    low, high = axes.get_ylim()
    axes.set_ylim(min(-0.03, low if low < -0.03 else 0.0), max(1.03, high if high > 1.1 else 0.0))

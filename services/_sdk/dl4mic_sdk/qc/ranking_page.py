# SPDX-License-Identifier: BSD-3-Clause
"""The part of the QC report that ranks several models: a table, box plots, and what they mean."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

from dl4mic_sdk.pages import NOT_DEFINED, Document
from dl4mic_sdk.qc.comparison import Comparison, Place
from dl4mic_sdk.qc.report_parts import shown, shown_p
from dl4mic_sdk.qc.result import Spread, spread_of
from dl4mic_sdk.qc.score_pages import show_from_0_to_1

_BOX, _MEDIAN, _DOT = "#0072b2", "#d55e00", "#666666"
_MOST_DOTS = 500
"""Images of a model up to which each gets a dot: more only blacken the plot, and make the file large."""


def add_ranking(document: Document, comparison: Comparison) -> None:
    """Set the models, best first, with their scores and the test against the best."""
    document.heading("Models, best first", room=3.0)
    columns, rows = _table(comparison)
    document.table(columns, rows, (0.06, 0.3, 0.1, 0.1, 0.1, 0.1, 0.24))
    title = comparison.best.rank_definition.title
    text = (
        "{0}: pooled over the {1} images that every model could score. Mean and SD: over these "
        "images. p: the model's {0} against the best model's, image by image. {2}"
    )
    said = text.format(title, len(comparison.images), comparison.method)
    document.paragraph(said, size=7.5, color="#666666")
    document.plots([_boxes_drawer(comparison)], 3.0)


def _table(comparison: Comparison) -> Tuple[Tuple[str, ...], List[Tuple[str, ...]]]:
    title = comparison.best.rank_definition.title
    columns = ("", "model", title, "mean", "SD", "p", "against the best")
    return columns, [_row(place, comparison) for place in comparison.places]


def _row(place: Place, comparison: Comparison) -> Tuple[str, ...]:
    result = place.result
    spread = spread_of(result.scores(comparison.images))
    return (
        NOT_DEFINED if place.rank is None else str(place.rank),
        result.candidate.label,
        shown(result.rank_definition, place.score),
        NOT_DEFINED if spread is None else "{:.3f}".format(spread.mean),
        _deviation(spread),
        NOT_DEFINED if place.test is None else shown_p(place.test),
        _verdict(place),
    )


def _deviation(spread: Optional[Spread]) -> str:
    if spread is None or spread.standard_deviation is None:
        return NOT_DEFINED
    return "{:.3f}".format(spread.standard_deviation)


def _verdict(place: Place) -> str:
    if not place.result.measured:
        return "could not be scored"
    return place.test.verdict if place.test else "the best"


def _boxes_drawer(comparison: Comparison) -> Any:
    """One box a model, best first, of the scores of the images; and a dot for each image."""
    shown_places = [place for place in comparison.places if place.result.measured]
    values = [
        [value for value in place.result.scores(comparison.images) if value is not None]
        for place in shown_places
    ]

    def draw(axes: Any) -> None:
        places = range(1, len(values) + 1)
        axes.boxplot(
            values,
            positions=list(places),
            widths=0.5,
            showfliers=False,
            boxprops={"color": _BOX},
            whiskerprops={"color": _BOX},
            capprops={"color": _BOX},
            medianprops={"color": _MEDIAN, "linewidth": 1.4},
        )
        for place, scores in zip(places, values):
            dots = sorted(scores) if len(scores) <= _MOST_DOTS else []
            sideways = [place + 0.4 * ((i + 0.5) / len(dots) - 0.5) for i in range(len(dots))]
            axes.plot(sideways, dots, "o", color=_DOT, markersize=2, alpha=0.5)
        axes.set_xticks(list(places))
        axes.set_xticklabels([str(place) for place in places], fontsize=7.5)
        axes.set_xlim(0.3, len(values) + 0.7)
        show_from_0_to_1(axes)
        text = "{} of each image, by model in the order of the table; box: quartiles and median, whiskers: 1.5 IQR"
        axes.set_title(text.format(comparison.best.rank_definition.title), fontsize=7.5, loc="left")

    return draw

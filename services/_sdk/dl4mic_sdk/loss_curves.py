# SPDX-License-Identifier: BSD-3-Clause
"""Diagrams of a model's loss record, for reports."""

from __future__ import annotations

from typing import Any, Callable, List, Mapping, Sequence, Tuple

Row = Mapping[str, float]
Points = Tuple[List[float], List[float]]
Drawer = Callable[[Any], None]

_TRAINING, _VALIDATION, _BEST = "#0072b2", "#d55e00", "#666666"
_MOST_POINTS_MARKED = 25


def points_of(history: Sequence[Row], name: str) -> Points:
    """Epochs and values of a recorded metric, where it was recorded."""
    rows = [row for row in history if name in row and "epoch" in row]
    return [row["epoch"] for row in rows], [row[name] for row in rows]


def loss_drawer(history: Sequence[Row], logarithmic: bool) -> Drawer:
    """Return what draws training and validation loss over the epochs."""

    def draw(axes: Any) -> None:
        _line(axes, points_of(history, "loss"), _TRAINING, "training")
        validation = points_of(history, "val_loss")
        if validation[0]:
            _line(axes, validation, _VALIDATION, "validation")
            _mark_lowest(axes, validation)
        if logarithmic and _all_positive(axes):
            _scale_logarithmically(axes)
        _label(axes, "loss (log)" if logarithmic else "loss")
        axes.legend(fontsize=7, frameon=False)

    return draw


def metric_drawer(history: Sequence[Row], name: str) -> Drawer:
    """Return what draws one metric over the epochs."""

    def draw(axes: Any) -> None:
        _line(axes, points_of(history, name), _TRAINING, name)
        _label(axes, name.replace("_", " "))
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4))
        axes.yaxis.get_offset_text().set_fontsize(7)

    return draw


def _line(axes: Any, points: Points, colour: str, name: str) -> None:
    marker = "o" if len(points[0]) <= _MOST_POINTS_MARKED else ""
    axes.plot(*points, color=colour, linewidth=1.2, marker=marker, markersize=2.5, label=name)


def _mark_lowest(axes: Any, points: Points) -> None:
    lowest = min(range(len(points[1])), key=points[1].__getitem__)
    epoch = points[0][lowest]
    label = "lowest, epoch {:.0f}".format(epoch)
    axes.axvline(epoch, color=_BEST, linewidth=0.8, linestyle=":", label=label)


def _scale_logarithmically(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator

    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
    for place in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        place(FuncFormatter(lambda value, _: "{:g}".format(value)))
    axes.tick_params(axis="y", which="minor", labelsize=7.5)


def _all_positive(axes: Any) -> bool:
    return all(value > 0 for line in axes.lines[:2] for value in line.get_ydata())


def _label(axes: Any, text: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch", fontsize=8)
    axes.set_ylabel(text, fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))

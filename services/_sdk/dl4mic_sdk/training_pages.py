# SPDX-License-Identifier: BSD-3-Clause
"""The pages of the training report."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Sequence

import numpy as np

from dl4mic_sdk.errors import SdkError
from dl4mic_sdk.images import Image
from dl4mic_sdk.loss_curves import loss_drawer, metric_drawer, points_of
from dl4mic_sdk.pages import WIDTH, Document
from dl4mic_sdk.qc.label_colours import colour_labels
from dl4mic_sdk.qc.panels import Panel, Tile
from dl4mic_sdk.qc.view import View, grey_levels, view_of
from dl4mic_sdk.report_notes import read_examples
from dl4mic_sdk.training_facts import Fact, TrainingFacts, shown

_PLOT_HEIGHT = 2.5
_EXTRA_METRICS = 2
"""Further diagrams beside the learning rate, of the network's own metrics."""

_NO_DIAGRAM = ("epoch", "loss", "val_loss", "learning_rate", "seconds", "steps_per_second")


def write_pages(path: Path, facts: TrainingFacts, attempt_folder: Path) -> None:
    """Write the report as PDF.

    Parameters
    ----------
    path
        The file.
    facts
        What it says.
    attempt_folder
        Where the network may have noted augmented examples.
    """
    state = (
        "training complete" if facts.complete else "training not ended: this report is preliminary"
    )
    title = "Training of {}".format(facts.request["model_name"])
    with Document(
        path, title, "{} \u00b7 {}".format(facts.manifest.get("title", ""), state)
    ) as document:
        for code, message in facts.warnings():
            document.notice(code, message)
        _add_facts(document, "Overview", facts.overview())
        _add_curves(document, facts)
        _add_facts(document, "Data", facts.data())
        _add_pictures(document, facts, attempt_folder)
        document.heading("For the methods section")
        document.paragraph(facts.methods())
        if facts.citations():
            document.heading("Please cite")
            document.bullets(facts.citations())
        _add_settings(document, facts)
        _add_facts(document, "Software", sorted(facts.record["versions"].items()))


def write_trial_pages(
    path: Path, facts: TrainingFacts, estimate: Sequence[Fact], attempt_folder: Path
) -> None:
    """Write what a dry run found as PDF; arguments as of `write_pages`, and what the training would take."""
    title = "Dry run for {}".format(facts.request["model_name"])
    state = "{} \u00b7 nothing was trained".format(facts.manifest.get("title", ""))
    with Document(path, title, state) as document:
        for code, message in facts.warnings():
            document.notice(code, message)
        _add_facts(document, "Estimate", estimate)
        _add_facts(document, "Data", facts.data())
        _add_pictures(document, facts, attempt_folder)
        _add_settings(document, facts)


def _add_facts(document: Document, title: str, facts: Sequence[Fact]) -> None:
    document.heading(title)
    document.table(("", ""), [(name, text) for name, text in facts if text], (0.24, 0.76))


def _add_curves(document: Document, facts: TrainingFacts) -> None:
    history = facts.history
    if not points_of(history, "loss")[0]:
        return
    document.heading("Loss", room=_PLOT_HEIGHT)
    document.plots([loss_drawer(history, False), loss_drawer(history, True)], _PLOT_HEIGHT)
    names = [name for name in history[-1] if name not in _NO_DIAGRAM]
    names.sort(key=lambda name: not name.startswith("val_"))
    own = ["learning_rate", *names[:_EXTRA_METRICS]]
    drawers = [metric_drawer(history, name) for name in own if points_of(history, name)[0]]
    if drawers:
        document.plots(drawers, _PLOT_HEIGHT * 0.85)
    document.heading("Metrics", room=0.25 * len(facts.results()))
    columns = ("", "lowest loss (epoch {})".format(facts.best_epoch()), "last epoch")
    document.table(columns, facts.results(), (0.4, 0.3, 0.3))


def _add_pictures(document: Document, facts: TrainingFacts, attempt_folder: Path) -> None:
    pair = _pair_panel(facts)
    if pair is not None:
        document.heading("An example of the training data", room=pair.height(WIDTH * 0.8, 2) + 0.3)
        document.panel(pair, 2, facts.task.train[0].name, scale=0.8)
    examples = examples_panel(attempt_folder)
    if examples is not None:
        document.heading("Augmented examples", room=examples.height(WIDTH, 4) + 0.3)
        document.paragraph("Patches as the network was shown them, drawn anew in every epoch.")
        document.panel(examples, 4)


def _pair_panel(facts: TrainingFacts) -> Optional[Panel]:
    """Draw the first training image and its target; None where the image can no longer be read."""
    item = facts.task.train[0]
    try:
        source = item.read_source()
        target = item.read_target() if item.target else None
    except SdkError:
        return None
    view = view_of(source if target is None else target)
    tiles = [_tile("image", source, view)]
    if target is not None:
        tiles.append(_tile("target", target, view, objects=_is_labels(facts)))
    return Panel(tuple(tiles), note=view.note)


def _is_labels(facts: TrainingFacts) -> bool:
    return facts.task.data.supervision == "label_images"


def examples_panel(attempt_folder: Path) -> Optional[Panel]:
    """Draw the augmented examples that were noted, images above their targets; None where there are none."""
    pairs = read_examples(attempt_folder)
    if not pairs:
        return None
    images, targets = ([_patch(array) for array in arrays] for arrays in zip(*pairs))
    view = view_of(targets[0])
    tiles = [_tile("image {}".format(i + 1), each, view) for i, each in enumerate(images)]
    blank = [Tile("", np.full_like(tiles[0].pixels, 255))] * (4 - len(tiles))
    for index, each in enumerate(targets):
        objects = each.pixels.dtype.kind in "iu"
        title = "target {}".format(index + 1)
        tiles.append(_tile(title, each, view, objects=objects))
    return Panel((*tiles[: len(images)], *blank, *tiles[len(images) :]))


def _patch(array: np.ndarray) -> Image:
    return Image(array, "ZYX"[-array.ndim :])


def _tile(title: str, image: Image, view: View, objects: bool = False) -> Tile:
    seen = view.show(image)
    pixels = colour_labels(seen[..., 0]) if objects else grey_levels(seen)
    return Tile(title, view.paint_gap(pixels))


def _add_settings(document: Document, facts: TrainingFacts) -> None:
    document.heading("Parameters in force")
    rows = [(each.name, shown(each), each.origin, each.meaning) for each in facts.settings()]
    document.table(
        ("parameter", "value", "set by", "meaning"), rows, (0.25, 0.2, 0.1, 0.45), size=7.5
    )

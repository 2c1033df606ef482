# SPDX-License-Identifier: BSD-3-Clause
"""Pictures of an instance segmentation: objects in colours, and outlines that show what is right."""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np

from dl4mic_sdk.images import Image
from dl4mic_sdk.qc.instance import InstanceScore, score_instances
from dl4mic_sdk.qc.label_colours import colour_labels
from dl4mic_sdk.qc.panels import Colour, Panel, Tile
from dl4mic_sdk.qc.view import grey_levels, view_of

TRUE_POSITIVE: Colour = (30, 190, 130)
FALSE_POSITIVE: Colour = (230, 97, 0)
FALSE_NEGATIVE: Colour = (100, 143, 255)
"""Bluish green, orange red and blue differ in hue and lightness, for every kind of colour vision."""

_LINE_WIDTH = 3
_DIMMED = 0.8
"""Of the overlay's background, so that lines stand out on bright objects."""


def instance_panel(source: Optional[Image], target: Image, prediction: Image) -> Panel:
    """Draw source, prediction, target and the outlines of both.

    Parameters
    ----------
    source
        Intensities; may have channels that the others lack. None: left out, and outlines are drawn on black.
    target, prediction
        Object numbers of the same shape.
    """
    score = score_instances(target.pixels, prediction.pixels)
    view = view_of(target)
    true, pred = (view.show(each)[..., 0] for each in (target, prediction))
    grey = (
        np.zeros(true.shape + (3,), np.uint8) if source is None else grey_levels(view.show(source))
    )
    pred_picture = colour_labels(pred, score.table.pred_labels, _pred_numbers(score))
    true_picture = colour_labels(true, score.table.true_labels)
    pictures = [
        (_titled("prediction", score.tally.n_pred), pred_picture),
        (_titled("target", score.tally.n_true), true_picture),
        ("overlay", overlay(grey, true, pred, score)),
    ]
    if source is not None:
        pictures.insert(0, ("image", grey))
    return Panel(
        tiles=tuple(Tile(title, view.paint_gap(pixels)) for title, pixels in pictures),
        legend=_legend(score),
        note=view.note,
    )


def overlay(
    grey: np.ndarray, true: np.ndarray, pred: np.ndarray, score: InstanceScore
) -> np.ndarray:
    """Draw outlines: predicted objects that match and that do not, and true objects that are missed.

    Parameters
    ----------
    grey : ndarray of uint8, shape (rows, columns, 3)
        Background.
    true, pred : ndarray of integers, shape (rows, columns)
        Sections of the images that `score` compares.

    Returns
    -------
    ndarray of uint8, shape (rows, columns, 3)
    """
    table, matching = score.table, score.matching
    pred_matched = np.isin(pred, table.pred_labels[matching.pred_index])
    true_matched = np.isin(true, table.true_labels[matching.true_index])
    pred_edge, true_edge = _outline(pred), _outline(true)
    picture = (grey * _DIMMED).astype(np.uint8)
    picture[true_edge & ~true_matched] = FALSE_NEGATIVE
    picture[pred_edge & ~pred_matched] = FALSE_POSITIVE
    picture[pred_edge & pred_matched] = TRUE_POSITIVE
    return picture


def _outline(labels: np.ndarray) -> np.ndarray:
    """Find the pixels of objects that lie next to something else; the image's border is no edge."""
    inside = labels > 0
    for step in range(1, _LINE_WIDTH + 1):
        for axis in (0, 1):
            same = labels == _shifted(labels, step, axis)
            inside &= same & (labels == _shifted(labels, -step, axis))
    edge: np.ndarray = (labels > 0) & ~inside
    return edge


def _shifted(labels: np.ndarray, step: int, axis: int) -> np.ndarray:
    positions = np.clip(np.arange(labels.shape[axis]) + step, 0, labels.shape[axis] - 1)
    return labels.take(positions, axis=axis)


def _pred_numbers(score: InstanceScore) -> np.ndarray:
    """Number predicted objects like the true ones they match, the others with numbers of their own."""
    numbers = np.arange(score.tally.n_pred) + score.tally.n_true
    numbers[score.matching.pred_index] = score.matching.true_index
    return numbers


def _titled(name: str, objects: int) -> str:
    return "{} ({} object{})".format(name, objects, "" if objects == 1 else "s")


def _legend(score: InstanceScore) -> Tuple[Tuple[Colour, str], ...]:
    matches = score.matching.iou.size
    return (
        (TRUE_POSITIVE, "matches the target: {}".format(matches)),
        (FALSE_POSITIVE, "predicted only: {}".format(score.tally.n_pred - matches)),
        (FALSE_NEGATIVE, "in the target only: {}".format(score.tally.n_true - matches)),
    )

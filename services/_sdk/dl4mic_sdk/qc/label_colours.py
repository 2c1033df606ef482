# SPDX-License-Identifier: BSD-3-Clause
"""Colours for the objects of a label image."""

from __future__ import annotations

import colorsys
from typing import Optional, Tuple

import numpy as np

_GOLDEN_RATIO = 0.618033988749895
"""Steps of it spread hues evenly, however many there are."""


def colour_labels(
    view: np.ndarray, labels: Optional[np.ndarray] = None, numbers: Optional[np.ndarray] = None
) -> np.ndarray:
    """Give each object a colour, and black to the background.

    Parameters
    ----------
    view : ndarray of integers, shape (rows, columns)
        Labels.
    labels : ndarray, optional
        All labels, ascending, without 0; those of the view when left out.
    numbers : ndarray, optional
        For each of `labels` the number that its colour follows from; their order when left out.

    Returns
    -------
    ndarray of uint8, shape (rows, columns, 3)
    """
    if labels is None:
        labels = np.unique(view[view > 0]).astype(np.uint64)
    if numbers is None:
        numbers = np.arange(labels.size)
    palette = np.array([(0, 0, 0), *map(_colour, numbers.tolist())], np.uint8)
    position = np.searchsorted(labels, view.astype(np.uint64)) + 1
    coloured: np.ndarray = palette[np.where(view > 0, position, 0)]
    return coloured


def _colour(number: int) -> Tuple[int, ...]:
    hue, level = number * _GOLDEN_RATIO % 1, (1.0, 0.8)[number % 2]
    return tuple(int(255 * each) for each in colorsys.hsv_to_rgb(hue, 0.65, level))

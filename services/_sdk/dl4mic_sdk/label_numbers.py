# SPDX-License-Identifier: BSD-3-Clause
"""The numbers of objects in label images, and the smallest type that holds them."""

from __future__ import annotations

from typing import Any

import numpy as np

LARGEST_LABEL = 2**32 - 1
"""The most that a label image of 32 bit holds."""


def smallest_labels(labels: np.ndarray) -> np.ndarray:
    """Return object numbers as uint16, or as uint32 when there are more than 65535.

    Raises
    ------
    ValueError
        They are negative, above `LARGEST_LABEL` or no integers.
    """
    if labels.dtype.kind not in "uib" or (labels.size and labels.min() < 0):
        raise ValueError("object numbers must be integers from 0, not {}".format(labels.dtype))
    largest = int(labels.max()) if labels.size else 0
    if largest > LARGEST_LABEL:
        raise ValueError("the object number {} is above {}".format(largest, LARGEST_LABEL))
    return labels.astype(label_type(largest), copy=False)


def label_type(largest: int) -> np.dtype[Any]:
    """Return the type of label images whose largest number is this one."""
    return np.dtype(np.uint16 if largest <= np.iinfo(np.uint16).max else np.uint32)

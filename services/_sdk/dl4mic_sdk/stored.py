# SPDX-License-Identifier: BSD-3-Clause
"""What the reader of a file format hands over: an opened file, its pixels not yet read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence, Tuple

import numpy as np


@dataclass(frozen=True)
class Stored:
    """An opened file, in its own order of axes.

    Attributes
    ----------
    axes
        Letters of T, Z, C, Y, X; Q for an axis that the file does not name.
    load
        Reads the pixels of a region: a slice without step along each of `axes`.
    part_bytes
        Size of the largest part that is read and decompressed at once, e.g. a tile; it may exceed the image's.
    series
        Images that the file holds; the first of them is this one.
    """

    axes: str
    shape: Tuple[int, ...]
    dtype: np.dtype[Any]
    pixel_size: Mapping[str, float]
    load: Callable[[Sequence[slice]], np.ndarray]
    part_bytes: int = 0
    series: int = 1

# SPDX-License-Identifier: BSD-3-Clause
"""Which axis of a file is which in memory, and what of the file a wanted region is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Mapping, Optional, Sequence, Tuple

import numpy as np

from dl4mic_sdk.errors import ImageError
from dl4mic_sdk.stored import Stored

AXES = "TZCYX"
"""Order of the axes in memory; ImageJ's order too."""

Region = Mapping[str, slice]
"""Part of an image: axis letter -> slice without step; axes left out are taken whole."""


@dataclass(frozen=True)
class Order:
    """Axes in memory, and which axis of the file each one is; the others of the file have length 1."""

    axes: str
    indices: Tuple[int, ...]


def order_of(path: Path, stored: Stored, asked: str) -> Order:
    """Find the axes of a file, those that the user asked for where the file does not say them.

    Raises
    ------
    ImageError
        They are not those of the file, or nobody says them.
    """
    lengths = list(zip(range(len(stored.shape)), stored.axes, stored.shape))
    if len(asked or stored.axes.replace("Q", "")) < len(lengths):
        lengths = [each for each in lengths if each[2] != 1 or (each[1] != "Q" and not asked)]
    names = "".join(each[1] for each in lengths)
    names = _asked(path, names, asked.upper(), stored) if asked else _guessed(path, names, stored)
    at = {name: each[0] for name, each in zip(names, lengths)}
    axes = "".join(each for each in AXES if each in at)
    return Order(axes, tuple(at[each] for each in axes))


def _asked(path: Path, names: str, asked: str, stored: Stored) -> str:
    if len(asked) != len(names):
        text = "has {} axes ({}), but the axes {} were given"
        raise ImageError(
            path,
            text.format(len(names), _sizes(stored.shape), asked),
            "Give the axes that the files have.",
        )
    if not set("YX") <= set(asked) <= set(AXES) or len(set(asked)) < len(asked):
        hint = "Use each of T, C, Z, Y, X once at most, Y and X always."
        raise ImageError(path, "{} are no axes".format(asked), hint)
    return names if set(names) == set(asked) else asked


def _guessed(path: Path, names: str, stored: Stored) -> str:
    """Name the one axis that a file leaves open: pages that nobody named are planes of a stack."""
    free = [each for each in "ZT" if each not in names]
    if names.count("Q") == 1 and free and names.endswith(("YX", "YXC")):
        names = names.replace("Q", free[0])
    if "Q" in names or len(set(names)) < len(names) or not set("YX") <= set(names):
        text = "does not say what its axes of {} are".format(_sizes(stored.shape))
        raise ImageError(path, text, "Give the axes, e.g. axes=TZYX.")
    return names


def wanted_of(
    path: Path, stored: Stored, order: Order, region: Optional[Region], channel: Optional[int]
) -> List[slice]:
    """Slice along each axis of the file."""
    slices = dict(region or {})
    if channel is not None and "C" in order.axes:
        slices["C"] = _channel_slice(
            path, stored.shape[order.indices[order.axes.index("C")]], channel
        )
    wanted = [slice(0, length) for length in stored.shape]
    for name, index in zip(order.axes, order.indices):
        wanted[index] = slice(*slices.get(name, slice(None)).indices(stored.shape[index])[:2])
    return wanted


def _channel_slice(path: Path, count: int, channel: int) -> slice:
    if 0 <= channel < count:
        return slice(channel, channel + 1)
    text = "has {} channels, so there is no channel {}".format(count, channel)
    raise ImageError(path, text, "Channels are counted from 0.")


def load(stored: Stored, order: Order, wanted: Sequence[slice]) -> np.ndarray:
    """Load what is wanted and bring the axes into their order; other axes have length 1."""
    pixels = stored.load(wanted)
    others = tuple(each for each in range(pixels.ndim) if each not in order.indices)
    shape = tuple(pixels.shape[each] for each in order.indices)
    return pixels.transpose(order.indices + others).reshape(shape)


def _sizes(shape: Sequence[int]) -> str:
    return " x ".join(str(each) for each in shape)

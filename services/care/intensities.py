# SPDX-License-Identifier: BSD-3-Clause
"""Normalises patches by percentiles of their images, which are drawn anew for each patch as in the library."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Sequence, Tuple

import numpy as np

from dl4mic_sdk.images import Image
from dl4mic_sdk.normalisation import Limits, Normalisation
from dl4mic_sdk.pairs import Item

Range = Tuple[float, float]
_Key = Tuple[Path, Path, Any]

_NODES = 5
"""Percentiles of a range that are computed once an image; between them intensities are interpolated."""

BRIGHT = 99.9
"""Percentile of a target that counts as bright, of csbdeep's `no_background_patches`."""


@dataclass(frozen=True)
class Levels:
    """Intensities of the percentiles of an image.

    Attributes
    ----------
    low, high : ndarray
        At evenly spread percentiles of the two ranges: (nodes,) or (nodes, channels).
    bright
        Of the percentile `BRIGHT`, over all channels.
    """

    low: np.ndarray
    high: np.ndarray
    bright: float


class Percentiles:
    """Intensities of images and targets that become 0 and 1, kept once they are measured.

    Parameters
    ----------
    low, high
        Ranges of percentiles; csbdeep's `sample_percentiles` draws from 1..3 and 99.5..99.9.
    """

    def __init__(self, low: Range, high: Range) -> None:
        self._ranges = low, high
        self._known: Dict[_Key, Tuple[Levels, Levels]] = {}
        self._lock = threading.Lock()

    @classmethod
    def fixed(cls, parameters: Mapping[str, Any]) -> Percentiles:
        """Take those of validation and prediction."""
        low, high = parameters["percentile_low"], parameters["percentile_high"]
        return cls((low, low), (high, high))

    def draw(self, item: Item, rng: np.random.Generator) -> Tuple[Limits, Limits]:
        """Draw percentiles; return their intensities in the image and in its target."""
        where = rng.uniform(0, 1, 2)
        source, target = self.levels(item)
        return _between(source, where), _between(target, where)

    def levels(self, item: Item) -> Tuple[Levels, Levels]:
        """Measure an image and its target, or say what is known of them.

        Raises
        ------
        dl4mic_sdk.errors.ImageError
            They cannot be read.
        """
        key = (item.source, item.target or item.source, item.region)
        with self._lock:
            known = self._known.get(key)
        if known is None:
            known = self._measured(item.read_source()), self._measured(item.read_target())
            with self._lock:
                self._known[key] = known
        return known

    def _measured(self, image: Image) -> Levels:
        nodes = [sorted({*np.linspace(*each, _NODES)}) for each in self._ranges]
        pairs = list(zip(_filled(nodes[0]), _filled(nodes[1])))
        found = [Normalisation(*each).limits_by_channel(image) for each in pairs]
        low, high = (np.array([each[which] for each in found]) for which in (0, 1))
        bright = Normalisation(BRIGHT, BRIGHT).limits(image.pixels)[1]
        return Levels(low, high, bright)


def _filled(nodes: Sequence[float]) -> Sequence[float]:
    """Repeat the only percentile of a range without width."""
    return nodes if len(nodes) == _NODES else [nodes[0]] * _NODES


def _between(levels: Levels, where: np.ndarray) -> Limits:
    return _at(levels.low, where[0]), _at(levels.high, where[1])


def _at(values: np.ndarray, where: float) -> Any:
    """Interpolate along the first axis at a place of 0..1."""
    place = where * (len(values) - 1)
    before = min(int(place), len(values) - 2)
    return values[before] + (values[before + 1] - values[before]) * (place - before)

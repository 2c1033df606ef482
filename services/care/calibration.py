# SPDX-License-Identifier: BSD-3-Clause
"""Is a probabilistic model as sure as it says? Counts how often the truth lies within its intervals."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import Iterator, List, Mapping, Sequence

import numpy as np

from dl4mic_sdk.context import Context
from dl4mic_sdk.images import Image, list_images, read, stem
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.qc.candidates import Candidate, candidates_of
from dl4mic_sdk.qc.score import PREDICTIONS
from dl4mic_sdk.task import QcTask

CALIBRATION_NAME = "calibration.csv"
UNCERTAINTY = "uncertainty"
"""Title of the scale of each pixel's Laplace distribution, and the folder of these maps."""

SHARES = (0.5, 0.68, 0.8, 0.9, 0.95)
"""Of the pixels that should lie within an interval."""

_TOLERATED = 0.1
"""By so much the share of an interval may be off before a reader is warned."""


@dataclass(frozen=True)
class Row:
    """How many pixels of an image lie within an interval of a model, called as in the scores, and how many should."""

    model: str
    image: str
    expected: float
    observed: float


def intervals_met(restored: np.ndarray, scale: np.ndarray, target: np.ndarray) -> List[float]:
    """Return for each of `SHARES` which share of the pixels lies within that interval.

    Parameters
    ----------
    restored, scale
        Location and scale *b* of the Laplace distribution of each pixel.
    target
        The truth; the distributions are brought onto its intensities by least squares, as for the scores.

    Notes
    -----
    Of a Laplace distribution the share 1 - exp(-d / b) lies within d of its middle, so that of the share q this
    is d = -b log(1 - q).
    """
    slope, offset = np.polyfit(restored.ravel().astype(float), target.ravel().astype(float), 1)
    distance = np.abs(target - slope * restored - offset)
    width = np.abs(slope) * scale
    return [float(np.mean(distance <= -width * np.log(1 - share))) for share in SHARES]


def check_calibration(task: QcTask, ctx: Context) -> None:
    """Write how often the truth lies within the intervals of the models that have any, and warn where it does not.

    Parameters
    ----------
    task
        Its output holds the predictions.
    ctx
        Gets the shares within the interval of 90 %, and the warning.
    """
    items = {item.name: item for item in task.items if item.target is not None}
    candidates = candidates_of(task.models, task.output / PREDICTIONS)
    rows = [row for each in candidates for row in _rows(each, items, ctx)]
    if not rows:
        return
    with (task.output / CALIBRATION_NAME).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["model", "image", "share expected", "share within"])
        table.writerows([each.model, each.image, each.expected, each.observed] for each in rows)
    for model in dict.fromkeys(each.model for each in rows):
        _announce(model, [each for each in rows if each.model == model], ctx)


def _rows(candidate: Candidate, items: Mapping[str, Item], ctx: Context) -> Iterator[Row]:
    folder = candidate.predictions
    if not (folder / UNCERTAINTY).is_dir():
        return
    results = {stem(each): each for each in list_images(folder)}
    for path in list_images(folder / UNCERTAINTY):
        ctx.raise_if_stopping()
        item = items.get(stem(path))
        if item is None or stem(path) not in results:
            continue
        images = (read(results[stem(path)]), read(path), item.read_target())
        channels = list(zip(*map(_channels, images)))
        met = np.mean([intervals_met(*each) for each in channels], axis=0)
        for expected, observed in zip(SHARES, met):
            yield Row(candidate.label, item.name, expected, float(observed))


def _channels(image: Image) -> Sequence[np.ndarray]:
    """Part the channels: each has intensities of its own."""
    if "C" not in image.axes:
        return [image.pixels]
    return list(np.moveaxis(image.pixels, image.axes.index("C"), 0))


def _announce(model: str, rows: Sequence[Row], ctx: Context) -> None:
    observed = {
        share: float(np.mean([each.observed for each in rows if each.expected == share]))
        for share in SHARES
    }
    ctx.metric("share within the interval of 90 %", observed[0.9], 0)
    off = max(SHARES, key=lambda share: abs(observed[share] - share))
    if abs(observed[off] - off) > _TOLERATED:
        sure = "surer" if observed[off] < off else "less sure"
        text = "{}: the model is {} than it should be: {:.0%} of the pixels lie within its interval of {:.0%}."
        ctx.warning("UNCERTAINTY_OFF", text.format(model, sure, observed[off], off))

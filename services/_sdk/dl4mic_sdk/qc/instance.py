# SPDX-License-Identifier: BSD-3-Clause
"""The numbers of instance segmentation: how well predicted objects agree with the true ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Optional, Tuple

import numpy as np

from dl4mic_sdk.qc.kind import Numbers
from dl4mic_sdk.qc.matching import Matching, match
from dl4mic_sdk.qc.overlap import Overlap, overlap

THRESHOLD = 0.5
"""IoU from which a pair of objects is a match, as in the notebooks."""

AP_THRESHOLDS = tuple(step / 20 for step in range(10, 20))
"""0.50, 0.55 ... 0.95; each the float nearest to its decimal, see `match`."""

SPLIT_MERGE_IOU = 0.1
"""Least overlap of a part of a split or merged object (Caicedo et al. 2019,
doi:10.1002/cyto.a.23863).
"""


@dataclass(frozen=True)
class Tally:
    """Counts of one image, or of several pooled: every number follows from these, and they add up.

    Attributes
    ----------
    n_true, n_pred
        True and predicted objects.
    matches, matched_iou
        For each threshold of `AP_THRESHOLDS`: pairs of objects that match, and the sum of their
        IoU.
    split, merged
        True objects in pieces; predicted objects that swallow several true ones.
    foreground_shared, foreground_union
        Pixels that belong to any object in both images, and in at least one.
    foreground_true, pixels
        Pixels of the target that belong to any object, and all of them.
    """

    n_true: int
    n_pred: int
    matches: Tuple[int, ...]
    matched_iou: Tuple[float, ...]
    split: int
    merged: int
    foreground_shared: int
    foreground_union: int
    foreground_true: int
    pixels: int


@dataclass(frozen=True)
class InstanceScore:
    """Agreement of one image.

    Attributes
    ----------
    tally
        Counts of the image.
    table
        Which objects share pixels.
    matching
        Pairs of objects at IoU >= `THRESHOLD`, for the overlay.
    """

    tally: Tally
    table: Overlap
    matching: Matching


def score_instances(true: np.ndarray, pred: np.ndarray) -> InstanceScore:
    """Compare a predicted label image with its target.

    Parameters
    ----------
    true, pred : ndarray of any integer dtype or bool, any number of axes, the same shape
        Object numbers, not necessarily consecutive; 0 is background.

    Raises
    ------
    DataError
        One of them is no label image, or their shapes differ.
    """
    table = overlap(true, pred)
    matchings = [match(table, threshold) for threshold in AP_THRESHOLDS]
    shared, union = table.foreground
    split, merged = _splits_and_merges(table)
    tally = Tally(
        n_true=table.true_sizes.size,
        n_pred=table.pred_sizes.size,
        matches=tuple(each.iou.size for each in matchings),
        matched_iou=tuple(float(each.iou.sum()) for each in matchings),
        split=split,
        merged=merged,
        foreground_shared=shared,
        foreground_union=union,
        foreground_true=int(table.true_sizes.sum()),
        pixels=true.size,
    )
    return InstanceScore(tally, table, matchings[AP_THRESHOLDS.index(THRESHOLD)])


def _splits_and_merges(table: Overlap) -> Tuple[int, int]:
    part = table.iou > SPLIT_MERGE_IOU
    pieces = np.bincount(table.true_index[part], minlength=1)
    swallowed = np.bincount(table.pred_index[part], minlength=1)
    return int((pieces > 1).sum()), int((swallowed > 1).sum())


def pool(tallies: Iterable[Tally]) -> Tally:
    """Add up the counts of several images, as if they were one large image."""
    every = list(tallies)
    return Tally(
        n_true=sum(each.n_true for each in every),
        n_pred=sum(each.n_pred for each in every),
        matches=tuple(map(sum, zip(*(each.matches for each in every)))),
        matched_iou=tuple(map(sum, zip(*(each.matched_iou for each in every)))),
        split=sum(each.split for each in every),
        merged=sum(each.merged for each in every),
        foreground_shared=sum(each.foreground_shared for each in every),
        foreground_union=sum(each.foreground_union for each in every),
        foreground_true=sum(each.foreground_true for each in every),
        pixels=sum(each.pixels for each in every),
    )


def instance_numbers(tally: Tally) -> Numbers:
    """Compute every number of `INSTANCE_DEFINITIONS` from counts.

    Returns
    -------
    dict
        Definition id -> value. Where neither image has an object the ratios are None, not 0:
        nothing was wrong.
    """
    at = AP_THRESHOLDS.index(THRESHOLD)
    tp, sum_iou = tally.matches[at], tally.matched_iou[at]
    fp, fn = tally.n_pred - tp, tally.n_true - tp
    objects = tally.n_true + tally.n_pred
    accuracies = [_ratio(n, objects - n, objects) for n in tally.matches]
    return {
        "instance.n_true/1": tally.n_true,
        "instance.n_pred/1": tally.n_pred,
        "instance.tp@0.5/1": tp,
        "instance.fp@0.5/1": fp,
        "instance.fn@0.5/1": fn,
        "instance.precision@0.5/1": _ratio(tp, tally.n_pred, objects),
        "instance.recall@0.5/1": _ratio(tp, tally.n_true, objects),
        "instance.f1@0.5/1": _ratio(2 * tp, objects, objects),
        "instance.accuracy@0.5/1": accuracies[at],
        "instance.mean_true_score@0.5/1": _ratio(sum_iou, tally.n_true, objects),
        "instance.mean_matched_score@0.5/1": _ratio(sum_iou, tp, objects),
        "instance.panoptic_quality@0.5/1": _ratio(sum_iou, tp + fp / 2 + fn / 2, objects),
        "instance.ap@0.5:0.95/1": _mean(accuracies),
        "instance.foreground_iou/1": _ratio(
            tally.foreground_shared, tally.foreground_union, objects
        ),
        "instance.split/1": tally.split,
        "instance.merged/1": tally.merged,
        "instance.foreground/1": tally.foreground_true / tally.pixels,
    }


def _ratio(part: float, whole: float, objects: int) -> Optional[float]:
    """Divide; None without any object, else 0 by 0 is 0, as Schmidt et al. 2018 have it."""
    if not objects:
        return None
    return part / whole if whole else 0.0


def _mean(values: Iterable[Optional[float]]) -> Optional[float]:
    known = [each for each in values if each is not None]
    return float(np.mean(known)) if known else None

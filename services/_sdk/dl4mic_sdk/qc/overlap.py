# SPDX-License-Identifier: BSD-3-Clause
"""A sparse table of which objects of two label images share pixels, and how many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Tuple

import numpy as np

from dl4mic_sdk.errors import DataError
from dl4mic_sdk.label_numbers import LARGEST_LABEL

_CHUNK = 1 << 22
"""Pixels handled at once: bounds the memory beside the two images to about 200 MB."""

_LOW_HALF = np.uint64(LARGEST_LABEL)
_HALF = np.uint64(32)
"""Two labels are packed into one 64-bit key."""


@dataclass(frozen=True)
class Overlap:
    """Objects of a target and a predicted label image and the pixels that they share.

    Objects are numbered from 0 in the order of their labels, which need not be consecutive.

    Attributes
    ----------
    true_labels, pred_labels : ndarray of uint64, shape (n_true,) and (n_pred,)
        Labels of the objects, ascending, without the background 0.
    true_sizes, pred_sizes : ndarray of int64
        Pixels of each object.
    true_index, pred_index, shared : ndarray of int64, shape (pairs,)
        Pairs of objects that share at least one pixel, and how many pixels they share.
    """

    true_labels: np.ndarray
    pred_labels: np.ndarray
    true_sizes: np.ndarray
    pred_sizes: np.ndarray
    true_index: np.ndarray
    pred_index: np.ndarray
    shared: np.ndarray

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union of each pair, float64; in (0, 1]."""
        sizes = self.true_sizes[self.true_index] + self.pred_sizes[self.pred_index]
        iou: np.ndarray = self.shared / (sizes - self.shared)
        return iou

    @property
    def foreground(self) -> Tuple[int, int]:
        """Pixels that are foreground in both images, and in at least one."""
        both = int(self.shared.sum())
        return both, int(self.true_sizes.sum() + self.pred_sizes.sum()) - both


def overlap(true: np.ndarray, pred: np.ndarray) -> Overlap:
    """Count the pixels that the objects of two label images share.

    Parameters
    ----------
    true, pred : ndarray of any integer dtype or bool, any number of axes, the same shape
        Target and predicted object numbers; 0 is background.

    Raises
    ------
    DataError
        Not integers, negative or too large labels, no pixels, or shapes that differ.
    """
    check_labels(true, "the target")
    check_labels(pred, "the prediction")
    if true.shape != pred.shape:
        raise DataError(
            "the prediction has shape {}, the target {}".format(pred.shape, true.shape),
            "Prediction and target must show the same pixels.",
        )
    keys, counts = _count_pairs(true, pred)
    return _table(keys >> _HALF, keys & _LOW_HALF, counts)


def check_labels(labels: np.ndarray, name: str) -> None:
    """Refuse what is no label image, with `name` in the error.

    Raises
    ------
    DataError
        Neither integers nor bool (so no NaN either), no pixels, negative labels, or labels above 2**32 - 1.
    """
    hint = "A label image holds whole numbers from 0 (background) on, one number an object."
    if labels.dtype.kind not in "uib":
        raise DataError("{} holds {} values, not integers".format(name, labels.dtype), hint)
    if labels.size == 0:
        raise DataError("{} of shape {} holds no pixels".format(name, labels.shape), hint)
    if int(labels.min()) < 0:
        raise DataError("{} holds the negative label {}".format(name, labels.min()), hint)
    if int(labels.max()) > LARGEST_LABEL:
        raise DataError(
            "{} holds the label {}, above {}".format(name, labels.max(), LARGEST_LABEL), hint
        )


def _count_pairs(true: np.ndarray, pred: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    runs = list(_runs(true.reshape(-1), pred.reshape(-1)))
    keys = np.concatenate([each for each, _ in runs])
    lengths = np.concatenate([each for _, each in runs])
    return _sum_by_key(keys, lengths)


def _runs(true: np.ndarray, pred: np.ndarray) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
    """Yield the distinct pairs of each chunk as keys, with their numbers of pixels."""
    for start in range(0, true.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        keys = (true[part].astype(np.uint64) << _HALF) | pred[part].astype(np.uint64)
        # Neighbours mostly belong to the same pair: counting runs spares the sorting of every
        # pixel.
        starts = np.concatenate(([0], np.flatnonzero(keys[1:] != keys[:-1]) + 1))
        yield _sum_by_key(keys[starts], np.diff(np.append(starts, keys.size)))


def _sum_by_key(keys: np.ndarray, counts: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    unique, position = np.unique(keys, return_inverse=True)
    # Sums of float64 weights are exact up to 2**53 pixels.
    return unique, np.bincount(position.reshape(-1), weights=counts).astype(np.int64)


def _table(true: np.ndarray, pred: np.ndarray, counts: np.ndarray) -> Overlap:
    true_labels, true_sizes = _sum_by_key(true, counts)
    pred_labels, pred_sizes = _sum_by_key(pred, counts)
    both = (true > 0) & (pred > 0)
    true_objects, pred_objects = true_labels > 0, pred_labels > 0
    true_labels, pred_labels = true_labels[true_objects], pred_labels[pred_objects]
    return Overlap(
        true_labels=true_labels,
        pred_labels=pred_labels,
        true_sizes=true_sizes[true_objects],
        pred_sizes=pred_sizes[pred_objects],
        true_index=np.searchsorted(true_labels, true[both]),
        pred_index=np.searchsorted(pred_labels, pred[both]),
        shared=counts[both],
    )

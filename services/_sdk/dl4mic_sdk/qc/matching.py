# SPDX-License-Identifier: BSD-3-Clause
"""Which predicted object is which true one: a matching that pairs objects one to one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Tuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from dl4mic_sdk.qc.overlap import Overlap

Edges = Tuple[np.ndarray, np.ndarray, np.ndarray]
"""Index of the true object, index of the predicted object, IoU."""


@dataclass(frozen=True)
class Matching:
    """Pairs of a true and a predicted object that are the same object.

    Attributes
    ----------
    true_index, pred_index : ndarray of int64, shape (matches,)
        Objects as numbered in the `Overlap`, ascending by `true_index`.
    iou : ndarray of float64, shape (matches,)
        Intersection over union of each pair.
    """

    true_index: np.ndarray
    pred_index: np.ndarray
    iou: np.ndarray


def match(table: Overlap, threshold: float) -> Matching:
    """Pair objects one to one so that as many pairs as possible have IoU >= `threshold`.

    Among the pairings with most matches, the one with the largest sum of IoU is taken
    (Schmidt et al. 2018, doi:10.1007/978-3-030-00934-2_30, as its library has it in version 0.9.2).

    Parameters
    ----------
    table
        Overlap of target and prediction.
    threshold
        In (0, 1]. Write a decimal threshold as the nearest float (0.55, not 0.5 + 0.05): IoU is a
        rounded ratio of integers, so that ratios equal to the threshold then compare equal.
    """
    iou = table.iou
    # From 0.5 on, an object has two candidates only if both have IoU 0.5 exactly, so that pairs
    # below the threshold cannot change the score; below 0.5 they break ties, as there.
    candidate = iou >= threshold if threshold >= 0.5 else iou > 0
    edges = (table.true_index[candidate], table.pred_index[candidate], iou[candidate])
    shape = (table.true_sizes.size, table.pred_sizes.size)
    lone = _is_lone(edges, shape)
    parts = [_select(edges, lone)]
    parts.extend(_assign(each, threshold, min(shape)) for each in _components(edges, ~lone, shape))
    true, pred, score = (np.concatenate(columns) for columns in zip(*parts))
    matched = np.flatnonzero(score >= threshold)
    order = matched[np.argsort(true[matched], kind="stable")]
    return Matching(true[order], pred[order], score[order])


def _select(edges: Edges, chosen: np.ndarray) -> Edges:
    return edges[0][chosen], edges[1][chosen], edges[2][chosen]


def _is_lone(edges: Edges, shape: Tuple[int, int]) -> np.ndarray:
    """Pairs without a rival; nearly all of them, and no search is needed for these."""
    true, pred, _ = edges
    true_rivals = np.bincount(true, minlength=shape[0])[true]
    pred_rivals = np.bincount(pred, minlength=shape[1])[pred]
    lone: np.ndarray = (true_rivals == 1) & (pred_rivals == 1)
    return lone


def _components(edges: Edges, chosen: np.ndarray, shape: Tuple[int, int]) -> Iterator[Edges]:
    true, pred, iou = _select(edges, chosen)
    if not true.size:
        return
    size = sum(shape)
    graph = coo_matrix((np.ones(true.size), (true, pred + shape[0])), shape=(size, size))
    component = connected_components(graph, directed=False)[1][true]
    order = np.argsort(component, kind="stable")
    cuts = np.flatnonzero(np.diff(component[order])) + 1
    for part in np.split(order, cuts):
        yield true[part], pred[part], iou[part]


def _assign(edges: Edges, threshold: float, most_matches: int) -> Edges:
    """Pair one connected group: a match counts 1, all IoU together at most 1/2."""
    true, true_position = np.unique(edges[0], return_inverse=True)
    pred, pred_position = np.unique(edges[1], return_inverse=True)
    score = np.zeros((true.size, pred.size))
    score[true_position.reshape(-1), pred_position.reshape(-1)] = edges[2]
    cost = -(score >= threshold).astype(float) - score / (2 * most_matches)
    rows, columns = linear_sum_assignment(cost)
    return true[rows], pred[columns], score[rows, columns]

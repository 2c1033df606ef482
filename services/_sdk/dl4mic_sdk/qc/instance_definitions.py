# SPDX-License-Identifier: BSD-3-Clause
"""What each number of instance segmentation means."""

from __future__ import annotations

from dl4mic_sdk.qc.definition import Definition

_MATCH = (
    "Objects are matched one to one so that as many pairs as possible have an intersection over "
    "union (IoU) of at least 0.5, ties going to the larger sum of IoU (Schmidt et al. 2018, "
    "doi:10.1007/978-3-030-00934-2_30, and its library, version 0.9.2). "
)
_EMPTY = " Not defined (null, left out of means) where neither image has an object."

INSTANCE_DEFINITIONS = (
    Definition("instance.n_true/1", "true objects", "Objects in the target.", whole=True),
    Definition("instance.n_pred/1", "predicted objects", "Objects in the prediction.", whole=True),
    Definition(
        "instance.tp@0.5/1",
        "true positives (TP)",
        _MATCH + "TP is the number of matched pairs.",
        whole=True,
    ),
    Definition(
        "instance.fp@0.5/1",
        "false positives (FP)",
        "Predicted objects without a match: predicted objects - TP, TP as in instance.tp@0.5/1.",
        whole=True,
    ),
    Definition(
        "instance.fn@0.5/1",
        "false negatives (FN)",
        "True objects without a match: true objects - TP, TP as in instance.tp@0.5/1.",
        whole=True,
    ),
    Definition(
        "instance.precision@0.5/1",
        "precision",
        "TP / (TP + FP) at IoU 0.5; 0 if nothing was predicted." + _EMPTY,
    ),
    Definition(
        "instance.recall@0.5/1",
        "recall",
        "TP / (TP + FN) at IoU 0.5; 0 if the target has no object." + _EMPTY,
    ),
    Definition(
        "instance.f1@0.5/1",
        "F1",
        "2 TP / (2 TP + FP + FN) at IoU 0.5: the harmonic mean of precision and recall." + _EMPTY,
    ),
    Definition(
        "instance.accuracy@0.5/1",
        "accuracy",
        "TP / (TP + FP + FN) at IoU 0.5, as Schmidt et al. 2018 define it (doi:10.1007/978-3-030-00934-2_30)."
        + _EMPTY,
    ),
    Definition(
        "instance.mean_true_score@0.5/1",
        "mean true score",
        "Sum of the IoU of the pairs matched at IoU 0.5, divided by n_true, so that a missed object "
        "counts 0." + _EMPTY,
    ),
    Definition(
        "instance.mean_matched_score@0.5/1",
        "mean matched score",
        "Mean IoU of the pairs matched at IoU 0.5; 0 if there is none." + _EMPTY,
    ),
    Definition(
        "instance.panoptic_quality@0.5/1",
        "panoptic quality",
        "Sum of the IoU of the pairs matched at IoU 0.5, divided by TP + FP/2 + FN/2 (Kirillov et "
        "al. 2019, doi:10.1109/CVPR.2019.00963)." + _EMPTY,
    ),
    Definition(
        "instance.ap@0.5:0.95/1",
        "AP 0.5-0.95",
        "Mean over the IoU thresholds 0.50, 0.55 ... 0.95 of the accuracy TP / (TP + FP + FN) at "
        "that threshold, as Schmidt et al. 2018 and the 2018 Data Science Bowl define average "
        "precision; not the area under a precision-recall curve. Pooled: the counts are pooled at "
        "each threshold before." + _EMPTY,
    ),
    Definition(
        "instance.foreground_iou/1",
        "foreground IoU",
        "Pixels that belong to any object in both images, divided by those that do in at least "
        "one: the whole-image IoU, blind to how the foreground is divided into objects." + _EMPTY,
    ),
    Definition(
        "instance.split/1",
        "split objects",
        "True objects with an IoU above 0.1 with at least two predicted objects (Caicedo et al. "
        "2019, doi:10.1002/cyto.a.23863).",
        whole=True,
    ),
    Definition(
        "instance.merged/1",
        "merged objects",
        "Predicted objects with an IoU above 0.1 with at least two true objects (Caicedo et al. "
        "2019, doi:10.1002/cyto.a.23863).",
        whole=True,
    ),
    Definition(
        "instance.foreground/1",
        "target foreground",
        "Share of the target's pixels that belong to an object; says how the other numbers are to "
        "be read.",
    ),
)
"""In the order of report and table."""

# SPDX-License-Identifier: BSD-3-Clause
"""Every number of instance segmentation against cases worked out by hand."""

from __future__ import annotations

from typing import Dict, Optional

import numpy as np
import pytest

from dl4mic_sdk.qc.instance import Tally, instance_numbers, pool, score_instances
from dl4mic_sdk.qc.instance_definitions import INSTANCE_DEFINITIONS

RATIOS = (
    "precision",
    "recall",
    "f1",
    "accuracy",
    "mean_true_score",
    "mean_matched_score",
    "panoptic_quality",
    "ap",
    "foreground_iou",
)


def numbers(true: np.ndarray, pred: np.ndarray) -> Dict[str, Optional[float]]:
    found = instance_numbers(score_instances(true, pred).tally)
    return {key.split(".")[1].split("/")[0].split("@")[0]: each for key, each in found.items()}


def bar(*lengths: int) -> np.ndarray:
    """Draw objects of these lengths in one row, without gaps; a negative length is background."""
    runs = [np.full(abs(n), i + 1 if n > 0 else 0) for i, n in enumerate(lengths)]
    return np.concatenate(runs)[np.newaxis]


def test_worked_example() -> None:
    true = bar(10, 3, 4, -5)
    pred = bar(8, -2, 5, -1, 2, -1, 3)
    # IoU: A 8/10; B (pixels 10-12) with pixels 10-14: 3/5; C (13-16) with 16-17: 1/5; the last one
    # is invented.
    found = numbers(true, pred)
    assert (found["n_true"], found["n_pred"]) == (3, 4)
    assert (found["tp"], found["fp"], found["fn"]) == (2, 2, 1)
    assert found["precision"] == pytest.approx(2 / 4)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(4 / 7)
    assert found["accuracy"] == pytest.approx(2 / 5)
    assert found["mean_true_score"] == pytest.approx((0.8 + 0.6) / 3)
    assert found["mean_matched_score"] == pytest.approx((0.8 + 0.6) / 2)
    assert found["panoptic_quality"] == pytest.approx((0.8 + 0.6) / (2 + 2 / 2 + 1 / 2))
    # Two matches at 0.50, 0.55, 0.60; one at 0.65 ... 0.80; none at 0.85, 0.90, 0.95.
    assert found["ap"] == pytest.approx((3 * 2 / 5 + 4 * 1 / 6 + 3 * 0) / 10)
    assert found["foreground_iou"] == pytest.approx((8 + 5 + 1) / (17 + 4))


def test_perfect_prediction_scores_perfectly_whatever_its_labels() -> None:
    true = bar(3, -2, 5, 1)
    found = numbers(true, np.where(true > 0, 50 - 7 * true, 0))
    assert (found["tp"], found["fp"], found["fn"]) == (3, 0, 0)
    for name in RATIOS:
        assert found[name] == 1.0, name


def test_an_iou_of_one_half_is_a_match() -> None:
    assert numbers(bar(4), bar(2, -2))["tp"] == 1


def test_an_object_matches_once() -> None:
    found = numbers(bar(4), bar(2, 2))
    assert (found["tp"], found["fp"], found["fn"]) == (1, 1, 0)


def test_split_and_merged() -> None:
    assert (numbers(bar(6), bar(3, 3))["split"], numbers(bar(6), bar(3, 3))["merged"]) == (1, 0)
    assert (numbers(bar(3, 3), bar(6))["split"], numbers(bar(3, 3), bar(6))["merged"]) == (0, 1)


def test_a_speck_is_no_split() -> None:
    # The speck has an IoU of 1/10 with the object: not above 0.1.
    assert numbers(bar(10), bar(9, 1))["split"] == 0


def test_both_empty_is_not_defined() -> None:
    empty = np.zeros((4, 4), int)
    found = numbers(empty, empty)
    assert {name: found[name] for name in RATIOS} == dict.fromkeys(RATIOS)
    assert all(value == 0 for name, value in found.items() if name not in RATIOS)


@pytest.mark.parametrize("swap", [False, True])
def test_one_empty_scores_zero(swap: bool) -> None:
    pair = [bar(3, 3), np.zeros((1, 6), int)]
    found = numbers(*(reversed(pair) if swap else pair))
    assert (found["fp"], found["fn"]) == ((2, 0) if swap else (0, 2))
    for name in RATIOS:
        assert found[name] == 0.0, name


def test_single_pixel_objects() -> None:
    true = np.arange(1, 26).reshape(5, 5)
    found = numbers(true, true.T)
    assert (found["tp"], found["f1"], found["panoptic_quality"]) == (25, 1.0, 1.0)


def test_one_pixel_image() -> None:
    assert numbers(np.array([[1]]), np.array([[5]]))["f1"] == 1.0


def test_pooling_weighs_by_objects_not_by_images() -> None:
    good = score_instances(bar(*[2] * 9), bar(*[2] * 9)).tally
    bad = score_instances(bar(2, -2), bar(-2, 2)).tally
    pooled = instance_numbers(pool([good, bad]))
    assert pooled["instance.recall@0.5/1"] == pytest.approx(9 / 10)
    assert pooled["instance.accuracy@0.5/1"] == pytest.approx(9 / 11)
    assert pooled["instance.ap@0.5:0.95/1"] == pytest.approx(9 / 11)
    assert pooled["instance.foreground_iou/1"] == pytest.approx(18 / 22)


def test_pooling_one_image_changes_nothing() -> None:
    tally: Tally = score_instances(bar(3, 4, -2), bar(2, 5, -2)).tally
    assert pool([tally]) == tally


def test_every_number_has_a_definition_and_none_is_left_over() -> None:
    found = instance_numbers(score_instances(bar(1), bar(1)).tally)
    assert list(found) == [each.id for each in INSTANCE_DEFINITIONS]
    assert all(each.title and each.text.endswith(".") for each in INSTANCE_DEFINITIONS)

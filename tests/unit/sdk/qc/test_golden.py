# SPDX-License-Identifier: BSD-3-Clause
"""Numbers recorded once, to be met under every Python; record_golden.py says from where."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
import pytest

from dl4mic_sdk.qc.instance import InstanceScore, instance_numbers, pool, score_instances
from dl4mic_sdk.qc.matching import match
from dl4mic_sdk.qc.overlap import Overlap

GOLDEN: Dict[str, Any] = json.loads(
    (Path(__file__).parent / "golden.json").read_text(encoding="utf-8")
)
IMAGES: List[Dict[str, Any]] = GOLDEN["images"]
RTOL = 1e-6

by_name = pytest.mark.parametrize("case", IMAGES, ids=[each["name"] for each in IMAGES])


def unpacked(text: str, shape: List[int]) -> np.ndarray:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<u2").reshape(shape)


def score(case: Mapping[str, Any]) -> InstanceScore:
    true, pred = (unpacked(case[key], case["shape"]) for key in ("true", "pred"))
    return score_instances(true, pred)


def at_half(numbers: Mapping[str, Optional[float]]) -> Dict[str, float]:
    ids = {
        key: key.split(".")[1].split("@")[0] for key in numbers if "@0.5/" in key or ".n_" in key
    }
    return {name.split("/")[0]: numbers[key] or 0.0 for key, name in ids.items()}


def recorded_at_half(results: List[Dict[str, float]]) -> Dict[str, float]:
    found = next(each for each in results if each["thresh"] == 0.5)
    return {key: value for key, value in found.items() if key != "thresh"}


def counted(table: Overlap, threshold: float) -> Tuple[int, float]:
    matching = match(table, threshold)
    return matching.iou.size, float(matching.iou.sum())


@by_name
def test_matches_the_reference_at_every_threshold(case: Mapping[str, Any]) -> None:
    table = score(case).table
    for recorded in case["reference"]:
        tp, sum_iou = counted(table, recorded["thresh"])
        assert tp == recorded["tp"], recorded["thresh"]
        assert sum_iou == pytest.approx(recorded["mean_true_score"] * recorded["n_true"], rel=RTOL)


@by_name
def test_every_number_that_the_reference_has(case: Mapping[str, Any]) -> None:
    found = at_half(instance_numbers(score(case).tally))
    assert found == pytest.approx(recorded_at_half(case["reference"]), rel=RTOL)


@by_name
def test_average_precision_is_the_mean_of_the_recorded_accuracy(case: Mapping[str, Any]) -> None:
    accuracies = [each["accuracy"] for each in case["reference"] if 0.5 <= each["thresh"] < 1]
    found = instance_numbers(score(case).tally)["instance.ap@0.5:0.95/1"]
    assert len(accuracies) == 10
    assert found == pytest.approx(sum(accuracies) / 10, rel=RTOL)


@by_name
def test_splits_merges_and_foreground_of_a_dense_computation(case: Mapping[str, Any]) -> None:
    found = instance_numbers(score(case).tally)
    assert found["instance.split/1"] == case["dense"]["split"]
    assert found["instance.merged/1"] == case["dense"]["merged"]
    assert found["instance.foreground_iou/1"] == pytest.approx(
        case["dense"]["foreground_iou"], rel=RTOL
    )


def test_pooled_over_all_objects() -> None:
    found = at_half(instance_numbers(pool(score(each).tally for each in IMAGES)))
    assert found == pytest.approx(recorded_at_half(GOLDEN["pooled"]), rel=RTOL)


def test_mean_over_images() -> None:
    each = [at_half(instance_numbers(score(case).tally)) for case in IMAGES]
    recorded = recorded_at_half(GOLDEN["by_image"])
    for name in ("precision", "recall", "accuracy", "f1", "panoptic_quality", "mean_matched_score"):
        assert np.mean([one[name] for one in each]) == pytest.approx(recorded[name], rel=RTOL)

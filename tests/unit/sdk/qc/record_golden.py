# SPDX-License-Identifier: BSD-3-Clause
"""Record golden.json: label images and what StarDist 0.9.2 and a dense computation make of them.

Run by hand where that library is installed (TensorFlow is not needed), with the name of its module
of matching: ``python record_golden.py LIBRARY.matching > golden.json``.
"""

from __future__ import annotations

import base64
import importlib
import json
import sys
import zlib
from typing import Any, Dict, Iterator, List, Tuple

import numpy as np
from skimage.measure import label

THRESHOLDS = [0.1, 0.3] + [step / 20 for step in range(10, 20)] + [1.0]


def discs(random: np.random.RandomState, shape: Tuple[int, ...], count: int) -> np.ndarray:
    """Draw discs or balls that later ones cover in part."""
    image = np.zeros(shape, np.int32)
    grid = np.indices(shape)
    for number in range(1, count + 1):
        centre = [random.randint(0, size) for size in shape]
        distance = sum((axis - c) ** 2 for axis, c in zip(grid, centre))
        image[distance <= random.randint(2, 6) ** 2] = number
    return image


def disturbed(random: np.random.RandomState, true: np.ndarray) -> np.ndarray:
    """Shift, drop, merge and cut the objects of an image."""
    pred = np.roll(true, random.randint(-1, 2, true.ndim), tuple(range(true.ndim)))
    numbers = np.unique(pred[pred > 0])
    for number in random.choice(numbers, len(numbers) // 6, replace=False):
        pred[pred == number] = 0
    for number in random.choice(numbers, len(numbers) // 4, replace=False):
        pred[pred == number] = random.choice(numbers)
    pred[..., 5::11] = 0
    return label(pred, connectivity=1).astype(np.int32)


def cases() -> Iterator[Tuple[str, np.ndarray, np.ndarray]]:
    random = np.random.RandomState(20)
    for index in range(8):
        true = discs(random, (40, 48), 25)
        yield "discs-{}".format(index), true, disturbed(random, true)
    for index in range(3):
        true = discs(random, (10, 24, 24), 20)
        yield "balls-{}".format(index), true, disturbed(random, true)
    for index in range(12):
        noise = random.randint(0, 4 + index, (2, 9, 9))
        yield "noise-{}".format(index), noise[0] * 3, noise[1] * 7 + (noise[1] > 0)
    halves = np.repeat(np.arange(1, 13), 4).reshape(6, 8)
    yield "halves", halves, np.repeat(np.arange(1, 25), 2).reshape(6, 8)
    yield "doubles", halves, np.repeat(np.arange(1, 7), 8).reshape(6, 8)
    yield "perfect", halves, halves * 5
    yield "nothing-predicted", halves, np.zeros_like(halves)
    yield "nothing-true", np.zeros_like(halves), halves


def packed(image: np.ndarray) -> str:
    data = np.ascontiguousarray(image, dtype="<u2").tobytes()
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")


def dense(true: np.ndarray, pred: np.ndarray) -> Dict[str, float]:
    """Compute splits, merges and foreground IoU from full masks."""
    iou = np.array([[_iou(true == t, pred == p) for p in _objects(pred)] for t in _objects(true)])
    iou = iou.reshape(len(_objects(true)), len(_objects(pred)))
    return {
        "split": int(((iou > 0.1).sum(axis=1) > 1).sum()),
        "merged": int(((iou > 0.1).sum(axis=0) > 1).sum()),
        "foreground_iou": _iou(true > 0, pred > 0),
    }


def _objects(image: np.ndarray) -> List[int]:
    return [each for each in np.unique(image) if each]


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def plain(result: Any) -> Dict[str, float]:
    """Keep every number at IoU 0.5, and at other thresholds what the tests compare."""
    found = {
        key: value
        for key, value in result._asdict().items()
        if key not in ("criterion", "by_image")
    }
    if found["thresh"] != 0.5:
        found = {
            key: found[key] for key in ("thresh", "tp", "n_true", "accuracy", "mean_true_score")
        }
    return {key: float("{:.10g}".format(value)) for key, value in found.items()}


def main(library: str) -> None:
    reference = importlib.import_module(library)
    drawn = list(cases())
    images = [
        {
            "name": name,
            "shape": true.shape,
            "true": packed(true),
            "pred": packed(pred),
            "reference": [plain(each) for each in reference.matching(true, pred, THRESHOLDS)],
            "dense": dense(true, pred),
        }
        for name, true, pred in drawn
    ]
    both = [[true for _, true, _ in drawn], [pred for _, _, pred in drawn]]
    pooled = reference.matching_dataset(*both, thresh=THRESHOLDS, show_progress=False)
    by_image = reference.matching_dataset(
        *both, thresh=THRESHOLDS, show_progress=False, by_image=True
    )
    golden = {
        "recorded_with": "StarDist 0.9.2",
        "images": images,
        "pooled": [plain(each) for each in pooled],
        "by_image": [plain(each) for each in by_image],
    }
    json.dump(golden, sys.stdout, separators=(",", ":"))
    sys.stdout.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])

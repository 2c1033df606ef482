# SPDX-License-Identifier: BSD-3-Clause
"""Which scores deserve a warning, and which do not."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

import pytest

from dl4mic_sdk.qc.warning_rules import (
    ImageFacts,
    about_amount,
    about_failures,
    about_gain,
    about_loss,
    about_training_data,
    facts_of,
)


def codes(warnings: Any) -> List[str]:
    return [each.code for each in warnings]


def history(loss: Sequence[float], val_loss: Sequence[float] = ()) -> List[Dict[str, float]]:
    rows = [{"epoch": float(number), "loss": value} for number, value in enumerate(loss, 1)]
    for row, value in zip(rows, val_loss):
        row["val_loss"] = value
    return rows


@pytest.mark.parametrize(
    ("images", "foreground", "expected"),
    [
        (5, 0.05, []),
        (4, 0.05, ["QC_FEW_IMAGES"]),
        (5, 0.049, ["QC_LITTLE_FOREGROUND"]),
        (1, 0.0, ["QC_FEW_IMAGES", "QC_LITTLE_FOREGROUND"]),
        (5, None, []),
    ],
)
def test_amount(images: int, foreground: Any, expected: List[str]) -> None:
    assert codes(about_amount(images, foreground)) == expected


def test_failures_are_named_but_not_all() -> None:
    (warning,) = about_failures(["image{}".format(i) for i in range(9)], [])
    assert warning.code == "QC_IMAGES_FAILED"
    assert "image4 and 4 more" in warning.message
    assert codes(about_failures([], ["a"])) == ["QC_EMPTY_IMAGES"]
    assert codes(about_failures([], [])) == []


@pytest.mark.parametrize(
    ("ssim", "psnr", "said"),
    [
        ((0.5, 0.4), (20.0, 20.0), ""),
        ((0.5, 0.4), (20.0, 25.25), "(PSNR 20, source 25.25)"),
        ((0.25, 0.5), (20.0, 21.0), "(SSIM 0.25, source 0.5; PSNR 20, source 21)"),
        ((None, 0.5), (20.0, None), ""),
    ],
)
def test_predictions_that_are_worse_than_their_sources(ssim: Any, psnr: Any, said: str) -> None:
    found = list(about_gain({"SSIM": ssim, "PSNR": psnr}))
    assert codes(found) == (["QC_WORSE_THAN_SOURCE"] if said else [])
    assert all(said in each.message for each in found)


def test_images_seen_in_training() -> None:
    test, trained = ImageFacts({"f1": "a.tif", "f2": "b.tif"}), ImageFacts({"f2": "other.png"})
    (warning,) = about_training_data(test, trained)
    assert warning.code == "QC_IMAGES_WERE_TRAINED_ON"
    assert "b.tif" in warning.message
    assert "a.tif" not in warning.message


@pytest.mark.parametrize(
    ("test", "trained", "warned"),
    [
        (100.0, 100.0, False),
        (100.0, 301.0, True),
        (301.0, 100.0, True),
        (None, 5.0, False),
        (0.0, 5.0, False),
    ],
)
def test_intensities(test: Any, trained: Any, warned: bool) -> None:
    found = codes(about_training_data(ImageFacts({}, test), ImageFacts({}, trained)))
    assert found == (["QC_INTENSITIES_UNLIKE_TRAINING"] if warned else [])


@pytest.mark.parametrize(
    ("level", "warned"),
    [(20500.0, True), (1601.0, True), (1599.0, False), (-500.0, True), (None, False)],
)
def test_intensities_that_are_only_offset(level: Any, warned: bool) -> None:
    """Both span 1000; the median of the training is 600."""
    trained = ImageFacts({}, 1000.0, level=600.0)
    found = codes(about_training_data(ImageFacts({}, 1000.0, level=level), trained))
    assert found == (["QC_INTENSITIES_UNLIKE_TRAINING"] if warned else [])
    wider = ImageFacts({}, 2900.0, level=600.0 + 2800)
    assert codes(about_training_data(wider, trained)) == []


@pytest.mark.parametrize(
    ("test", "warned"), [({"X": 0.5}, False), ({"X": 0.65}, True), ({}, False), ({"Z": 9.0}, False)]
)
def test_pixel_sizes(test: Dict[str, float], warned: bool) -> None:
    found = codes(about_training_data(ImageFacts({}, None, test), ImageFacts({}, None, {"X": 0.5})))
    assert found == (["QC_PIXEL_SIZE_UNLIKE_TRAINING"] if warned else [])


FLAT = [0.5] * 12
FALLING = [1 / number for number in range(1, 13)]
RISING = [1.0, 0.6, 0.4, 0.3, 0.32, 0.34, 0.36, 0.38, 0.4, 0.42, 0.44, 0.46]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (history(FLAT, FLAT), []),
        (history(FALLING, RISING), ["MODEL_OVERFITTED"]),
        (history(FLAT, RISING), []),  # the training loss does not fall: not over-fitting
        (history(FALLING, FALLING), ["MODEL_UNDERFITTED"]),
        (history(FALLING), ["MODEL_UNDERFITTED"]),
        (history(FALLING[:7], FALLING[:7]), []),  # too short to say
        (history([-each for each in FALLING], [-each for each in RISING]), []),
        ([], []),
        ([{"epoch": 1.0, "accuracy": 0.5}] * 20, []),
    ],
)
def test_loss(rows: List[Dict[str, float]], expected: List[str]) -> None:
    assert codes(about_loss(rows)) == expected


def test_overfitting_says_where() -> None:
    (warning,) = about_loss(history(FALLING, RISING))
    assert "47%" in warning.message  # the mean of the last three, 0.44, over 0.3
    assert "epoch 4" in warning.message


def test_facts_of_a_record() -> None:
    record = {
        "files": [
            {"role": "source", "sha256": "f1", "path": "/data/a.tif"},
            {"role": "target", "sha256": "f2", "path": "/data/m.tif"},
            {"role": "source", "sha256": "", "path": "/data/unread.tif"},
        ],
        "intensity": {"1": 10.0, "50": 40.0, "99.9": 210.0},
        "pixel_size": {"X": 0.5},
    }
    assert facts_of(record) == ImageFacts({"f1": "a.tif"}, 200.0, {"X": 0.5}, 40.0)


def test_a_model_that_others_made_has_no_facts() -> None:
    assert facts_of({}) == ImageFacts({}, None, {})

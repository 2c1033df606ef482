# SPDX-License-Identifier: BSD-3-Clause
"""What a network notes for the training report."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dl4mic_sdk.report_notes import (
    note_choices,
    note_examples,
    note_warning,
    read_choices,
    read_examples,
    read_warnings,
)


def test_choices_add_up(tmp_path: Path) -> None:
    assert read_choices(tmp_path) == {}
    note_choices(tmp_path, {"patch_size": [64, 64], "steps": 10})
    note_choices(tmp_path, {"steps": 20})
    assert read_choices(tmp_path) == {"patch_size": [64, 64], "steps": 20}


def test_warnings_are_kept_in_order(tmp_path: Path) -> None:
    assert read_warnings(tmp_path) == []
    note_warning(tmp_path, "TOO_SHORT", "20 steps")
    note_warning(tmp_path, "FALLING", "by 5 %")
    assert read_warnings(tmp_path) == [("TOO_SHORT", "20 steps"), ("FALLING", "by 5 %")]


def test_the_first_four_examples_are_kept(tmp_path: Path) -> None:
    assert read_examples(tmp_path) == []
    pairs = [(np.full((4, 4), i / 2), np.full((4, 4), i, np.uint16)) for i in range(6)]
    note_examples(tmp_path, pairs)
    found = read_examples(tmp_path)
    assert [(image[0, 0], target[0, 0]) for image, target in found] == [
        (0.0, 0),
        (0.5, 1),
        (1.0, 2),
        (1.5, 3),
    ]
    assert found[1][1].dtype == np.uint16

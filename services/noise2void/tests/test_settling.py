# SPDX-License-Identifier: BSD-3-Clause
"""A training that was too short is warned of, in the job and in its report."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from settling import warn_if_too_short

from dl4mic_sdk.context import Context
from dl4mic_sdk.device import Device
from dl4mic_sdk.events import EventWriter
from dl4mic_sdk.report_notes import read_warnings
from dl4mic_sdk.training import Schedule

SETTLED = [1.0, 0.5, 0.4, 0.4, 0.4, 0.4]
FALLING = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5]


def warned(
    folder: Path, losses: list[float], steps: int, from_parent: bool = False, norm: bool = True
) -> list[str]:
    attempt = folder / "1"
    attempt.mkdir()
    ctx = Context(attempt, EventWriter(attempt), Device("cpu", ""))
    rows = [{"epoch": float(n), "loss": 9.0, "val_loss": each} for n, each in enumerate(losses, 1)]
    schedule = Schedule(len(losses), steps, 8)
    warn_if_too_short(rows, schedule, SimpleNamespace(batch_norm=norm), from_parent, ctx)
    return [code for code, _ in read_warnings(attempt)]


def test_unsettled_averages_are_warned_of(tmp_path: Path) -> None:
    assert warned(tmp_path, SETTLED, 10) == ["TRAINING_TOO_SHORT"]


def test_enough_steps_are_not(tmp_path: Path) -> None:
    assert warned(tmp_path, SETTLED, 70) == []


@pytest.mark.parametrize(("from_parent", "norm"), [(True, True), (False, False)])
def test_averages_of_a_parent_and_none_at_all_are_settled(
    tmp_path: Path, from_parent: bool, norm: bool
) -> None:
    assert warned(tmp_path, SETTLED, 10, from_parent, norm) == []


def test_a_loss_that_still_falls_is_warned_of(tmp_path: Path) -> None:
    assert warned(tmp_path, FALLING, 100) == ["LOSS_STILL_FALLING"]


def test_a_dry_run_is_not_warned_of(tmp_path: Path) -> None:
    assert warned(tmp_path, [], 10) == []

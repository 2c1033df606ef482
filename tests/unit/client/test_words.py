# SPDX-License-Identifier: BSD-3-Clause
"""Sizes, durations and rates in words, and durations read."""

from __future__ import annotations

import pytest

from dl4mic_client import words


def test_sizes() -> None:
    sizes = [words.size(count) for count in (0, 999, 1000, 1_234_000, 5e9, 7e12)]
    assert sizes == ["0 B", "999 B", "1 kB", "1.23 MB", "5 GB", "7 TB"]


def test_durations() -> None:
    written = [words.duration(seconds) for seconds in (0, 59.6, 725, 3723)]
    assert written == ["0:00", "1:00", "12:05", "1:02:03"]


def test_rates() -> None:
    assert words.rate(2.125, "epochs") == "2.12 epochs/s"
    assert words.rate(0.25, "epochs") == "4 s/epoch"


def test_long_texts_are_clipped() -> None:
    assert words.clip("as it is", 8) == "as it is"
    assert words.clip("much longer", 8) == "much lo…"
    assert words.clip("first\nsecond", 20) == "first"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("90m", 5400), ("2h30m", 9000), ("1d", 86400), ("1D12H", 129600)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert words.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", " ", "-3", "soon", "1.5h", "30m2h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        words.parse_duration(text)


@pytest.mark.parametrize(
    ("count", "plural", "said"),
    [(1, "images", "1 image"), (0, "images", "0 images"), (2.0, "steps", "2 steps"),
     (1.0, "patches", "1 patch"), (1, "boxes", "1 box"), (1, "slices", "1 slice")],
)  # fmt: skip
def test_one_is_counted_as_one(count: float, plural: str, said: str) -> None:
    assert words.counted(count, plural) == said

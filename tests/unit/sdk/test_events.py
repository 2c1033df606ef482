# SPDX-License-Identifier: BSD-3-Clause
"""The record of an attempt: numbered without gaps, whole after a crash, valid JSON whatever the values."""

from __future__ import annotations

import json
import threading

import pytest

from dl4mic_sdk.events import FILE_NAME, EventWriter, last_sequence, read_events


@pytest.fixture
def attempt(tmp_path):
    folder = tmp_path / "job" / "1"
    folder.mkdir(parents=True)
    return folder


def sequences(folder):
    return [event["sequence"] for _, event in read_events(folder)]


def test_events_are_numbered_from_one(attempt):
    writer = EventWriter(attempt)
    writer.append("metric", {"name": "loss", "value": 0.5, "step": 1.0, "unit": ""})
    writer.append("state", {"state": "RUNNING"})
    writer.close()
    (_, first), (_, second) = read_events(attempt)
    assert (first["sequence"], first["attempt"], first["metric"]["value"]) == (1, 1, 0.5)
    assert second["state"] == {"state": "RUNNING"}


def test_the_next_attempt_counts_on(attempt):
    EventWriter(attempt).append("state", {"state": "RUNNING"})
    second = attempt.with_name("2")
    second.mkdir()
    EventWriter(second).append("state", {"state": "PENDING"})
    assert sequences(second) == [2]
    assert last_sequence(attempt.with_name("3")) == 2


def test_a_line_that_a_dying_writer_left_unfinished_is_cut_off(attempt):
    EventWriter(attempt).append("state", {"state": "RUNNING"})
    with (attempt / FILE_NAME).open("a") as file:
        file.write('{"sequence": 2, "time": "20')
    assert sequences(attempt) == [1]
    EventWriter(attempt).append("state", {"state": "FAILED"})
    assert sequences(attempt) == [1, 2]


def test_reading_goes_on_at_an_offset(attempt):
    writer = EventWriter(attempt)
    for _ in range(3):
        writer.append("checkpoint", {"step": 1.0})
    offset = next(iter(read_events(attempt)))[0]
    assert [event["sequence"] for _, event in read_events(attempt, offset)] == [2, 3]


def test_what_is_no_number_is_spelt_as_the_contract_does(attempt):
    writer = EventWriter(attempt)
    for value in (float("nan"), float("inf"), -float("inf")):
        writer.append("metric", {"value": value})
    lines = (attempt / FILE_NAME).read_text().splitlines()
    values = [json.loads(line)["metric"]["value"] for line in lines]
    assert values == ["NaN", "Infinity", "-Infinity"]


def test_threads_may_write_at_once(attempt):
    writer = EventWriter(attempt)
    threads = [
        threading.Thread(target=lambda: [writer.append("heartbeat", {}) for _ in range(50)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sequences(attempt) == list(range(1, 401))


def test_there_is_nothing_where_nothing_was_written(attempt):
    assert list(read_events(attempt)) == []
    assert last_sequence(attempt) == 0

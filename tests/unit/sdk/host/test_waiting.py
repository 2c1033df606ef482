# SPDX-License-Identifier: BSD-3-Clause
"""The order in which jobs of a host wait, by a scripted clock; and the clock of the day does not matter to them."""

from __future__ import annotations

import time

import pytest

from dl4mic import retry
from dl4mic.v1.job_pb2 import JobError
from dl4mic_sdk.host.attempt import _Silence
from dl4mic_sdk.host.runner import _waited
from dl4mic_sdk.host.waiting import Wait, Waiting


def test_jobs_run_in_their_order_but_not_before_their_time():
    waiting = Waiting()
    for job_id, due in (("rests", 50.0), ("first", 0.0), ("second", 0.0)):
        waiting.add(job_id, Wait(due))
    assert waiting.seconds_left(10.0) == 0.0
    assert [waiting.take(10.0), waiting.take(10.0), waiting.take(10.0)] == ["first", "second", None]
    assert waiting.seconds_left(10.0) == 40.0
    assert waiting.take(50.0) == "rests"
    assert waiting.seconds_left(50.0) is None


def test_a_job_does_not_wait_beyond_its_deadline():
    waiting = Waiting()
    waiting.add("late", Wait(due=100.0, deadline=30.0))
    waiting.add("patient", Wait(due=100.0))
    assert waiting.take_overdue(29.9) == []
    assert waiting.seconds_left(20.0) == 10.0
    assert waiting.take_overdue(30.0) == ["late"]
    assert not waiting.remove("late") and waiting.remove("patient")


def test_a_job_goes_behind_one_that_it_needs_wherever_that_stands():
    """The first one of a chain was tried again, and stands at the end."""
    waiting = Waiting()
    waiting.add("last", Wait(needs=frozenset({"middle"})))
    waiting.add("middle", Wait(needs=frozenset({"first"})))
    waiting.add("first", Wait(due=5.0))
    assert waiting.take(0.0) is None
    assert waiting.seconds_left(0.0) == 5.0, "nobody looks again before"
    assert [waiting.take(5.0) for _ in range(3)] == ["first", "middle", "last"]


def test_a_need_that_does_not_wait_holds_nobody_up():
    waiting = Waiting()
    waiting.add("a", Wait(needs=frozenset({"done"})))
    assert waiting.take(0.0) == "a"


def test_a_deadline_ends_the_wait_for_another_job_too():
    waiting = Waiting()
    waiting.add("slow", Wait(due=100.0))
    waiting.add("a", Wait(deadline=3.0, needs=frozenset({"slow"})))
    assert waiting.seconds_left(1.0) == 2.0
    assert waiting.take_overdue(3.0) == ["a"]


def test_the_time_that_was_waited_is_the_sum_of_the_pauses():
    lost = retry.Failure(JobError.VOLUME_UNAVAILABLE)
    crash = retry.Failure(JobError.CRASHED)
    assert _waited([lost]).total_seconds() == 0
    assert _waited([lost, lost]).total_seconds() == 10
    assert _waited([lost] * 4).total_seconds() == 10 + 20 + 40
    assert _waited([lost, crash, lost]).total_seconds() == 0
    failures = [lost]
    while retry.pause_before_retry(failures, _waited(failures)) is not None:
        failures.append(lost)
    assert 24 * 3600 <= _waited(failures).total_seconds() < 24 * 3600 + 600


class Clock:
    """Stands for the module `time`."""

    def __init__(self):
        self.passed = 1000.0

    def monotonic(self):
        return self.passed


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("dl4mic_sdk.host.attempt.time", clock)
    return clock


def test_silence_is_time_in_which_the_file_does_not_grow(tmp_path, clock):
    file = tmp_path / "events.jsonl"
    file.write_text("{}\n")
    silence = _Silence(file, 3.0)
    over = []
    for step in range(9):
        clock.passed += 0.5
        if step == 3:
            file.write_text("{}\n{}\n")
        over.append(silence.is_over())
    assert over == [False] * 9
    clock.passed += 0.5
    assert silence.is_over()


def test_a_host_that_stood_still_itself_does_not_blame_its_worker(tmp_path, clock):
    file = tmp_path / "events.jsonl"
    file.write_text("")
    silence = _Silence(file, 3.0)
    assert not silence.is_over()
    clock.passed += 3600.0
    assert not silence.is_over()
    assert time.monotonic() != clock.passed

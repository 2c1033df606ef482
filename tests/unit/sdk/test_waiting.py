# SPDX-License-Identifier: BSD-3-Clause
"""The queue of a host: who goes first, who goes behind whom, and when time alone changes that."""

from __future__ import annotations

from dl4mic_sdk.host.waiting import Wait, Waiting


def test_jobs_go_in_the_order_in_which_they_came() -> None:
    waiting = Waiting()
    for job_id in ("b", "a"):
        waiting.add(job_id, Wait())
    assert [waiting.take(0.0) for _ in range(3)] == ["b", "a", None]


def test_a_job_goes_behind_one_that_it_needs_wherever_that_stands() -> None:
    """The first one of a chain was tried again, and stands at the end."""
    waiting = Waiting()
    waiting.add("last", Wait(needs=frozenset({"middle"})))
    waiting.add("middle", Wait(needs=frozenset({"first"})))
    waiting.add("first", Wait(due=5.0))
    assert waiting.take(0.0) is None
    assert waiting.seconds_left(0.0) == 5.0, "nobody looks again before"
    assert [waiting.take(5.0) for _ in range(3)] == ["first", "middle", "last"]


def test_a_need_that_does_not_wait_holds_nobody_up() -> None:
    waiting = Waiting()
    waiting.add("a", Wait(needs=frozenset({"done"})))
    assert waiting.take(0.0) == "a"


def test_a_deadline_ends_the_wait_for_another_job_too() -> None:
    waiting = Waiting()
    waiting.add("slow", Wait(due=100.0))
    waiting.add("a", Wait(deadline=3.0, needs=frozenset({"slow"})))
    assert waiting.seconds_left(1.0) == 2.0
    assert waiting.take_overdue(3.0) == ["a"]

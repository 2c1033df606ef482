# SPDX-License-Identifier: BSD-3-Clause
"""Watchers share what is read once, miss nothing, repeat nothing, and end with the job."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dl4mic.v1.job_pb2 import Job, JobEvent, WatchJobRequest
from dl4mic_orchestrator.api import job as job_api
from dl4mic_orchestrator.api.room import Room
from dl4mic_orchestrator.records import JobState
from dl4mic_orchestrator.store import Store
from dl4mic_orchestrator.store.feed import JobGoneError
from dl4mic_orchestrator.store.jobs import JobNotFoundError, JobStore
from dl4mic_orchestrator.trash import JobFolders

WAIT = 10.0


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[JobStore]:
    store = Store(tmp_path / "s.sqlite")
    store.jobs.create(Job(id="a", network="blur", train={"model": "m"}))
    yield store.jobs
    store.close()


def say(jobs: JobStore, *sequences: int) -> None:
    """Copy events of an instance, as the follower does."""
    events = [
        JobEvent(sequence=number, attempt=1, metric={"name": "loss", "value": number})
        for number in sequences
    ]
    jobs.copy("a", 1, events)


def watch(jobs: JobStore, after: int, seen: list[int]) -> None:
    with jobs.watched("a") as feed:
        while not feed.is_over(after):
            for event in feed.behind(after, WAIT):
                after = event.sequence
                seen.append(after)


def test_watchers_that_come_at_any_time_see_each_event_once(jobs: JobStore) -> None:
    seen: list[list[int]] = [[] for _ in range(12)]
    threads = [
        threading.Thread(target=watch, args=(jobs, number % 4, seen[number]))
        for number in range(12)
    ]
    for number, thread in enumerate(threads, start=2):
        thread.start()
        say(jobs, number)
    jobs.change_state("a", 1, JobState.FAILED)
    for thread in threads:
        thread.join(WAIT)
    last = jobs.message("a").last_sequence
    for number, found in enumerate(seen):
        assert found == list(range(number % 4 + 1, last + 1))


def test_events_are_read_once_for_all(jobs: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    real = jobs._feeds._read
    monkeypatch.setattr(
        jobs._feeds, "_read", lambda job_id, after: reads.append(after) or real(job_id, after)
    )
    with jobs.watched("a") as one, jobs.watched("a") as other:
        say(jobs, 2, 3)
        reads.clear()
        assert [e.sequence for e in one.behind(1, WAIT)] == [2, 3]
        assert [e.sequence for e in other.behind(2, WAIT)] == [3]
        assert reads == []
        assert [e.sequence for e in other.behind(0, WAIT)] == [1, 2, 3]
        assert reads == [0]


def test_nothing_new_is_waited_for_and_nothing_is_kept_without_watchers(jobs: JobStore) -> None:
    with jobs.watched("a") as feed:
        assert feed.behind(1, 0.01) == [] and not feed.is_over(1)
        assert feed.behind(99, 0.01) == []
        threading.Timer(0.05, say, (jobs, 2)).start()
        assert [event.sequence for event in feed.behind(1, WAIT)] == [2]
    assert jobs._feeds._feeds == {}


def test_an_ended_job_is_over_once_all_was_seen(jobs: JobStore) -> None:
    jobs.change_state("a", 1, JobState.FAILED)
    seen: list[int] = []
    watch(jobs, 0, seen)
    assert seen == [1, 2]
    jobs.open_by_hand("a")
    with jobs.watched("a") as feed:
        assert not feed.is_over(3)


def test_a_deleted_job_is_not_waited_for(jobs: JobStore) -> None:
    with pytest.raises(JobNotFoundError), jobs.watched("none"):
        pass
    jobs.change_state("a", 1, JobState.FAILED)
    with jobs.watched("a") as feed:
        jobs.delete("a")
        with pytest.raises(JobGoneError):
            feed.behind(0, WAIT)


def test_who_watches_the_next_job_of_an_id_is_not_told_of_the_one_before(jobs: JobStore) -> None:
    say(jobs, 2, 3)
    jobs.change_state("a", 1, JobState.FAILED)
    with jobs.watched("a") as late:
        jobs.delete("a")
        new = jobs.create(Job(id="a", network="blur", train={"model": "other"}))
        with jobs.watched("a") as feed:
            assert not feed.is_over(new.last_sequence)
            say(jobs, 2)
            assert [event.sequence for event in feed.behind(1, WAIT)] == [2]
        with pytest.raises(JobGoneError):
            late.behind(0, WAIT)
    assert jobs._feeds._feeds == {}


class Caller:
    """What a call's context says of the one who made it."""

    def __init__(self) -> None:
        self.here = threading.Event()
        self.here.set()
        self.is_active = self.here.is_set
        self.told: list[Callable[[], None]] = []

    def add_callback(self, tell: Callable[[], None]) -> None:
        self.told.append(tell)

    def leave(self) -> None:
        self.here.clear()
        for tell in self.told:
            tell()


def test_a_watch_ends_when_its_caller_leaves(
    jobs: JobStore, tmp_path: Path, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_api, "_WATCH_SECONDS", 3600.0)
    api, caller = (
        job_api.JobApi(
            jobs, JobFolders(jobs, tmp_path), room, wake=lambda: None, obstacles=lambda _: []
        ),
        Caller(),
    )
    watch = api.WatchJob(WatchJobRequest(job_id="a"), caller)
    assert next(watch).sequence == 1
    threading.Timer(0.2, caller.leave).start()
    assert list(watch) == []
    assert jobs._feeds._feeds == {}

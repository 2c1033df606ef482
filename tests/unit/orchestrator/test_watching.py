# SPDX-License-Identifier: BSD-3-Clause
"""A watcher that is cut off and comes again, at any points, also when the orchestrator was started anew."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from dl4mic.v1.job_pb2 import Job, JobEvent, WatchJobRequest
from dl4mic_orchestrator.api.job import JobApi
from dl4mic_orchestrator.api.room import Room
from dl4mic_orchestrator.records import Allowance, JobState
from dl4mic_orchestrator.store import Store
from dl4mic_orchestrator.trash import JobFolders


class Context:
    """Of a call whose caller stays as long as it reads."""

    def is_active(self) -> bool:
        return True

    def add_callback(self, callback: object) -> bool:
        return True


class Server:
    """What serves one job's events, and can be started anew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._copied = 0
        self.start()
        job = Job(id="a", network="blur", project="default")
        job.train.model = "m"
        self.store.jobs.create(job)
        self.store.jobs.change_state("a", 1, JobState.STARTING)

    def start(self) -> None:
        self.store = Store(self._folder / "s.sqlite")
        folders = JobFolders(self.store.jobs, self._folder)
        room = Room(self._folder, 0, lambda project: Allowance(), lambda project: 0)
        self.api = JobApi(self.store.jobs, folders, room, lambda: None, lambda job_id: [])

    def restart(self) -> None:
        self.store.close()
        self.start()

    def emit(self, count: int) -> None:
        events = []
        for _ in range(count):
            self._copied += 1
            event = JobEvent(sequence=self._copied, attempt=1)
            event.metric.step = self._copied
            events.append(event)
        self.store.jobs.copy("a", 1, events)

    def watch(self, after: int) -> Iterator[JobEvent]:
        return self.api.WatchJob(WatchJobRequest(job_id="a", after_sequence=after), Context())  # type: ignore[arg-type]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("emit"), st.integers(1, 700)),
        st.tuples(st.just("read"), st.integers(1, 900)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=8,
)


@settings(max_examples=15, deadline=None)
@given(STEPS)
def test_whoever_comes_again_misses_nothing_and_sees_nothing_twice(
    steps: list[tuple[str, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        seen: list[JobEvent] = []
        for what, count in steps:
            if what == "emit":
                server.emit(count)
            elif what == "restart":
                server.restart()
            else:
                seen += cut_off(server, seen, count)
        server.store.jobs.change_state("a", 1, JobState.FAILED)
        seen += server.watch(seen[-1].sequence if seen else 0)
        there = server.store.jobs.events("a", 0, limit=10**6)
        assert seen == there
        assert [event.sequence for event in seen] == list(range(1, len(there) + 1))
        server.store.close()


def cut_off(server: Server, seen: list[JobEvent], count: int) -> list[JobEvent]:
    """Watch for some events of those that are there, and hang up."""
    after = seen[-1].sequence if seen else 0
    there = server.store.jobs.message("a").last_sequence - after
    watching = server.watch(after)
    read = list(islice(watching, min(count, there)))
    watching.close()  # type: ignore[attr-defined]
    return read

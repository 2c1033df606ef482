# SPDX-License-Identifier: BSD-3-Clause
"""Share the newest events of jobs among those who watch them: each is read once, however many they are."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

from dl4mic.v1.job_pb2 import JobEvent
from dl4mic_orchestrator.records import JobState

Read = Callable[[str, int], list[JobEvent]]
"""(job id, sequence number) -> the events behind it, at most some hundreds."""


class JobGoneError(LookupError):
    """The job that is watched was deleted."""


_MOST_KEPT = 1000
"""Events of a job that are kept for slow watchers; one that is further behind reads the store."""


class Feed:
    """The events of one job, as long as somebody watches it.

    Parameters
    ----------
    last
        Sequence number of the newest event.
    ended
        That one ended the job.
    """

    def __init__(self, job_id: str, read: Read, last: int, ended: bool) -> None:
        self._job_id = job_id
        self._read = read
        self._last = last
        self._ended = ended
        self._kept: deque[JobEvent] = deque(maxlen=_MOST_KEPT)
        self._changed = threading.Condition()
        self.watchers = 0

    def refresh(self) -> None:
        """Take what is new in the store, and wake the watchers."""
        with self._changed:
            while news := self._read(self._job_id, self._last):
                self._kept.extend(news)
                self._last = news[-1].sequence
                states = [event.state.state for event in news if event.HasField("state")]
                self._ended = JobState(states[-1]).ended if states else self._ended
                self._changed.notify_all()

    def cut(self) -> None:
        """Read no more: what the store has from now on under the job's id is another job's."""
        self._read = lambda _job_id, _after: []
        self.wake()

    def wake(self) -> None:
        """Let all who wait look whether somebody still listens to them."""
        with self._changed:
            self._changed.notify_all()

    def behind(self, after: int, timeout_seconds: float) -> list[JobEvent]:
        """Give the events behind a sequence number, in order; wait a while where there are none as yet.

        Raises
        ------
        JobGoneError
            The job was deleted before they were read.
        """
        with self._changed:
            if self._last <= after:
                self._changed.wait(timeout_seconds)
            missed = self._last - after
            if missed <= len(self._kept):
                return list(islice(self._kept, len(self._kept) - max(missed, 0), None))
        found = self._read(self._job_id, after)
        if not found:
            raise JobGoneError(f"job {self._job_id} was deleted")
        return found

    def is_over(self, after: int) -> bool:
        """Say whether the job has ended, and nothing came behind a sequence number."""
        with self._changed:
            return self._ended and self._last <= after


class Feeds:
    """The feeds of the jobs that are watched now."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._feeds: dict[str, Feed] = {}
        self._lock = threading.Lock()

    def tell(self, job_id: str) -> None:
        """Say that a job has new events in the store."""
        feed = self._feeds.get(job_id)
        if feed is not None:
            feed.refresh()

    def forget(self, job_id: str) -> None:
        """Say that a job was deleted: who watches it still gets what is kept, and whoever comes, the next of its id."""
        with self._lock:
            feed = self._feeds.pop(job_id, None)
        if feed is not None:
            feed.cut()

    @contextmanager
    def watched(self, job_id: str, last: int, ended: bool) -> Iterator[Feed]:
        """Watch a job; `last` and `ended` are as the store has it now."""
        with self._lock:
            feed = self._feeds.setdefault(job_id, Feed(job_id, self._read, last, ended))
            feed.watchers += 1
        feed.refresh()  # what was written after it was looked at, and before anybody told us
        try:
            yield feed
        finally:
            with self._lock:
                feed.watchers -= 1
                if not feed.watchers and self._feeds.get(job_id) is feed:
                    del self._feeds[job_id]

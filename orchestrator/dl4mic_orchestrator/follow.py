# SPDX-License-Identifier: BSD-3-Clause
"""Follow an attempt on its instance: copy its events to the store, and say how it ended."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from google.protobuf.json_format import ParseDict, ParseError

from dl4mic.fold import ENDED
from dl4mic.v1.job_pb2 import Job, JobError, JobEvent
from dl4mic_orchestrator.interruption import Interruption
from dl4mic_orchestrator.records import JobState
from dl4mic_orchestrator.store.jobs import JobStore

EVENTS_FILE = "events.jsonl"
_AGAIN_SECONDS = 0.05

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: SUCCEEDED, FAILED with an error, or CANCELLED."""

    state: JobState
    error: JobError | None = None


class StoppedError(Exception):
    """The instance gives no sign of life, or does not end when it is told to; it must be killed."""


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds: for a sign of life, and for the end after it was asked for."""

    heartbeat_seconds: float
    cancel_seconds: float

    @property
    def worker_seconds(self) -> float:
        """What an instance waits for a sign of life of its worker: less, so that it can say so itself."""
        return self.heartbeat_seconds * 2 / 3


class Followed(Protocol):
    """The calls of an instance by which its job is followed."""

    def watch(self, job_id: str, after: int) -> AbstractContextManager[Iterator[list[JobEvent]]]:
        """Open a stream of a job's events: batches as they come, and empty ones while it is silent."""

    def cancel(self, job_id: str) -> None:
        """Ask for the end of a job."""


class Follower:
    """Follows one attempt.

    Parameters
    ----------
    folder
        Of the attempt; its events.jsonl is the truth, a stream only its quick copy.
    observe
        Takes every event that was copied.
    """

    def __init__(
        self,
        jobs: JobStore,
        job_id: str,
        attempt: int,
        folder: Path,
        observe: Callable[[JobEvent], None],
    ) -> None:
        self._jobs = jobs
        self._job_id = job_id
        self._attempt = attempt
        self._folder = folder
        self._observe = observe
        self._outcome: Outcome | None = None
        self._last_sign = time.monotonic()
        self._asked: float | None = None

    def follow(
        self,
        instance: Followed,
        is_alive: Callable[[], bool],
        interruption: Interruption,
        patience: Patience,
    ) -> Outcome | None:
        """Follow until the attempt ends.

        Returns
        -------
        Outcome or None
            None when the instance is gone without a word.

        Raises
        ------
        StoppedError
            Patience is over.
        """
        self._last_sign = time.monotonic()
        interruption.call(lambda: instance.cancel(self._job_id))
        while self._outcome is None and is_alive():
            self._follow_stream(instance, is_alive, interruption, patience)
        return self._outcome or self.read_rest()

    def read_rest(self) -> Outcome | None:
        """Take from events.jsonl what no stream brought."""
        self._copy(list(_read_events(self._folder / EVENTS_FILE)))
        return self._outcome

    def _follow_stream(
        self,
        instance: Followed,
        is_alive: Callable[[], bool],
        interruption: Interruption,
        patience: Patience,
    ) -> None:
        """Follow one stream to its end; a stream that always breaks is no sign of life.

        That of a machine which vanished without a word does not end.
        """
        after = self._jobs.source_sequence(self._job_id, self._attempt)
        with instance.watch(self._job_id, after) as batches:
            for batch in batches:
                if self._misses(batch):
                    self.read_rest()
                if self._copy(batch):
                    self._last_sign = time.monotonic()
                if self._outcome is not None or not (batch or is_alive()):
                    return
                self._check_patience(interruption, patience)
        time.sleep(_AGAIN_SECONDS)
        self._check_patience(interruption, patience)

    def _check_patience(self, interruption: Interruption, patience: Patience) -> None:
        now = time.monotonic()
        if now - self._last_sign > patience.heartbeat_seconds:
            raise StoppedError(f"no sign of life for {patience.heartbeat_seconds:g} s")
        if interruption.cause is None:
            return
        self._asked = self._asked or now
        if now - self._asked > patience.cancel_seconds:
            raise StoppedError(f"it did not end within {patience.cancel_seconds:g} s")

    def _misses(self, batch: list[JobEvent]) -> bool:
        """Say whether a stream has left something out; the file has it."""
        if not batch:
            return False
        after = self._jobs.source_sequence(self._job_id, self._attempt)
        numbers = sorted({after, *(event.sequence for event in batch if event.sequence > after)})
        return numbers != list(range(after, after + len(numbers)))

    def _copy(self, events: list[JobEvent]) -> bool:
        """Copy what is news, and say whether any was.

        The end of the attempt is kept back: it is not yet the end of the job. What comes behind it counts no more.
        """
        after = self._jobs.source_sequence(self._job_id, self._attempt) if events else 0
        news = []
        for event in sorted(events, key=lambda event: event.sequence):
            if event.attempt != self._attempt or event.sequence <= after or self._outcome:
                continue
            after = event.sequence
            if event.HasField("state") and event.state.state != Job.RUNNING:
                self._note_end(event)
            else:
                news.append(event)
        if news:
            self._jobs.copy(self._job_id, self._attempt, news)
        for event in news:
            self._observe(event)
        return bool(news)

    def _note_end(self, event: JobEvent) -> None:
        if event.state.state in ENDED:
            error = event.state.error if event.state.HasField("error") else None
            self._outcome = Outcome(JobState(event.state.state), error)


def _read_events(path: Path) -> Iterator[JobEvent]:
    """Read complete lines; a dying writer may have left an unfinished last one."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):
            return
        try:
            yield ParseDict(json.loads(line), JobEvent(), ignore_unknown_fields=True)
        except (ValueError, ParseError) as error:
            log.warning("%s holds a line that is no event: %s", path, error)

# SPDX-License-Identifier: BSD-3-Clause
"""Follow an attempt on its instance: copy its events to the store, and say how it ended."""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
from google.protobuf.json_format import ParseDict, ParseError

from dl4mic.v1.job_pb2 import CancelJobRequest, Job, JobError, JobEvent, WatchJobRequest
from dl4mic_orchestrator.dial import CALL_SECONDS, Dial, dial
from dl4mic_orchestrator.interruption import Interruption
from dl4mic_orchestrator.records import JobState
from dl4mic_orchestrator.store.jobs import JobStore

EVENTS_FILE = "events.jsonl"
_LOOK_SECONDS = 0.5
_LARGEST_BATCH = 500

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


class _StreamEnd:
    """Marks in the queue that a stream has ended."""


_Item = JobEvent | _StreamEnd


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

    def follow(
        self,
        address: str,
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
        with dial(address) as instance:
            interruption.call(lambda: self._cancel(instance))
            while self._outcome is None and is_alive():
                self._follow_stream(instance, interruption, patience)
        return self._outcome or self.read_rest()

    def read_rest(self) -> Outcome | None:
        """Take from events.jsonl what no stream brought."""
        self._copy(list(_read_events(self._folder / EVENTS_FILE)))
        return self._outcome

    def _follow_stream(
        self, instance: Dial, interruption: Interruption, patience: Patience
    ) -> None:
        items: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        after = self._jobs.source_sequence(self._job_id, self._attempt)
        stream = instance.jobs.WatchJob(WatchJobRequest(job_id=self._job_id, after_sequence=after))
        threading.Thread(
            target=_read_stream, args=(stream, items), name=f"watch-{self._job_id}", daemon=True
        ).start()
        last_sign = time.monotonic()
        asked = None
        try:
            while True:
                batch, ended = _take(items)
                self._copy(batch)
                now = time.monotonic()
                last_sign = now if batch else last_sign
                asked = asked or (now if interruption.cause else None)
                if ended or self._outcome is not None:
                    return
                _check_patience(now, last_sign, asked, patience)
        finally:
            stream.cancel()  # type: ignore[no-untyped-call]

    def _copy(self, events: list[JobEvent]) -> None:
        """Copy what is news; the end of the attempt is kept back, for it is not yet the end of the job."""
        after = self._jobs.source_sequence(self._job_id, self._attempt) if events else 0
        news = []
        for event in events:
            if event.attempt != self._attempt or event.sequence <= after:
                continue
            if event.HasField("state") and event.state.state != Job.RUNNING:
                self._note_end(event)
            else:
                news.append(event)
        if news:
            self._jobs.copy(self._job_id, self._attempt, news)
        for event in news:
            self._observe(event)

    def _note_end(self, event: JobEvent) -> None:
        state = JobState(event.state.state)
        if state.ended:
            self._outcome = Outcome(
                state, event.state.error if event.state.HasField("error") else None
            )

    def _cancel(self, instance: Dial) -> None:
        try:
            instance.jobs.CancelJob(CancelJobRequest(job_id=self._job_id), timeout=CALL_SECONDS)
        except (grpc.RpcError, ValueError) as error:
            # It is gone, or hangs: the follower's patience deals with both.
            log.info("the instance did not take the cancelling: %s", error)


def _check_patience(now: float, last_sign: float, asked: float | None, patience: Patience) -> None:
    if now - last_sign > patience.heartbeat_seconds:
        raise StoppedError(f"no sign of life for {patience.heartbeat_seconds:g} s")
    if asked is not None and now - asked > patience.cancel_seconds:
        raise StoppedError(f"it did not end within {patience.cancel_seconds:g} s")


def _read_stream(stream: Iterator[JobEvent], items: queue.SimpleQueue[_Item]) -> None:
    try:
        for event in stream:
            items.put(event)
    except grpc.RpcError:
        # Why it broke shows in what the instance and its folder say next.
        time.sleep(_LOOK_SECONDS / 10)
    finally:
        items.put(_StreamEnd())


def _take(items: queue.SimpleQueue[_Item]) -> tuple[list[JobEvent], bool]:
    """Take all that is there, so that a burst of events becomes one transaction; wait a little for the first."""
    batch: list[JobEvent] = []
    try:
        item = items.get(timeout=_LOOK_SECONDS)
        while isinstance(item, JobEvent):
            batch.append(item)
            if len(batch) == _LARGEST_BATCH:
                return batch, False
            item = items.get_nowait()
        return batch, True
    except queue.Empty:
        return batch, False


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

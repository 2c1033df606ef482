# SPDX-License-Identifier: BSD-3-Clause
"""The record of one job as the host sees it: what was asked, and the fold of the events in its folder."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Deque, Iterator, List, Mapping, Sequence, Set, Tuple

from google.protobuf.json_format import MessageToDict, ParseDict

from dl4mic import fold
from dl4mic.check import Request
from dl4mic.references import needed_jobs
from dl4mic.v1.job_pb2 import Job, JobEvent
from dl4mic_sdk.events import EventWriter, read_events
from dl4mic_sdk.job_folder import JOB_FILE, JobFolder, read_json, write_json

RECENT = 1000
"""Events of a job that are kept in memory for its watchers."""

_ENDED_BADLY = ("FAILED", "CANCELLED")


class JobRecord:
    """One job: its folder, and the Job message folded from it.

    Parameters
    ----------
    folder
        Of the job; its `job.json` is there.
    first_attempt
        Attempts before it are another host's, and left alone.
    """

    def __init__(self, folder: JobFolder, first_attempt: int = 1) -> None:
        self.folder = folder
        self.first_attempt = first_attempt
        self._changed = threading.Condition()
        self._recent: Deque[JobEvent] = deque(maxlen=RECENT)
        self._job = Job()
        ParseDict(read_json(folder.path / JOB_FILE), self._job)
        self._attempt = first_attempt
        self._offset = 0

    @classmethod
    def create(cls, folder: JobFolder, job: Job, attempt: int) -> JobRecord:
        """Write a new job down and begin its first attempt."""
        folder.make_attempt(attempt)
        write_json(folder.path / JOB_FILE, MessageToDict(job, preserving_proto_field_name=True))
        record = cls(folder, attempt)
        record.change_state(attempt, "PENDING")
        return record

    @property
    def request(self) -> Request:
        """What was asked."""
        request: Request = getattr(self._job, self._job.WhichOneof("request"))
        return request

    @property
    def needed(self) -> Set[str]:
        """Ids of the jobs whose results this one names."""
        return {job_id for _, job_id in needed_jobs(self.request)}

    def job(self) -> Job:
        """Return the job as it is now; a copy."""
        with self._changed:
            self._fold()
            copy = Job()
            copy.CopyFrom(self._job)
        copy.cancel_requested = self.folder.cancel_requested and not fold.has_ended(copy)
        return copy

    def refresh(self) -> None:
        """Take what the worker wrote since, and tell those who wait for it."""
        with self._changed:
            self._fold()

    def wait(self, after: int, seconds: float) -> None:
        """Wait until somebody has found an event behind a sequence number; no longer than so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._job.last_sequence > after, seconds)

    def events(self, after: int) -> List[JobEvent]:
        """Return the events behind a sequence number: the recent ones from memory, else from the files."""
        with self._changed:
            self._fold()
            recent = [event for event in self._recent if event.sequence > after]
            if len(recent) < len(self._recent) or after + 1 >= _first(self._recent):
                return recent
            known = self._attempt
        numbers = range(self.first_attempt, known + 1)
        return [event for number in numbers for event in self._stored(number, after)]

    def _stored(self, attempt: int, after: int) -> Iterator[JobEvent]:
        for _, event in read_events(self.folder.attempt(attempt)):
            if event["sequence"] > after:
                yield ParseDict(event, JobEvent(), ignore_unknown_fields=True)

    def _fold(self) -> None:
        before = self._job.last_sequence
        for event in self._new_events():
            fold.apply(self._job, event)
            self._recent.append(event)
        if self._job.last_sequence != before:
            self._changed.notify_all()

    def _new_events(self) -> Iterator[JobEvent]:
        while True:
            events = read_events(self.folder.attempt(self._attempt), self._offset)
            for offset, event in events:
                self._offset = offset
                yield ParseDict(event, JobEvent(), ignore_unknown_fields=True)
            if not self.folder.attempt(self._attempt + 1).is_dir():
                return
            self._attempt, self._offset = self._attempt + 1, 0

    def change_state(self, attempt: int, state: str, **more: Any) -> None:
        """Add a change of state; only while no worker writes."""
        events = EventWriter(self.folder.make_attempt(attempt))
        try:
            events.append("state", dict(more, state=state))
        finally:
            events.close()
        self.refresh()

    def has_checkpoint(self, attempt: int) -> bool:
        """Whether an attempt left something to go on from."""
        return any("checkpoint" in event for _, event in read_events(self.folder.attempt(attempt)))

    @property
    def was_retried(self) -> bool:
        """Whether somebody opened an attempt by hand."""
        return any(
            event.get("state", {}).get("state") in _ENDED_BADLY
            for attempt in self.folder.attempts()[:-1]
            for _, event in read_events(self.folder.attempt(attempt))
        )

    def failures(self) -> List[Tuple[Mapping[str, Any], bool]]:
        """Return (JobError in JSON, whether it left progress) of the attempts that failed since a retry by hand."""
        found: List[Tuple[Mapping[str, Any], bool]] = []
        progressed = False
        for attempt in self.folder.attempts():
            before, progressed = progressed, False
            for _, event in read_events(self.folder.attempt(attempt)):
                progressed = progressed or "checkpoint" in event
                state = event.get("state", {})
                if state.get("state") in _ENDED_BADLY:
                    found = []
                elif "error" in state:
                    found.append((state["error"], before))
        return found


def _first(events: Sequence[JobEvent]) -> int:
    """Sequence number of the first event; of the next one to come where there is none."""
    return events[0].sequence if events else 1

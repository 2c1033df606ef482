# SPDX-License-Identifier: BSD-3-Clause
"""Runs the jobs of a host one at a time, and brings each to what follows: published, tried again, or ended."""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from dl4mic import retry
from dl4mic.check import Refused
from dl4mic.v1.job_pb2 import Job, JobError
from dl4mic_sdk.host import faults
from dl4mic_sdk.host.attempt import SILENCE_SECONDS, Attempt, End
from dl4mic_sdk.host.record import JobRecord
from dl4mic_sdk.host.waiting import Wait, Waiting
from dl4mic_sdk.job_folder import REQUEST_FILE, write_json

_WRITE_AGAIN_SECONDS = 1.0
"""Pause before what could not be written is written again: a disk may be full for a while."""

log = logging.getLogger("dl4mic.host")


class Runner:
    """Takes jobs in the order in which they came.

    Parameters
    ----------
    record_of
        Record of a job by its id.
    plain
        What a worker is to do for a job; raises `Refused` or `faults.DependencyFailed`.
    instance
        Publication and retries are an orchestrator's.
    on_idle
        Called when a job has ended.
    silence_seconds
        A worker that gives no sign of life for so long is ended.
    """

    def __init__(
        self,
        record_of: Callable[[str], JobRecord],
        plain: Callable[[JobRecord, Job], Dict[str, Any]],
        *,
        instance: bool,
        on_idle: Callable[[], None] = lambda: None,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self._record_of = record_of
        self._plain = plain
        self._instance = instance
        self._on_idle = on_idle
        self._silence_seconds = silence_seconds
        self._changed = threading.Condition()
        self._waiting = Waiting()
        self._deadlines: Dict[str, float] = {}
        self._running = ""
        self._worker: Optional[Attempt] = None
        self._closing = False
        self._thread = threading.Thread(target=self._run_queue, name="jobs")

    def start(self) -> None:
        """Begin to run jobs."""
        self._thread.start()

    def limit(self, job_id: str, seconds: Optional[float]) -> None:
        """Have a job end when its deadline comes, so many seconds from now; None takes the deadline away."""
        with self._changed:
            self._deadlines.pop(job_id, None)
            if seconds is not None:
                self._deadlines[job_id] = time.monotonic() + seconds

    def add(self, job_id: str) -> None:
        """Put a job at the end of the queue."""
        with self._changed:
            self._wait(job_id)

    def cancel(self, record: JobRecord, job: Job) -> None:
        """End a job that waits; ask the worker of a running one to end."""
        with self._changed:
            if job.id == self._running:
                if self._worker is not None:
                    self._worker.stop()
            elif self._waiting.remove(job.id):
                end(record, job.attempt, "CANCELLED", faults.CANCELLED)

    def close(self) -> None:
        """Stop the running worker, leave its job resumable, and take no more."""
        with self._changed:
            self._closing = True
            if self._worker is not None:
                self._worker.stop()
            self._changed.notify_all()
        self._thread.join()

    def fail(self, record: JobRecord, attempt: int, error: Mapping[str, Any]) -> None:
        """End an attempt, and begin another one where the contract's table says so."""
        pause = None if self._instance else _pause(record, attempt, error)
        if pause is None:
            end(record, attempt, "FAILED", error)
            return
        job_id = record.folder.path.name
        words = "{}; trying again{}".format(error["message"], _in(pause))
        log.warning("job %s: attempt %d failed (%s): %s", job_id, attempt, error["code"], words)
        record.change_state(attempt + 1, "PENDING", error=dict(error), waiting_reason=words)
        with self._changed:
            self._wait(job_id, pause.total_seconds())

    def _wait(self, job_id: str, pause_seconds: float = 0.0) -> None:
        due = time.monotonic() + pause_seconds if pause_seconds else 0.0
        needs = frozenset(self._record_of(job_id).needed)
        self._waiting.add(job_id, Wait(due, self._deadlines.get(job_id), needs))
        self._changed.notify_all()

    def _run_queue(self) -> None:
        while True:
            with self._changed:
                job_id = self._next()
            if job_id is None:
                return
            self._run_one(self._record_of(job_id))
            with self._changed:
                self._running = ""
            if self._instance:
                self._on_idle()

    def _next(self) -> Optional[str]:
        """Wait for the job whose turn it is; None when the host closes."""
        while not self._closing:
            self._end_overdue()
            now = time.monotonic()
            job_id = self._waiting.take(now)
            if job_id is not None:
                self._running = job_id
                return job_id
            self._changed.wait(self._waiting.seconds_left(now))
        return None

    def _run_one(self, record: JobRecord) -> None:
        job = record.job()
        try:
            conclusion = self._run(record, job)
        except Exception as error:
            log.exception("job %s: the host failed", job.id)
            fault = faults.of_host(error)

            def conclusion() -> None:
                self.fail(record, job.attempt, fault)

        self._insist(job.id, conclusion)

    def _run(self, record: JobRecord, job: Job) -> Callable[[], None]:
        """Run a worker; return what brings the job to what follows."""
        folder = record.folder.make_attempt(job.attempt)
        try:
            write_json(folder / REQUEST_FILE, self._plain(record, job))
        except (Refused, faults.DependencyFailed) as error:
            words = faults.of_dependency(error)
            return lambda: end(record, job.attempt, "FAILED", words)
        record.change_state(job.attempt, "STARTING")
        deadline = self._deadlines.get(job.id)
        worker = Attempt(folder, deadline, self._silence_seconds, lambda: self._look(record))
        with self._changed:
            self._worker = worker
            if self._closing or record.folder.cancel_requested:
                worker.stop()
        ended = worker.run()
        with self._changed:
            self._worker = None
        return lambda: self._conclude(record, job, ended)

    def _look(self, record: JobRecord) -> None:
        record.refresh()
        with self._changed:
            self._end_overdue()

    def _conclude(self, record: JobRecord, job: Job, ended: End) -> None:
        if ended.done:
            self._succeed(record, job)
        elif record.folder.cancel_requested:
            end(record, job.attempt, "CANCELLED", faults.CANCELLED)
        elif ended.overdue:
            end(record, job.attempt, "FAILED", faults.OVERDUE)
        elif ended.stopped and self._closing:
            log.info("job %s: stopped with the host; it goes on when the host is back", job.id)
        else:
            self.fail(record, job.attempt, ended.fault)

    def _succeed(self, record: JobRecord, job: Job) -> None:
        model = ""
        if not self._instance:
            try:
                record.folder.publish(job.attempt)
            except OSError as error:
                self.fail(record, job.attempt, faults.of_host(error))
                return
            model = "job:" + job.id if (record.folder.artifacts / "model").is_dir() else ""
        record.change_state(job.attempt, "SUCCEEDED", model=model)

    def _end_overdue(self) -> None:
        for job_id in self._waiting.take_overdue(time.monotonic()):
            record = self._record_of(job_id)
            try:
                end(record, record.job().attempt, "FAILED", faults.OVERDUE)
            except OSError:
                again = time.monotonic() + _WRITE_AGAIN_SECONDS
                self._waiting.add(job_id, Wait(again, again))

    def _insist(self, job_id: str, write: Callable[[], None]) -> None:
        """Write how a job ended until that is written: without it, nobody would ever know."""
        while True:
            try:
                write()
                return
            except OSError as error:
                log.error("job %s: how it ended cannot be written: %s", job_id, error)
            with self._changed:
                if self._closing:
                    return
                self._changed.wait(_WRITE_AGAIN_SECONDS)


def end(record: JobRecord, attempt: int, state: str, error: Mapping[str, Any]) -> None:
    """End a job."""
    record.change_state(attempt, state, error=dict(error))


def _pause(record: JobRecord, attempt: int, error: Mapping[str, Any]) -> Optional[timedelta]:
    """Say how long to wait before the next attempt; None when there shall be none."""
    failures = [*record.failures(), (error, record.has_checkpoint(attempt))]
    table = [
        retry.Failure(JobError.Code.Value(each["code"]), progress) for each, progress in failures
    ]
    return retry.pause_before_retry(table, _waited(table))


def _waited(failures: Sequence[retry.Failure]) -> timedelta:
    """Add up the pauses since the newest failure came for the first time in a row: no clock that jumps is asked."""
    waited = timedelta(0)
    row: List[retry.Failure] = []
    for each in reversed(failures[:-1]):
        if each.code != failures[-1].code:
            break
        row.append(each)
        waited += retry.pause_before_retry(row) or timedelta(0)
    return waited


def _in(pause: timedelta) -> str:
    seconds = round(pause.total_seconds())
    return " in {} s".format(seconds) if seconds else ""

# SPDX-License-Identifier: BSD-3-Clause
"""A job on a server: waited for, watched, cancelled, and its results fetched."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

import grpc

from dl4mic.fold import has_ended
from dl4mic.v1 import catalog_pb2, data_pb2, job_pb2
from dl4mic_client import transfer
from dl4mic_client.connection import Connection
from dl4mic_client.errors import JobCancelled, JobFailed, Unreachable

PATIENCE_SECONDS = 120.0
"""How long a watcher tries to find a lost server again."""

_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
# A stream is opened anew this often, so that one whose other end vanished silently is noticed.
_STRETCH_SECONDS = 120.0
_LOG_PAUSE_SECONDS = 1.0
_AWAKE_SECONDS = 0.5

_Arrived = SimpleQueue["job_pb2.JobEvent | grpc.RpcError | None"]


class Job:
    """A job on a server.

    Parameters
    ----------
    connection : Connection
        The server that has it.
    record : dl4mic.v1.job_pb2.Job
        What is known of it.
    """

    def __init__(self, connection: Connection, record: job_pb2.Job) -> None:
        self._connection = connection
        self.record = record

    def __repr__(self) -> str:
        return f"<Job {self.id}: {self.state}>"

    @property
    def id(self) -> str:
        """Id of the job."""
        return self.record.id

    @property
    def state(self) -> str:
        """The state last seen, by its name in the contract: "PENDING", "RUNNING" ..."""
        return job_pb2.Job.State.Name(self.record.state)

    @property
    def has_ended(self) -> bool:
        """Whether the job had ended when it was last looked at."""
        return has_ended(self.record)

    @property
    def model(self) -> str:
        """The name to use for the model that the job makes: "job:ID" until it has one."""
        return self.record.model or f"job:{self.id}"

    @property
    def artifacts(self) -> Sequence[data_pb2.Artifact]:
        """Files and folders that the job has made, as of the last `refresh`."""
        return self.record.artifacts

    def refresh(self) -> Job:
        """Ask the server how the job is now; returns the job itself."""
        request = job_pb2.GetJobRequest(job_id=self.id)
        self.record = self._connection.call(self._connection.jobs.GetJob, request)
        return self

    def watch(
        self,
        after_sequence: int = 0,
        *,
        timeout_seconds: float | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> Iterator[job_pb2.JobEvent]:
        """Yield every event once, in order, until the job has ended.

        A lost connection is taken up again where it was cut. Leaving the iterator never cancels
        the job.

        Parameters
        ----------
        after_sequence : int
            Yield only the events after this one.
        timeout_seconds : float, optional
            Stop watching after this long; the job goes on.
        patience_seconds : float
            How long to look for a lost server.

        Raises
        ------
        Unreachable
            The server was lost and did not come back.
        TimeoutError
            The job had not ended in time.
        """
        last, line = after_sequence, _Line(patience_seconds, timeout_seconds)
        while True:
            try:
                for event in self._stretch(last, line.stretch_seconds()):
                    line.holds()
                    if event.sequence > last:
                        last = event.sequence
                        yield event
                # A server that shuts down ends its streams too.
                if self.refresh().has_ended and self.record.last_sequence <= last:
                    return
            except Unreachable as fault:
                line.is_cut(fault)
            line.pause()

    def _stretch(self, after_sequence: int, seconds: float) -> Iterator[job_pb2.JobEvent]:
        request = job_pb2.WatchJobRequest(job_id=self.id, after_sequence=after_sequence)
        call = self._connection.jobs.WatchJob(request, timeout=seconds)
        arrived: _Arrived = SimpleQueue()
        # gRPC is read in a thread of its own: a Ctrl-C that meets it in its waiting can leave a lock
        # taken for ever, and the job could not even be cancelled after it.
        Thread(target=_pass_on, args=(call, arrived), name="watch", daemon=True).start()
        try:
            while (each := _take(arrived)) is not None:
                if isinstance(each, grpc.RpcError):
                    self._raise_unless_time_is_up(each)
                    return
                yield each
        finally:
            call.cancel()  # type: ignore[no-untyped-call]  # as grpc-stubs has it

    def _raise_unless_time_is_up(self, error: grpc.RpcError) -> None:
        if error.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
            self._connection.revive_after(error)
            raise self._connection.translate(error) from None

    def wait(self, timeout_seconds: float | None = None) -> Job:
        """Wait until the job has succeeded; returns the job itself.

        Parameters
        ----------
        timeout_seconds : float, optional
            Give up waiting (the job goes on) after this long.

        Raises
        ------
        JobFailed, JobCancelled
            It ended otherwise.
        TimeoutError
            It has not ended in time.
        """
        for _ in self.watch(self.record.last_sequence, timeout_seconds=timeout_seconds):
            pass
        return self.result()

    def result(self) -> Job:
        """Return the ended job itself if it succeeded; errors as in `wait`."""
        if self.record.state == job_pb2.Job.FAILED:
            raise JobFailed(self.record)
        if self.record.state == job_pb2.Job.CANCELLED:
            raise JobCancelled(self.record)
        return self

    def cancel(self) -> Job:
        """Ask for the end of the job; it is CANCELLED once its process is gone."""
        request = job_pb2.CancelJobRequest(job_id=self.id)
        self.record = self._connection.call(self._connection.jobs.CancelJob, request)
        return self

    def retry(self) -> Job:
        """Open a new attempt of a failed or cancelled job, from its last checkpoint."""
        request = job_pb2.RetryJobRequest(job_id=self.id)
        self.record = self._connection.call(self._connection.jobs.RetryJob, request)
        return self

    def explain(self) -> catalog_pb2.ExplainJobResponse:
        """Say why the job waits, and for which others."""
        request = catalog_pb2.ExplainJobRequest(job_id=self.id)
        return self._connection.call(self._connection.catalog.ExplainJob, request)

    def delete(self) -> int:
        """Delete the ended job's record and artifacts; models that it published stay.

        Returns
        -------
        int
            Bytes freed.
        """
        request = job_pb2.DeleteJobRequest(job_id=self.id)
        return self._connection.call(self._connection.jobs.DeleteJob, request).freed_bytes

    def log(self, attempt: int = 0, *, follow: bool = False) -> Iterator[str]:
        """Yield the log of an attempt (0: the newest) in pieces; `follow` waits for its end."""
        request = job_pb2.ReadLogRequest(job_id=self.id, attempt=attempt)
        while True:
            part = self._connection.call(self._connection.jobs.ReadLog, request)
            if part.text:
                yield part.text
            at_end = part.next_offset == request.offset
            if at_end and (part.complete or not follow):
                return
            request.offset = part.next_offset
            if at_end:
                time.sleep(_LOG_PAUSE_SECONDS)

    def download(
        self,
        folder: str | os.PathLike[str],
        part: str = "",
        report: transfer.Report | None = None,
    ) -> list[Path]:
        """Fetch what the job has published.

        Parameters
        ----------
        folder : str or path
            Where to put it; made if it is not there. Files of the same name are replaced.
        part : str, optional
            An artifact's path, e.g. ``"predictions"``: its content alone goes into the folder.
        report : callable, optional
            Told how far it is.

        Returns
        -------
        list of Path
            The files written.
        """
        return transfer.pull(self._connection, f"job:{self.id}/{part}", Path(folder), report)

    def read(self, path: str) -> bytes:
        """Return the content of one small published file, e.g. ``"qc.json"``."""
        return transfer.read(self._connection, f"job:{self.id}/{path}")


def _pass_on(call: Iterable[job_pb2.JobEvent], arrived: _Arrived) -> None:
    try:
        for event in call:
            arrived.put(event)
        arrived.put(None)
    except grpc.RpcError as error:
        arrived.put(error)


def _take(arrived: _Arrived) -> job_pb2.JobEvent | grpc.RpcError | None:
    while True:
        with suppress(Empty):
            # Awake now and then: Python may sleep through a Ctrl-C that meets it falling asleep.
            return arrived.get(timeout=_AWAKE_SECONDS)


class _Line:
    """Patience with a line to the server that may be cut, and the time left to hold it."""

    def __init__(self, patience_seconds: float, timeout_seconds: float | None) -> None:
        self._patience = patience_seconds
        self._timeout = timeout_seconds
        self._begun = time.monotonic()
        self._cut_at: float | None = None
        self._pause = _PAUSE_SECONDS

    def stretch_seconds(self) -> float:
        if self._timeout is None:
            return _STRETCH_SECONDS
        left = self._begun + self._timeout - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"The job has not ended after {self._timeout:g} s; it goes on.")
        return min(left, _STRETCH_SECONDS)

    def holds(self) -> None:
        self._cut_at, self._pause = None, _PAUSE_SECONDS

    def is_cut(self, fault: Unreachable) -> None:
        now = time.monotonic()
        self._cut_at = self._cut_at or now
        if now - self._cut_at >= self._patience:
            raise fault

    def pause(self) -> None:
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)

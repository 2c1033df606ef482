# SPDX-License-Identifier: BSD-3-Clause
"""Show and steer jobs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc

from dl4mic import fold
from dl4mic.locations import refuse
from dl4mic.pages import MOST
from dl4mic.server import CHUNK_BYTES
from dl4mic.v1.job_pb2 import (
    CancelJobRequest,
    DeleteJobRequest,
    DeleteJobResponse,
    GetJobRequest,
    Job,
    JobEvent,
    ListJobsRequest,
    ListJobsResponse,
    ReadLogRequest,
    ReadLogResponse,
    RetryJobRequest,
    WatchJobRequest,
)
from dl4mic.v1.job_pb2_grpc import JobServiceServicer
from dl4mic_orchestrator.api.errors import check_unused
from dl4mic_orchestrator.api.room import Room
from dl4mic_orchestrator.dependents import Obstacle
from dl4mic_orchestrator.store.jobs import Filter, JobStore
from dl4mic_orchestrator.trash import JobFolders

_LOG_FILE = "stderr.log"
_DEFAULT_PAGE = 100
_TOKEN = re.compile("[0-9]{1,18}")
_WATCH_SECONDS = 10.0
"""How long a watch sleeps when nobody wakes it; events do, and the end of its call."""


class JobApi(JobServiceServicer):
    """The contract's JobService.

    Parameters
    ----------
    room
        For a job that is opened again.
    wake
        Tells the reconciler that something was written down.
    obstacles
        Job id -> who needs its results.
    """

    def __init__(
        self,
        jobs: JobStore,
        folders: JobFolders,
        room: Room,
        wake: Callable[[], None],
        obstacles: Callable[[str], list[Obstacle]],
    ) -> None:
        self._jobs = jobs
        self._folders = folders
        self._room = room
        self._wake = wake
        self._obstacles = obstacles

    def GetJob(self, request: GetJobRequest, context: grpc.ServicerContext) -> Job:
        """Answer with a job as it is now."""
        return self._jobs.message(request.job_id)

    def ListJobs(self, request: ListJobsRequest, context: grpc.ServicerContext) -> ListJobsResponse:
        """Answer with the jobs that pass the filters, newest first."""
        size = request.page_size or _DEFAULT_PAGE
        if not 0 < size <= MOST:
            raise refuse("page_size", f"{size} is not from 1 to {MOST}")
        if request.page_token and not _TOKEN.fullmatch(request.page_token):
            raise refuse("page_token", "is none of this list's; start at the first page")
        wanted = Filter(
            [int(state) for state in request.states],
            request.network,
            request.project,
            dict(request.labels.items()),
        )
        before = int(request.page_token) if request.page_token else None
        found = self._jobs.newest(wanted, before, size + 1)
        token = str(found[size - 1][0]) if len(found) > size else ""
        return ListJobsResponse(jobs=[job for _, job in found[:size]], next_page_token=token)

    def WatchJob(
        self, request: WatchJobRequest, context: grpc.ServicerContext
    ) -> Iterator[JobEvent]:
        """Send events as they come, until the job has ended."""
        after = request.after_sequence
        with self._jobs.watched(request.job_id) as feed:
            context.add_callback(feed.wake)
            while context.is_active() and not feed.is_over(after):
                for event in feed.behind(after, _WATCH_SECONDS):
                    after = event.sequence
                    yield event

    def ReadLog(self, request: ReadLogRequest, context: grpc.ServicerContext) -> ReadLogResponse:
        """Answer with a piece of an attempt's log."""
        job = self._jobs.message(request.job_id)
        attempt = request.attempt or job.attempt
        if not 0 < attempt <= job.attempt:
            raise refuse("attempt", f"job {job.id} has had {job.attempt} attempts")
        if request.offset < 0:
            raise refuse("offset", f"{request.offset} is below 0")
        piece = _read_piece(
            self._folders.folder / job.id / str(attempt) / _LOG_FILE, request.offset
        )
        over = attempt < job.attempt or fold.has_ended(job)
        return ReadLogResponse(
            text=piece.decode("utf-8", "replace"),
            next_offset=request.offset + len(piece),
            complete=over and len(piece) < CHUNK_BYTES,
        )

    def CancelJob(self, request: CancelJobRequest, context: grpc.ServicerContext) -> Job:
        """Note that a job shall end; it is CANCELLED when its process is gone."""
        job = self._jobs.request_cancel(request.job_id)
        self._wake()
        return job

    def RetryJob(self, request: RetryJobRequest, context: grpc.ServicerContext) -> Job:
        """Open a new attempt of a failed or cancelled job, where a new job would be taken."""
        project = self._jobs.get(request.job_id).project
        job = self._jobs.open_by_hand(request.job_id, self._room.check(project))
        self._wake()
        return job

    def DeleteJob(
        self, request: DeleteJobRequest, context: grpc.ServicerContext
    ) -> DeleteJobResponse:
        """Delete the record and folder of an ended job that no open one needs."""
        self._jobs.get(request.job_id)
        check_unused(f"job {request.job_id}", self._obstacles(request.job_id), "JOB_IN_USE")
        self._jobs.delete(request.job_id)
        return DeleteJobResponse(freed_bytes=self._folders.delete(request.job_id))


def _read_piece(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(min(offset, os.fstat(file.fileno()).st_size))
            return file.read(CHUNK_BYTES)
    except FileNotFoundError:
        return b""

# SPDX-License-Identifier: BSD-3-Clause
"""The contract's calls, answered from `Jobs`."""

from __future__ import annotations

import os
from typing import Any, Callable, Iterator

import grpc

from dl4mic import fold
from dl4mic.locations import refuse
from dl4mic.pages import page
from dl4mic.server import CHUNK_BYTES, is_local
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
from dl4mic.v1.network_pb2 import (
    DescribeRequest,
    Network,
    PredictImageRequest,
    PredictImageResponse,
)
from dl4mic.v1.network_pb2_grpc import NetworkServiceServicer
from dl4mic.v1.request_pb2 import (
    ExportModelRequest,
    ImportModelRequest,
    PredictRequest,
    QcRequest,
    TrainRequest,
)
from dl4mic_sdk.host.describe import describe
from dl4mic_sdk.host.jobs import Jobs
from dl4mic_sdk.job_folder import LOG_FILE

WATCH_SECONDS = 1.0
"""How often a watcher that is gone is noticed; events wake a watch at once."""


class NetworkServicer(NetworkServiceServicer):  # type: ignore[misc]
    """Describes the service's networks and takes their jobs."""

    def __init__(
        self, jobs: Jobs, predict_image: Callable[..., Iterator[PredictImageResponse]]
    ) -> None:
        self._jobs = jobs
        self._predict_image = predict_image

    def Describe(self, request: DescribeRequest, context: grpc.ServicerContext) -> Network:
        """Return the manifest and what this process sees."""
        return describe(self._jobs.network(request.network), self._jobs.service)

    def Train(self, request: TrainRequest, context: grpc.ServicerContext) -> Job:
        """Accept a training."""
        return self._jobs.submit(request, is_local(context), context.peer())

    def Qc(self, request: QcRequest, context: grpc.ServicerContext) -> Job:
        """Accept a quality control."""
        return self._jobs.submit(request, is_local(context), context.peer())

    def Predict(self, request: PredictRequest, context: grpc.ServicerContext) -> Job:
        """Accept the prediction of a folder."""
        return self._jobs.submit(request, is_local(context), context.peer())

    def ImportModel(self, request: ImportModelRequest, context: grpc.ServicerContext) -> Job:
        """Accept the import of a model."""
        return self._jobs.submit(request, is_local(context), context.peer())

    def ExportModel(self, request: ExportModelRequest, context: grpc.ServicerContext) -> Job:
        """Accept the export of a model."""
        return self._jobs.submit(request, is_local(context), context.peer())

    def PredictImage(
        self, requests: Iterator[PredictImageRequest], context: grpc.ServicerContext
    ) -> Iterator[PredictImageResponse]:
        """Predict one image with a warm worker."""
        yield from self._predict_image(requests, is_local(context))


class JobServicer(JobServiceServicer):  # type: ignore[misc]
    """Shows and steers jobs."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def GetJob(self, request: GetJobRequest, context: grpc.ServicerContext) -> Job:
        """Return a job as it is now."""
        return self._jobs.record(request.job_id).job()

    def ListJobs(self, request: ListJobsRequest, context: grpc.ServicerContext) -> ListJobsResponse:
        """Return the jobs that pass the filters, newest first."""
        jobs = [job for job in self._jobs.all() if _passes(job, request)]
        found, token = page(jobs, lambda job: job.id, request.page_size or 100, request.page_token)
        return ListJobsResponse(jobs=found, next_page_token=token)

    def WatchJob(
        self, request: WatchJobRequest, context: grpc.ServicerContext
    ) -> Iterator[JobEvent]:
        """Send the events after a sequence number until the job has ended."""
        record = self._jobs.record(request.job_id)
        after = request.after_sequence
        while context.is_active():
            ended = fold.has_ended(record.job())
            events = record.events(after)
            for event in events:
                after = event.sequence
                yield event
            if ended:
                return
            record.wait(after, WATCH_SECONDS)

    def ReadLog(self, request: ReadLogRequest, context: grpc.ServicerContext) -> ReadLogResponse:
        """Return a piece of an attempt's log."""
        record = self._jobs.record(request.job_id)
        job = record.job()
        attempt = request.attempt or job.attempt
        if not 0 < attempt <= job.attempt:
            raise refuse("attempt", "job {} has had {} attempts".format(job.id, job.attempt))
        if request.offset < 0:
            raise refuse("offset", "{} is below 0".format(request.offset))
        try:
            with (record.folder.attempt(attempt) / LOG_FILE).open("rb") as file:
                file.seek(min(request.offset, os.fstat(file.fileno()).st_size))
                piece = file.read(CHUNK_BYTES)
        except FileNotFoundError:
            piece = b""
        complete = attempt < job.attempt or fold.has_ended(job)
        return ReadLogResponse(
            text=piece.decode("utf-8", "replace"),
            next_offset=request.offset + len(piece),
            complete=complete and len(piece) < CHUNK_BYTES,
        )

    def CancelJob(self, request: CancelJobRequest, context: grpc.ServicerContext) -> Job:
        """Ask for the end of a job."""
        return self._jobs.cancel(request.job_id)

    def RetryJob(self, request: RetryJobRequest, context: grpc.ServicerContext) -> Job:
        """Open a new attempt."""
        return self._jobs.retry(request.job_id)

    def DeleteJob(
        self, request: DeleteJobRequest, context: grpc.ServicerContext
    ) -> DeleteJobResponse:
        """Delete an ended job."""
        return DeleteJobResponse(freed_bytes=self._jobs.delete(request.job_id))


def _passes(job: Job, request: ListJobsRequest) -> bool:
    wanted: Any = dict(request.labels)
    return (
        (not request.states or job.state in request.states)
        and request.network in ("", job.network)
        and request.project in ("", job.project)
        and all(job.labels.get(key) == value for key, value in wanted.items())
    )

# SPDX-License-Identifier: BSD-3-Clause
"""The jobs of a service: accepted, run one at a time, cancelled, tried again, kept on disk.

An *instance* of an orchestrator runs one attempt of one job and leaves publication and retries to it.
"""

from __future__ import annotations

import logging
import shutil
import signal
import threading
import time
import uuid
from collections import deque
from datetime import timedelta
from pathlib import Path
from typing import Any, Callable, Deque, Dict, List, Mapping, Optional

import grpc

from dl4mic import fold, retry
from dl4mic.check import Refused, Request, check_request, verb_word
from dl4mic.contradictions import check_contradictions
from dl4mic.locations import Locations, refuse
from dl4mic.manifest import Service
from dl4mic.plain import request_record
from dl4mic.references import JOB_PREFIX, R, needed_jobs, resolve
from dl4mic.server import RpcError, not_found
from dl4mic.v1.data_pb2 import ModelReference
from dl4mic.v1.job_pb2 import Job, JobError
from dl4mic_sdk.host import faults
from dl4mic_sdk.host.process import EXIT_STOPPED, Worker
from dl4mic_sdk.host.record import JobRecord
from dl4mic_sdk.job_folder import JOB_FILE, REQUEST_FILE, JobFolder, write_json

UPLOADS = ".uploads"

log = logging.getLogger("dl4mic.host")


class Jobs:
    """All jobs of a host.

    Parameters
    ----------
    service
        What they are of.
    folder
        Holds a folder for each job.
    roots
        Data roots, name -> folder.
    attempt
        Number of the one attempt that an instance of an orchestrator runs; None for a service by itself.
    on_idle
        Called by an instance when its job has ended.
    """

    def __init__(
        self,
        service: Service,
        folder: Path,
        roots: Mapping[str, Path],
        attempt: Optional[int] = None,
        on_idle: Callable[[], None] = lambda: None,
    ) -> None:
        self.service = service
        examples = {service.name: service.example}
        self.locations = Locations(roots, folder / UPLOADS, self._artifacts_of, examples)
        self._folder = folder
        self._attempt = attempt
        self._on_idle = on_idle
        self._records: Dict[str, JobRecord] = {}
        self._queue: Deque[str] = deque()
        self._changed = threading.Condition()
        self._worker: Optional[Worker] = None
        self._running: Optional[str] = None
        self._closing = False
        self._local: Dict[str, bool] = {}
        if attempt is None:
            self._find_jobs()
        self._thread = threading.Thread(target=self._run_queue, name="jobs")
        self._thread.start()

    def submit(self, request: Request, local: bool, caller: str) -> Job:
        """Accept a job, or return the one that was accepted under its id.

        Raises
        ------
        dl4mic.check.Refused
            The request is at fault.
        RpcError
            The network is unknown, or the id belongs to another request.
        """
        network = self.network(request.network)
        check_request(request, network)
        check_contradictions(request, network, self.service.records[network.name]["parameters"])
        job_id = request.options.job_id or "{}-{}".format(
            verb_word(request).partition("_")[0], uuid.uuid4().hex[:8]
        )
        with self._changed:
            if job_id in self._records:
                return self._same(self._records[job_id], request)
            self._refuse_second()
            self.resolved(request, local)
            record = self._create(job_id, request, local, caller)
            self._enqueue(job_id)
            return record.job()

    def network(self, name: str) -> Any:
        """Return the Network message of a name.

        Raises
        ------
        RpcError
            There is none.
        """
        try:
            return self.service.network(name)
        except KeyError:
            there = ", ".join(self.service.networks)
            message = "there is no network {!r} here; there is {}".format(name, there)
            raise not_found(message, "NETWORK_NOT_FOUND") from None

    def resolved(self, request: R, local: bool) -> R:
        """Copy a request with absolute paths for all locations and models.

        Raises
        ------
        dl4mic.check.Refused
            One of them cannot be found, or must not be used by this caller.
        """
        return resolve(
            request,
            lambda field, location: str(self.locations.find(location, field, local)),
            lambda field, model: self._found(field, model, local),
        )

    def _found(self, field: str, model: ModelReference, local: bool) -> ModelReference:
        """Find the folder of what a job trained, or of a location."""
        location = model.location or self._location_of(field, model.name)
        model.location = str(self.locations.find(location, field + ".name", local))
        return model

    def _location_of(self, field: str, name: str) -> str:
        if self.locations.is_location(name):
            return name
        if name.startswith(JOB_PREFIX):
            return name + "/model"
        words = "{!r}: a service by itself keeps no named models; use job:ID of the training, or ROOT:PATH"
        raise refuse(field + ".name", words.format(name))

    def record(self, job_id: str) -> JobRecord:
        """Return the record of a job.

        Raises
        ------
        RpcError
            There is none.
        """
        try:
            return self._records[job_id]
        except KeyError:
            raise not_found("there is no job {!r}".format(job_id), "JOB_NOT_FOUND") from None

    def all(self) -> List[Job]:
        """Return all jobs, newest first."""
        jobs = [record.job() for record in list(self._records.values())]
        return sorted(jobs, key=lambda job: (job.create_time.ToNanoseconds(), job.id), reverse=True)

    def cancel(self, job_id: str) -> Job:
        """Ask for the end of a job; a running one ends when its worker is gone."""
        record = self.record(job_id)
        with self._changed:
            job = record.job()
            if fold.has_ended(job):
                return job
            record.folder.request_cancel()
            if job_id == self._running:
                if self._worker is not None:
                    self._worker.stop()
            elif job_id in self._queue:
                self._queue.remove(job_id)
                self._end(record, job.attempt, "CANCELLED", faults.CANCELLED)
        return record.job()

    def retry(self, job_id: str) -> Job:
        """Open a new attempt of a job that failed or was cancelled."""
        record = self.record(job_id)
        with self._changed:
            job = record.job()
            if job.state not in (Job.FAILED, Job.CANCELLED):
                raise _precondition(
                    job, "only a failed or cancelled job can be tried again", "JOB_NOT_FAILED"
                )
            record.folder.forget_cancel()
            record.change_state(job.attempt + 1, "PENDING")
            self._enqueue(job_id)
        return record.job()

    def delete(self, job_id: str) -> int:
        """Delete an ended job; return the bytes that were freed."""
        record = self.record(job_id)
        with self._changed:
            job = record.job()
            if not fold.has_ended(job):
                raise _precondition(job, "cancel it before you delete it", "JOB_NOT_ENDED")
            del self._records[job_id]
        freed = sum(each.stat().st_size for each in record.folder.path.rglob("*") if each.is_file())
        shutil.rmtree(str(record.folder.path))
        return freed

    def close(self) -> None:
        """Stop the running worker, leave its job resumable, and take no more."""
        with self._changed:
            self._closing = True
            if self._worker is not None:
                self._worker.stop()
            self._changed.notify_all()
        self._thread.join()

    def _artifacts_of(self, job_id: str) -> Path:
        return self._records[job_id].folder.artifacts

    def _same(self, record: JobRecord, request: Request) -> Job:
        if record.request != request:
            message = "job {!r} was accepted with another request".format(record.folder.path.name)
            raise RpcError(
                grpc.StatusCode.ALREADY_EXISTS, message, "JOB_EXISTS", "Choose another id."
            )
        return record.job()

    def _refuse_second(self) -> None:
        if self._attempt is not None and self._records:
            message = "this instance works on job {}".format(", ".join(self._records))
            raise RpcError(grpc.StatusCode.FAILED_PRECONDITION, message, "INSTANCE_BUSY")

    def _create(self, job_id: str, request: Request, local: bool, caller: str) -> JobRecord:
        options = request.options
        job = Job(
            id=job_id,
            title=options.title,
            network=self.network(request.network).name,
            project=options.project or "default",
            caller=caller,
            priority=options.priority,
            labels=dict(options.labels),
        )
        getattr(job, verb_word(request)).CopyFrom(request)
        job.create_time.GetCurrentTime()
        if options.HasField("deadline"):
            job.deadline_time.FromNanoseconds(
                job.create_time.ToNanoseconds() + options.deadline.ToNanoseconds()
            )
        folder = JobFolder(self._folder / job_id)
        record = JobRecord.create(folder, job, self._attempt or 1)
        self._records[job_id] = record
        self._local[job_id] = local
        return record

    def _enqueue(self, job_id: str) -> None:
        self._queue.append(job_id)
        self._changed.notify_all()

    def _find_jobs(self) -> None:
        """Take up the jobs of the host that ran here before; its workers died with it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.iterdir():
            if (path / JOB_FILE).exists():
                self._records[path.name] = JobRecord(JobFolder(path))
        for job in reversed(self.all()):
            if not fold.has_ended(job):
                self._take_up(self._records[job.id], job)

    def _take_up(self, record: JobRecord, job: Job) -> None:
        self._local[job.id] = True  # its locations were checked when it was accepted
        if job.state == Job.PENDING:
            self._queue.append(job.id)
        elif record.folder.cancel_requested:
            self._end(record, job.attempt, "CANCELLED", faults.CANCELLED)
        else:
            self._fail(record, job.attempt, faults.HOST_DIED)

    def _run_queue(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return
                job_id = self._running = self._queue.popleft()
            record = self._records[job_id]
            try:
                self._run(record)
            except Exception as error:
                log.exception("job %s: the host failed", job_id)
                self._end(record, record.job().attempt, "FAILED", faults.of_host(error))
            with self._changed:
                self._running = None
            if self._attempt is not None:
                self._on_idle()

    def _run(self, record: JobRecord) -> None:
        job = record.job()
        folder = record.folder.make_attempt(job.attempt)
        try:
            write_json(folder / REQUEST_FILE, self._plain(record, job))
        except (Refused, faults.DependencyFailed) as error:
            self._end(record, job.attempt, "FAILED", faults.of_dependency(error))
            return
        record.change_state(job.attempt, "STARTING")
        with self._changed:
            self._worker = Worker(folder)
            if self._closing or record.folder.cancel_requested:
                self._worker.stop()
        deadline = self._watch_deadline(job)
        status = self._worker.wait()
        if deadline is not None:
            deadline.cancel()
        with self._changed:
            self._worker = None
        self._conclude(record, job, status)

    def _plain(self, record: JobRecord, job: Job) -> Dict[str, Any]:
        for _, needed in needed_jobs(record.request):
            known = self._records.get(needed)
            if known is None or known.job().state != Job.SUCCEEDED:
                raise faults.DependencyFailed(needed)
        request = self.resolved(record.request, self._local[job.id])
        previous = record.folder.previous(job.attempt)
        return request_record(
            request,
            self.service,
            job_id=job.id,
            attempt=job.attempt,
            previous=str(previous) if previous else None,
        )

    def _watch_deadline(self, job: Job) -> Optional[threading.Timer]:
        if not job.HasField("deadline_time") or self._worker is None:
            return None
        seconds = job.deadline_time.ToNanoseconds() / 1e9 - time.time()
        timer = threading.Timer(max(seconds, 0.0), self._worker.stop)
        timer.daemon = True
        timer.start()
        return timer

    def _conclude(self, record: JobRecord, job: Job, status: int) -> None:
        overdue = (
            job.HasField("deadline_time") and time.time() * 1e9 >= job.deadline_time.ToNanoseconds()
        )
        if status == 0:
            self._succeed(record, job)
        elif record.folder.cancel_requested:
            self._end(record, job.attempt, "CANCELLED", faults.CANCELLED)
        elif overdue:
            self._end(record, job.attempt, "FAILED", faults.OVERDUE)
        elif status in (EXIT_STOPPED, -signal.SIGTERM) and self._closing:
            log.info("job %s: stopped with the host; it goes on when the host is back", job.id)
        else:
            self._fail(
                record, job.attempt, faults.of_worker(record.folder.attempt(job.attempt), status)
            )

    def _succeed(self, record: JobRecord, job: Job) -> None:
        model = ""
        if self._attempt is None:
            record.folder.publish(job.attempt)
            model = "job:" + job.id if (record.folder.artifacts / "model").is_dir() else ""
        record.change_state(job.attempt, "SUCCEEDED", model=model)

    def _fail(self, record: JobRecord, attempt: int, error: Mapping[str, Any]) -> None:
        """End the attempt, and begin another one where the contract's table says so."""
        failures = [*record.failures(), (error, record.has_checkpoint(attempt))]
        table = [
            retry.Failure(JobError.Code.Value(each["code"]), progress)
            for each, progress in failures
        ]
        if self._attempt is None and retry.pause_before_retry(table) == timedelta(0):
            log.warning(
                "job %s: attempt %d failed (%s); trying again",
                record.folder.path.name,
                attempt,
                error,
            )
            record.change_state(attempt + 1, "PENDING", error=error, waiting_reason="trying again")
            with self._changed:
                self._enqueue(record.folder.path.name)
        else:
            self._end(record, attempt, "FAILED", error)

    def _end(self, record: JobRecord, attempt: int, state: str, error: Mapping[str, Any]) -> None:
        record.change_state(attempt, state, error=dict(error))


def _precondition(job: Job, words: str, reason: str) -> RpcError:
    message = "job {} is {}: {}".format(job.id, Job.State.Name(job.state), words)
    return RpcError(grpc.StatusCode.FAILED_PRECONDITION, message, reason)

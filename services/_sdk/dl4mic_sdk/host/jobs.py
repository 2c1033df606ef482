# SPDX-License-Identifier: BSD-3-Clause
"""The jobs of a service: accepted, run one at a time, cancelled, tried again, kept on disk.

An *instance* of an orchestrator runs one attempt of one job and leaves publication and retries to it.
"""

from __future__ import annotations

import errno
import shutil
import threading
import time
import uuid
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional

import grpc

from dl4mic import fold
from dl4mic.check import Request, check_request, verb_word
from dl4mic.contradictions import check_contradictions
from dl4mic.locations import Locations, refuse
from dl4mic.manifest import Service
from dl4mic.plain import request_record
from dl4mic.references import JOB_PREFIX, R, makes_model, resolve
from dl4mic.server import RpcError, not_found
from dl4mic.v1.data_pb2 import ModelReference
from dl4mic.v1.job_pb2 import Job
from dl4mic_sdk.host import faults
from dl4mic_sdk.host.attempt import SILENCE_SECONDS
from dl4mic_sdk.host.record import JobRecord
from dl4mic_sdk.host.runner import Runner, end
from dl4mic_sdk.job_folder import JOB_FILE, JobFolder

UPLOADS = ".uploads"
DELETED = ".deleted"
"""Holds what is being deleted: a job whose deletion is cut short must not come back, with a part of its files."""

ROOM_BYTES = 16 << 20
"""On the disk of the jobs; with less, a new one is refused."""


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
    silence_seconds
        A worker that gives no sign of life for so long is UNRESPONSIVE.
    """

    def __init__(
        self,
        service: Service,
        folder: Path,
        roots: Mapping[str, Path],
        attempt: Optional[int] = None,
        on_idle: Callable[[], None] = lambda: None,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self.service = service
        examples = {service.name: service.example}
        self.locations = Locations(roots, folder / UPLOADS, self._artifacts_of, examples)
        self._folder = folder
        self._attempt = attempt
        self._records: Dict[str, JobRecord] = {}
        self._local: Dict[str, bool] = {}
        self._lock = threading.Lock()
        self._runner = Runner(
            self.record,
            self._plain,
            instance=attempt is not None,
            on_idle=on_idle,
            silence_seconds=silence_seconds,
        )
        if attempt is None:
            self._find_jobs()
        self._runner.start()

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
        with self._lock:
            if job_id in self._records:
                return self._same(self._records[job_id], request)
            self._refuse_second()
            self._refuse_when_full()
            self.resolved(request, local)
            record = self._create(job_id, request, local, caller)
            if request.options.HasField("deadline"):
                self._runner.limit(job_id, request.options.deadline.ToNanoseconds() / 1e9)
            self._runner.add(job_id)
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

    def resolved(self, request: R, local: bool, be_there: bool = True) -> R:
        """Copy a request with absolute paths for all locations and models.

        Parameters
        ----------
        local
            The caller came by the Unix socket; that of an instance need not.
        be_there
            Refuse what is not there.

        Raises
        ------
        dl4mic.check.Refused
            One of them cannot be found, or must not be used by this caller.
        """
        find = self.locations.find if be_there else self.locations.resolve
        # An instance's one caller is its orchestrator, however it comes, which has asked its own callers.
        local = local or self._attempt is not None

        def found(field: str, model: ModelReference) -> ModelReference:
            location = model.location or self._location_of(field, model.name)
            model.location = str(find(location, field + ".name", local))
            return model

        return resolve(request, lambda field, location: str(find(location, field, local)), found)

    def _location_of(self, field: str, name: str) -> str:
        if self.locations.is_location(name):
            return name
        if name.startswith(JOB_PREFIX):
            self._check_makes_model(field, name[len(JOB_PREFIX) :])
            return name + "/model"
        words = "{!r}: a service by itself keeps no named models; use job:ID of the training, or ROOT:PATH"
        raise refuse(field + ".name", words.format(name))

    def _check_makes_model(self, field: str, job_id: str) -> None:
        known = self._records.get(job_id)
        if known is not None and not makes_model(known.job()):
            raise refuse(field + ".name", "job {} makes no model".format(job_id))

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
        with self._lock:
            job = record.job()
            if fold.has_ended(job):
                return job
            record.folder.request_cancel()
            self._runner.cancel(record, job)
        return record.job()

    def retry(self, job_id: str) -> Job:
        """Open a new attempt of a job that failed or was cancelled."""
        record = self.record(job_id)
        with self._lock:
            job = record.job()
            if job.state not in (Job.FAILED, Job.CANCELLED):
                raise _precondition(
                    job, "only a failed or cancelled job can be tried again", "JOB_NOT_FAILED"
                )
            self._refuse_when_full()
            record.folder.forget_cancel()
            record.change_state(job.attempt + 1, "PENDING")
            self._runner.limit(job_id, None)
            self._runner.add(job_id)
        return record.job()

    def delete(self, job_id: str) -> int:
        """Delete an ended job; return the bytes that were freed."""
        record = self.record(job_id)
        with self._lock:
            job = record.job()
            if not fold.has_ended(job):
                raise _precondition(job, "cancel it before you delete it", "JOB_NOT_ENDED")
            needing = [each for each in self._open() if job_id in self._records[each].needed]
            if needing:
                words = "job {} needs what it made; cancel that first".format(", ".join(needing))
                raise _precondition(job, words, "JOB_NEEDED")
            aside = self._put_aside(record.folder.path)
            self._runner.limit(job_id, None)
            del self._records[job_id]
        freed = sum(each.stat().st_size for each in aside.rglob("*") if each.is_file())
        shutil.rmtree(str(aside), ignore_errors=True)
        return freed

    def close(self) -> None:
        """Stop the running worker, leave its job resumable, and take no more."""
        self._runner.close()

    def _open(self) -> List[str]:
        """Ids of the jobs that have not ended."""
        return [job.id for job in self.all() if not fold.has_ended(job)]

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

    def _refuse_when_full(self) -> None:
        if self._attempt is None and shutil.disk_usage(str(self._folder)).free < ROOM_BYTES:
            raise OSError(errno.ENOSPC, "less than {} MiB are free".format(ROOM_BYTES >> 20))

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
        record = self._recorded(JobFolder(self._folder / job_id), job)
        self._records[job_id] = record
        self._local[job_id] = local
        return record

    def _recorded(self, folder: JobFolder, job: Job) -> JobRecord:
        """Write a job down whole, or leave nothing of it."""
        is_new = not folder.path.exists()
        try:
            return JobRecord.create(folder, job, self._attempt or 1)
        except OSError:
            if is_new:
                shutil.rmtree(str(folder.path), ignore_errors=True)
            raise

    def _put_aside(self, folder: Path) -> Path:
        """Take the folder of a job out of the way of the next one of its id, by one rename."""
        aside = self._folder / DELETED / "{}-{}".format(folder.name, uuid.uuid4().hex[:8])
        aside.parent.mkdir(exist_ok=True)
        folder.rename(aside)
        return aside

    def _find_jobs(self) -> None:
        """Take up the jobs of the host that ran here before; its workers died with it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(str(self._folder / DELETED), ignore_errors=True)
        for path in self._folder.iterdir():
            if (path / JOB_FILE).exists():
                self._records[path.name] = JobRecord(JobFolder(path))
        for job in reversed(self.all()):
            if not fold.has_ended(job):
                self._take_up(self._records[job.id], job)

    def _take_up(self, record: JobRecord, job: Job) -> None:
        self._local[job.id] = True  # its locations were checked when it was accepted
        self._runner.limit(job.id, _seconds_left(record, job))
        if record.folder.cancel_requested:
            end(record, job.attempt, "CANCELLED", faults.CANCELLED)
        elif job.state == Job.PENDING:
            self._runner.add(job.id)
        else:
            self._runner.fail(record, job.attempt, faults.HOST_DIED)

    def _plain(self, record: JobRecord, job: Job) -> Dict[str, Any]:
        for needed in record.needed:
            known = self._records.get(needed)
            if known is None or known.job().state != Job.SUCCEEDED:
                raise faults.DependencyFailed(needed)
        request = self.resolved(record.request, self._local[job.id], be_there=False)
        previous = record.folder.previous(job.attempt)
        return request_record(
            request,
            self.service,
            job_id=job.id,
            attempt=job.attempt,
            previous=str(previous) if previous else None,
        )


def _seconds_left(record: JobRecord, job: Job) -> Optional[float]:
    """Until the deadline, as the time of day has it: the host that knew better is gone."""
    if not job.HasField("deadline_time") or record.was_retried:
        return None
    return max(job.deadline_time.ToNanoseconds() / 1e9 - time.time(), 0.0)


def _precondition(job: Job, words: str, reason: str) -> RpcError:
    message = "job {} is {}: {}".format(job.id, Job.State.Name(job.state), words)
    return RpcError(grpc.StatusCode.FAILED_PRECONDITION, message, reason)

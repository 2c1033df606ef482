# SPDX-License-Identifier: BSD-3-Clause
"""Write down for an attempt what it is to do, with everything that the request refers to found."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dl4mic import references
from dl4mic.check import Request
from dl4mic.locations import Locations
from dl4mic.plain import request_record
from dl4mic.v1.data_pb2 import ModelReference
from dl4mic.v1.job_pb2 import Job as JobMessage
from dl4mic.v1.job_pb2 import JobError
from dl4mic.v1.request_pb2 import JobOptions
from dl4mic_orchestrator.catalog import Catalog
from dl4mic_orchestrator.records import Grant
from dl4mic_orchestrator.registry import BrokenModelError, Registry
from dl4mic_orchestrator.store.jobs import JobNotFoundError, JobStore
from dl4mic_orchestrator.store.models import ModelNotFoundError

REQUEST_FILE = "request.json"
ARTIFACTS = "artifacts"
CANCEL_FILE = "cancel"


class BriefingError(Exception):
    """Something that the request refers to is not there any more."""

    def __init__(self, error: JobError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(frozen=True)
class Briefing:
    """Finds what requests refer to.

    Attributes
    ----------
    folder
        Of all jobs.
    """

    jobs: JobStore
    registry: Registry
    catalog: Catalog
    locations: Locations
    folder: Path

    def attempt_folder(self, job_id: str, attempt: int) -> Path:
        """Name the folder of an attempt."""
        return self.folder / job_id / str(attempt)

    def write(self, job: JobMessage) -> Path:
        """Write request.json of the job's present attempt, for the data check; return the attempt's folder.

        Raises
        ------
        BriefingError
            A model or result that the request names is gone.
        """
        folder = self.attempt_folder(job.id, job.attempt)
        (folder / ARTIFACTS).mkdir(parents=True, exist_ok=True)
        # What was said to an attempt that was cancelled is not meant for the one that was opened by hand after it.
        (self.folder / job.id / CANCEL_FILE).unlink(missing_ok=True)
        previous = self.attempt_folder(job.id, job.attempt - 1)
        record = request_record(
            self.request(job),
            self.catalog.service(job.network),
            job_id=job.id,
            attempt=job.attempt,
            previous=str(previous) if previous.is_dir() else None,
        )
        _write_json(folder / REQUEST_FILE, record)
        return folder

    def request(self, job: JobMessage, grant: Grant | None = None) -> Request:
        """Give the request as an instance takes it: absolute paths, model folders, the device that was granted.

        Raises
        ------
        BriefingError
            A model or result that the request names is gone.
        """
        pinned = self.jobs.pinned_models(job.id)
        request = references.resolve(
            references.request_of(job),
            lambda field, location: str(self.locations.resolve(location, field, local=True)),
            lambda field, model: self._find(field, model, pinned),
        )
        request.network = job.network
        request.options.job_id = job.id
        # Deadlines are kept here: an instance would count from its own start.
        request.options.ClearField("deadline")
        if grant is not None:
            request.options.device = JobOptions.GPU if grant.gpus else JobOptions.CPU
        return request

    def reads(self, job: JobMessage) -> tuple[Path, ...]:
        """List the files and folders besides its own that a job reads.

        Raises
        ------
        BriefingError
            A model or result that the request names is gone.
        """
        request = self.request(job)
        named = [path for _, path in references.folders(request)]
        for _, data in references.datasets(request):
            named += [data.source, data.target]
        named += [model.location for _, model in references.models(request)]
        return tuple(sorted({Path(path) for path in named if path}))

    def model_digests(self, job: JobMessage) -> dict[str, str]:
        """Tell the digests of the registered models that a job's request names, by the name its results use."""
        pinned = self.jobs.pinned_models(job.id)
        tags = (
            self._tag(model.name, pinned)
            for _, model in references.models(references.request_of(job))
        )
        return {tag: self.registry.rows.find(tag).digest for tag in tags if tag}

    def _find(self, field: str, model: ModelReference, pinned: dict[str, str]) -> ModelReference:
        tag = self._tag(model.name, pinned)
        if not tag:
            path = self.locations.resolve(model.name, f"{field}.name", local=True)
            return ModelReference(name=model.name, weights=model.weights, location=str(path))
        try:
            path = self.registry.folder(self.registry.rows.find(tag))
        except (ModelNotFoundError, BrokenModelError) as error:
            raise _gone(JobError.INVALID_INPUT, str(error), "Choose another model.") from error
        return ModelReference(name=tag, weights=model.weights, location=str(path))

    def _tag(self, name: str, pinned: dict[str, str]) -> str:
        """Give ``NAME:VERSION`` of a reference; empty when it is a folder."""
        if name in pinned:
            return pinned[name]
        if not name.startswith(references.JOB_PREFIX) or "/" in name:
            return ""
        job_id = name.removeprefix(references.JOB_PREFIX)
        try:
            model = self.jobs.message(job_id).model
        except JobNotFoundError:
            model = ""
        if not model:
            hint = "Train the model anew, or name another one."
            raise _gone(JobError.DEPENDENCY_FAILED, f"job {job_id} has made no model", hint)
        return model


def _gone(code: JobError.Code, message: str, hint: str) -> BriefingError:
    return BriefingError(JobError(code=code, message=message, hint=hint))


def _write_json(path: Path, content: Any) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)

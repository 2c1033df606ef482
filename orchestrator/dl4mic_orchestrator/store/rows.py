# SPDX-License-Identifier: BSD-3-Clause
"""Translate between the contract's messages and the rows of jobs and events. Pure, but for the clock."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Row

from dl4mic import fold
from dl4mic.v1.job_pb2 import Job as JobMessage
from dl4mic.v1.job_pb2 import JobError, JobEvent, StateChange
from dl4mic.v1.request_pb2 import JobOptions
from dl4mic_orchestrator import steady
from dl4mic_orchestrator.records import Device, Job, JobState
from dl4mic_orchestrator.store import tables


def is_progress(job: JobMessage, event: JobEvent) -> bool:
    """Say whether a new attempt would take up where this event was: epochs are lost without a checkpoint."""
    finished_item = (
        event.HasField("progress") and event.progress.done > 0 and not job.HasField("train")
    )
    return event.HasField("checkpoint") or finished_item


def event_row(job_id: str, source_sequence: int | None, event: JobEvent) -> dict[str, Any]:
    """Give the row of an event."""
    return {
        "job_id": job_id,
        "sequence": event.sequence,
        "attempt": event.attempt,
        "source_sequence": source_sequence,
        "message": event.SerializeToString(),
    }


def state_event(
    attempt: int,
    state: JobState,
    waiting_reason: str = "",
    error: JobError | None = None,
    model: str = "",
) -> JobEvent:
    """Make an event that changes a job's state, now."""
    change = StateChange(
        state=JobMessage.State.Name(int(state)),
        waiting_reason=waiting_reason,
        error=error,
        model=model,
    )
    now = Timestamp()
    now.GetCurrentTime()
    return JobEvent(time=now, attempt=attempt, state=change)


def keep_error(job: JobMessage, event: JobEvent) -> None:
    """Let a job go on saying why its attempt before ended, while it waits."""
    if job.HasField("error"):
        event.state.error.CopyFrom(job.error)


def says_the_same(job: JobMessage, change: StateChange) -> bool:
    """Say whether a change of state changes nothing."""
    known = StateChange(state=job.state, waiting_reason=job.waiting_reason, model=job.model)
    if job.HasField("error"):
        known.error.CopyFrom(job.error)
    return known == change


def born(job: JobMessage) -> tuple[JobMessage, JobEvent]:
    """Give a job its first attempt, its times and its first event, which it is the fold of."""
    born = JobMessage()
    born.CopyFrom(job)
    born.attempt = 1
    born.create_time.GetCurrentTime()
    options = getattr(job, job.WhichOneof("request")).options
    if options.HasField("deadline"):
        born.deadline_time.FromNanoseconds(
            born.create_time.ToNanoseconds() + options.deadline.ToNanoseconds()
        )
    first = state_event(1, JobState.PENDING)
    first.sequence = 1
    fold.apply(born, first)
    return born, first


def new_row(
    job: JobMessage, digest: str, depends_on: Sequence[str], pinned: Mapping[str, str]
) -> dict[str, Any]:
    """Give the row of a new job."""
    options = getattr(job, job.WhichOneof("request")).options
    deadline = None
    if options.HasField("deadline"):
        deadline = steady.now() + options.deadline.ToNanoseconds() / 1e9
    return {
        "id": job.id,
        "network": job.network,
        "project": job.project,
        "state": int(JobState.PENDING),
        "attempt": 1,
        "priority": job.priority,
        "device": _device(job, options),
        "depends_on": list(depends_on),
        "pinned_models": dict(pinned),
        "deadline_time": deadline,
        "cancel_requested": False,
        "prepared_attempt": 0,
        "progressed": False,
        "failures": [],
        "request_digest": digest,
        "message": job.SerializeToString(),
    }


def _device(job: JobMessage, options: JobOptions) -> int:
    """Give the device that a job asks for; finished predictions are scored without the network's GPU."""
    return JobOptions.CPU if job.qc.prediction else options.device or JobOptions.AUTO


def request_digest(job: JobMessage) -> str:
    """Digest what a job was asked, to tell one request from another."""
    verb = job.WhichOneof("request")
    content = getattr(job, verb).SerializeToString(deterministic=True)
    return hashlib.sha256(verb.encode() + b"\0" + content).hexdigest()


def planned(row: Row[Any]) -> Job:
    """Read a job as the plan sees it."""
    return Job(
        id=row.id,
        network=row.network,
        state=JobState(row.state),
        attempt=row.attempt,
        project=row.project,
        priority=row.priority,
        order=row.order,
        device=Device(row.device),
        depends_on=tuple(row.depends_on),
        deadline_time=row.deadline_time,
        retry_time=row.retry_time,
        cancel_requested=row.cancel_requested,
        prepared_attempt=row.prepared_attempt,
    )


PLANNED = tuple(
    column
    for column in tables.jobs.c
    if column.name not in ("message", "pinned_models", "progressed", "failures", "request_digest")
)
"""The columns that `planned` reads: messages are long, and a queue has many."""

# SPDX-License-Identifier: BSD-3-Clause
"""Folds events into a job: its state is nothing else, in a lone service and in an orchestrator alike."""

from __future__ import annotations

from typing import Any

from dl4mic.v1.job_pb2 import Job, JobEvent, StateChange

ENDED = (Job.SUCCEEDED, Job.FAILED, Job.CANCELLED)
"""States that a job leaves only by RetryJob."""

MOST_WARNINGS = 100


def has_ended(job: Job) -> bool:
    """Whether the job has come to an end."""
    return job.state in ENDED


def apply(job: Job, event: JobEvent) -> None:
    """Fold one event into the job, in place."""
    job.last_sequence = event.sequence
    kind = event.WhichOneof("event")
    if kind == "state":
        _apply_state(job, event)
    elif kind == "progress":
        job.progress.CopyFrom(event.progress)
    elif kind == "metric":
        _replace(job.metrics, event.metric, "name")
    elif kind == "artifact":
        _replace(job.artifacts, event.artifact, "path")
    elif kind == "warning":
        _add_new(job.warnings, event.warning)


def _apply_state(job: Job, event: JobEvent) -> None:
    change: StateChange = event.state
    if event.attempt > job.attempt:
        _begin_attempt(job, event.attempt)
    job.state = change.state
    job.waiting_reason = change.waiting_reason
    job.ClearField("error")
    if change.HasField("error"):
        job.error.CopyFrom(change.error)
    if change.model:
        job.model = change.model
    if change.state == Job.RUNNING:
        job.start_time.CopyFrom(event.time)
    if has_ended(job):
        job.end_time.CopyFrom(event.time)


def _begin_attempt(job: Job, attempt: int) -> None:
    job.attempt = attempt
    for field in ("start_time", "end_time", "progress", "artifacts", "cancel_requested"):
        job.ClearField(field)


def _add_new(entries: Any, entry: Any) -> None:
    if entry not in entries and len(entries) < MOST_WARNINGS:
        entries.append(entry)


def _replace(entries: Any, entry: Any, key: str) -> None:
    for known in entries:
        if getattr(known, key) == getattr(entry, key):
            known.CopyFrom(entry)
            return
    entries.add().CopyFrom(entry)

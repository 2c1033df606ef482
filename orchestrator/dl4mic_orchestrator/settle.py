# SPDX-License-Identifier: BSD-3-Clause
"""Bring a job from the end of an attempt to what follows: published, tried again, or ended."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from dl4mic import references, retry
from dl4mic.v1.job_pb2 import Job as JobMessage
from dl4mic.v1.job_pb2 import JobError
from dl4mic_orchestrator import steady
from dl4mic_orchestrator.briefing import ARTIFACTS, Briefing, BriefingError
from dl4mic_orchestrator.follow import Outcome
from dl4mic_orchestrator.plan import Cause
from dl4mic_orchestrator.records import Failure, JobState
from dl4mic_orchestrator.registry import Origin, Registry
from dl4mic_orchestrator.shortage import of_system
from dl4mic_orchestrator.store import StoreError
from dl4mic_orchestrator.store.jobs import JobStore

log = logging.getLogger(__name__)

_ENDS = {
    Cause.CANCELLED: (
        JobState.CANCELLED,
        JobError.CANCELLED,
        "cancelled as asked",
        "Retry it to go on where it was.",
    ),
    Cause.DEADLINE: (
        JobState.FAILED,
        JobError.DEADLINE,
        "the job had not ended when its deadline came",
        "Retry it to go on where it was, or give a new job more time.",
    ),
    Cause.DEPENDENCY_FAILED: (
        JobState.FAILED,
        JobError.DEPENDENCY_FAILED,
        "job {about} did not succeed, and this job needs its result",
        "See why that job failed and retry it, then retry this one.",
    ),
}


class Meter(Protocol):
    """Counts, for the metrics."""

    def failed(self, network: str, error: JobError) -> None:
        """Take an attempt that failed."""

    def ended(self, job: JobMessage) -> None:
        """Take a job that has ended."""


@dataclass(frozen=True)
class Settlement:
    """Knows what follows when an attempt has ended.

    Attributes
    ----------
    meter
        Counts attempts that failed and jobs that ended.
    """

    jobs: JobStore
    registry: Registry
    briefing: Briefing
    meter: Meter

    def settle(self, job_id: str, attempt: int, outcome: Outcome, cause: Cause | None) -> None:
        """Deal with the end of an attempt; `cause` says whether its end was asked for.

        What succeeded in spite of that has succeeded.
        """
        if outcome.state is JobState.SUCCEEDED:
            self._publish(job_id, attempt)
        elif cause is not None:
            self.end(job_id, attempt, cause)
        elif outcome.state is JobState.CANCELLED:
            self.end(job_id, attempt, Cause.CANCELLED)
        else:
            self.fail(job_id, attempt, outcome.error or _no_words())

    def end(self, job_id: str, attempt: int, cause: Cause, about: str = "") -> None:
        """End a job from outside."""
        state, code, message, hint = _ENDS[cause]
        error = JobError(code=code, message=message.format(about=about), hint=hint)
        self._change(job_id, attempt, state, error)

    def fail(self, job_id: str, attempt: int, error: JobError) -> None:
        """Open the next attempt of a job, where the contract's table says so; else the job has failed."""
        if not self._is_present(self.jobs.message(job_id), attempt):
            return
        self.meter.failed(self.jobs.get(job_id).network, error)
        now = steady.now()
        failed = Failure(error.code, now, self.jobs.progressed(job_id))
        failures = [*self.jobs.failures(job_id), failed]
        pause = retry.pause_before_retry(
            [retry.Failure(f.code, f.progressed) for f in failures], _waited(failures)
        )
        if pause is None:
            self._change(job_id, attempt, JobState.FAILED, error)
            return
        reason = f"{error.message}; trying again" + (f" in {_words(pause)}" if pause else "")
        log.warning("attempt %d failed (%s): %s", attempt, JobError.Code.Name(error.code), reason)
        retry_time = now + pause.total_seconds()
        if not self.jobs.open_attempt(job_id, attempt, failed, retry_time, error, reason):
            self.end(job_id, attempt, Cause.CANCELLED)

    def _publish(self, job_id: str, attempt: int) -> None:
        """Publish what an attempt made. Each step may be done twice: it was, if we died in between."""
        job = self.jobs.message(job_id)
        if not self._is_present(job, attempt):
            return
        made = self.briefing.attempt_folder(job_id, attempt) / ARTIFACTS
        published = self.briefing.folder / job_id / ARTIFACTS
        try:
            if not published.exists():
                made.rename(published)
            model = self._register(job, published)
        except StoreError:
            raise  # it is begun again when the store answers
        except Exception as error:
            # Whatever it is: were it to break the work off, the publication would be begun again for ever.
            log.exception("the results could not be published")
            self._take_back(published, made)
            self.fail(job_id, attempt, _publication_error(error))
            return
        self._change(job_id, attempt, JobState.SUCCEEDED, model=model)

    def _is_present(self, job: JobMessage, attempt: int) -> bool:
        present = job.attempt == attempt and not JobState(job.state).ended
        if not present:
            log.warning("attempt %d came too late", attempt)
        return present

    def _register(self, job: JobMessage, artifacts: Path) -> str:
        verb = job.WhichOneof("request")
        if references.makes_model(job):
            name = getattr(job, verb).model
            origin = Origin(name, job.network, job.project, job.id)
            return self.registry.publish(artifacts / "model", origin).tag
        if verb == "qc":
            self.registry.add_scores(job.id, artifacts, self.briefing.model_digests(job))
        return ""

    def _take_back(self, published: Path, made: Path) -> None:
        try:
            if published.exists():
                published.rename(made)
        except OSError as error:
            log.error("the artifacts of a failed publication stay at %s: %s", published, error)

    def _change(
        self,
        job_id: str,
        attempt: int,
        state: JobState,
        error: JobError | None = None,
        model: str = "",
    ) -> None:
        if self.jobs.change_state(job_id, attempt, state, error=error, model=model):
            log.info("the job is %s", state.name, extra={"model": model or None})
            self.meter.ended(self.jobs.message(job_id))


def _waited(failures: list[Failure]) -> timedelta:
    """Tell for how long the newest failure has been coming again and again."""
    first = failures[-1].time
    for failure in reversed(failures):
        if failure.code != failures[-1].code:
            break
        first = failure.time
    return timedelta(seconds=failures[-1].time - first)


def _words(pause: timedelta) -> str:
    seconds = round(pause.total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{round(seconds / 60)} min"


def _no_words() -> JobError:
    return JobError(
        code=JobError.INTERNAL,
        message="the service gave no reason",
        hint="The job's log may say more.",
    )


def _publication_error(error: Exception) -> JobError:
    if isinstance(error, BriefingError):
        return error.error
    message = f"the results could not be published: {error}"
    return of_system(error) or JobError(
        code=JobError.INTERNAL, message=message, hint="The orchestrator's log may say more."
    )

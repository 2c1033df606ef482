# SPDX-License-Identifier: BSD-3-Clause
"""Say as the error of a job what went wrong in the work for it."""

from __future__ import annotations

import logging

import grpc

from dl4mic.v1.job_pb2 import JobError
from dl4mic_orchestrator.arrival import FROM_CHECKPOINT
from dl4mic_orchestrator.backends.base import UnavailableError
from dl4mic_orchestrator.briefing import BriefingError
from dl4mic_orchestrator.catalog import UnknownNetworkError
from dl4mic_orchestrator.dial import NotServingError
from dl4mic_orchestrator.follow import StoppedError
from dl4mic_orchestrator.shortage import of_system

_SEE_LOG = "This is a defect; the orchestrator's log has the details."

log = logging.getLogger(__name__)


def job_error(error: Exception) -> JobError:
    """Make the error of a job; what nobody expected is logged with its traceback."""
    if isinstance(error, BriefingError):
        return error.error
    if isinstance(error, UnavailableError):
        return JobError(code=error.code, message=error.message, hint=error.hint)
    if isinstance(error, StoppedError):
        return JobError(code=JobError.UNRESPONSIVE, message=str(error), hint=FROM_CHECKPOINT)
    if isinstance(error, NotServingError):
        hint = "The job's log may say more."
        return JobError(code=JobError.CRASHED, message=str(error), hint=hint)
    if isinstance(error, UnknownNetworkError):
        hint = "Put the network's service folder back, or cancel the job."
        return JobError(code=JobError.ENVIRONMENT_UNAVAILABLE, message=str(error), hint=hint)
    if isinstance(error, grpc.RpcError):
        return _call_failed(error)
    log.error("the work for the job failed", exc_info=error)
    words = f"{type(error).__name__}: {error}"
    return of_system(error) or JobError(code=JobError.INTERNAL, message=words, hint=_SEE_LOG)


def _call_failed(error: grpc.RpcError) -> JobError:
    code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    words = error.details() if isinstance(error, grpc.Call) else str(error)
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        hint = "Mend the request and send it anew."
        return JobError(code=JobError.INVALID_INPUT, message=str(words), hint=hint)
    gone = code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    which: JobError.Code = JobError.CRASHED if gone else JobError.INTERNAL
    message = f"the service did not take the job: {words}"
    return JobError(code=which, message=message, hint="Its log may say more.")

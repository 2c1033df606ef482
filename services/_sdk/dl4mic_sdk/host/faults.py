# SPDX-License-Identifier: BSD-3-Clause
"""Words for how an attempt ended, in the JSON form of the contract's JobError."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any, Dict, Mapping

from dl4mic_sdk.job_folder import read_fault

CANCELLED: Mapping[str, Any] = {
    "code": "CANCELLED",
    "message": "cancelled as asked",
    "hint": "Retry it to go on from its last checkpoint.",
}
OVERDUE: Mapping[str, Any] = {
    "code": "DEADLINE",
    "message": "the deadline passed",
    "hint": "Retry it with a later deadline or none.",
}
HOST_DIED: Mapping[str, Any] = {
    "code": "CRASHED",
    "message": "the service ended while the job ran",
    "hint": "It goes on from its last checkpoint.",
}


class DependencyFailed(Exception):
    """A job whose results are needed has none; its id is the message."""


def of_dependency(error: Exception) -> Dict[str, Any]:
    """Say that what the job needs is not there."""
    message = str(error)
    if isinstance(error, DependencyFailed):
        message = "job {} did not succeed, and this job needs what it makes".format(error)
    hint = "Mend that job first, then retry this one."
    return {"code": "DEPENDENCY_FAILED", "message": message, "hint": hint}


def of_host(error: Exception) -> Dict[str, Any]:
    """Say that the host itself could not run the job."""
    message = "the service could not run the job: {}".format(error)
    return {
        "code": "INTERNAL",
        "message": message,
        "hint": "The service's own log has the details.",
    }


def of_worker(attempt_folder: Path, status: int) -> Dict[str, Any]:
    """Say why a worker failed: in its own words where it left any, else by its exit status."""
    fault = read_fault(attempt_folder)
    if fault is not None:
        return fault
    if status < 0:
        message = "the worker was ended by {}".format(signal.Signals(-status).name)
    else:
        message = "the worker ended with status {} and gave no reason".format(status)
    return {"code": "CRASHED", "message": message, "hint": "The job's log may say more."}

# SPDX-License-Identifier: BSD-3-Clause
"""Words for how an attempt ended, in the JSON form of the contract's JobError."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from dl4mic_sdk import diagnosis
from dl4mic_sdk.diagnosis import fault
from dl4mic_sdk.inputs import read_request
from dl4mic_sdk.job_folder import EXIT_OF_CODE, EXIT_STOPPED, LOG_FILE, read_fault

CANCELLED: Mapping[str, Any] = {
    "code": "CANCELLED",
    "message": "cancelled as asked",
    "hint": "Retry it to go on from its last checkpoint.",
}
OVERDUE: Mapping[str, Any] = {
    "code": "DEADLINE",
    "message": "the deadline passed",
    "hint": "Retry it to go on without a deadline, or give a new job more time.",
}
HOST_DIED: Mapping[str, Any] = {
    "code": "CRASHED",
    "message": "the service ended while the job ran",
    "hint": "It goes on from its last checkpoint.",
}

_LOG_TAIL_BYTES = 4096
_SEE_LOG = "The job's log may say more."
_NATIVE = "The job's log ends with where it was; if it comes again, tell the author of the network."
_OUTSIDE = "If nobody did that, ask the administrator whether the machine ran out of memory."

_NATIVE_FAULTS = frozenset(
    getattr(signal, name)
    for name in ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE", "SIGSYS", "SIGTRAP")
    if hasattr(signal, name)
)


class DependencyFailed(Exception):
    """A job whose results are needed has none; its id is the message."""


def of_dependency(error: Exception) -> Dict[str, Any]:
    """Say that what the job needs is not there."""
    message = str(error)
    if isinstance(error, DependencyFailed):
        message = "job {} did not succeed, and this job needs what it makes".format(error)
    return fault("DEPENDENCY_FAILED", message, "Mend that job first, then retry this one.")


def of_host(error: Exception) -> Dict[str, Any]:
    """Say that the host itself could not run the job."""
    lacking = diagnosis.of_system(error) if isinstance(error, OSError) else None
    message = "the service could not run the job: {}".format(error)
    return lacking or fault("INTERNAL", message, "The service's own log has the details.")


def silent(seconds: float) -> Dict[str, Any]:
    """Say that the worker gave no sign of life."""
    message = "the worker hung: it gave no sign of life for {:g} s, and was ended".format(seconds)
    return fault("UNRESPONSIVE", message, "The job's log ends with where it hung.")


def of_worker(attempt_folder: Path, status: int, memory_ran_out: bool = False) -> Dict[str, Any]:
    """Say why a worker failed: in its own words where it left any, else by its exit status.

    Parameters
    ----------
    attempt_folder
        Holds its request, its words and its log.
    status
        Exit status; the negative number of the signal that ended it.
    memory_ran_out
        The kernel killed a process for want of memory about when this one ended.
    """
    said = read_fault(attempt_folder)
    if said is not None:
        return said
    if status < 0:
        return _of_signal(attempt_folder, -status, memory_ran_out)
    for code, number in EXIT_OF_CODE.items():
        if status == number:
            return _of_code(code, attempt_folder)
    if status == EXIT_STOPPED:
        message = "the worker was asked to end from outside (SIGTERM)"
        return fault("CRASHED", message, "It goes on from its last checkpoint.")
    message = "the worker ended in mid-job with status {} and gave no reason".format(status)
    return fault("CRASHED", message, _SEE_LOG)


def _of_signal(attempt_folder: Path, number: int, memory_ran_out: bool) -> Dict[str, Any]:
    if number == signal.SIGKILL and memory_ran_out:
        message = "memory ran out, and the kernel ended the worker"
        return diagnosis.out_of_memory(message, read_request(attempt_folder))
    if number == signal.SIGABRT and "std::bad_alloc" in _last_words(attempt_folder):
        message = "memory ran out in native code (std::bad_alloc)"
        return diagnosis.out_of_memory(message, read_request(attempt_folder))
    if number == signal.SIGBUS:
        # A file that shrinks while it is mapped into memory ends its reader so.
        changed = _changed(attempt_folder)
        if changed is not None:
            return changed
    if number in _NATIVE_FAULTS:
        message = "the worker was ended by {}: native code failed".format(_name_of(number))
        return fault("CRASHED", message, _NATIVE)
    message = "the worker was ended by {} from outside".format(_name_of(number))
    return fault("CRASHED", message, _OUTSIDE if number == signal.SIGKILL else _SEE_LOG)


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have none
        return "signal {}".format(number)


def _changed(attempt_folder: Path) -> Optional[Dict[str, Any]]:
    return diagnosis.of_inputs(read_request(attempt_folder), attempt_folder)


def _of_code(code: str, attempt_folder: Path) -> Dict[str, Any]:
    if code == "OUT_OF_MEMORY":
        return diagnosis.out_of_memory("memory ran out", read_request(attempt_folder))
    if code == "DISK_FULL":
        return diagnosis.disk_full("the disk is full")
    return diagnosis.volume_unavailable("the folder of the job may not be written")


def _last_words(attempt_folder: Path) -> str:
    try:
        with (attempt_folder / LOG_FILE).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(file.tell() - _LOG_TAIL_BYTES, 0))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""

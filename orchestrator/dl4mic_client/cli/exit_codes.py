# SPDX-License-Identifier: BSD-3-Clause
"""What the exit codes of `dl4mic` mean."""

from __future__ import annotations

from enum import IntEnum

from dl4mic_client.errors import (
    ClientError,
    JobCancelled,
    JobFailed,
    Refused,
    ServerFault,
    TransferFault,
    Unreachable,
    Unsupported,
)


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    JOB_FAILED = 1
    REFUSED = 2
    SOME_FILES_FAILED = 3
    UNREACHABLE = 4
    CANCELLED = 5
    SERVER_FAULT = 6
    TRANSFER_FAULT = 7
    FAULT_FOUND = 8
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "done; with --detach: accepted",
    ExitCode.JOB_FAILED: "the job failed",
    ExitCode.REFUSED: "the command or its request was refused; nothing was started",
    ExitCode.SOME_FILES_FAILED: "a prediction is done, but some of its files failed",
    ExitCode.UNREACHABLE: "no server answers, or it cannot be started",
    ExitCode.CANCELLED: "the job was cancelled",
    ExitCode.SERVER_FAULT: "the server failed at a good request; its log says more",
    ExitCode.TRANSFER_FAULT: "a file could not be sent, fetched or written",
    ExitCode.FAULT_FOUND: "dl4mic doctor found a fault",
    ExitCode.INTERRUPTED: "interrupted; a job that was being watched goes on",
}

_CODES: tuple[tuple[type[ClientError], ExitCode], ...] = (
    (JobCancelled, ExitCode.CANCELLED),
    (JobFailed, ExitCode.JOB_FAILED),
    (Refused, ExitCode.REFUSED),
    (Unsupported, ExitCode.REFUSED),
    (Unreachable, ExitCode.UNREACHABLE),
    (ServerFault, ExitCode.SERVER_FAULT),
    (TransferFault, ExitCode.TRANSFER_FAULT),
)


def code_of(error: ClientError) -> ExitCode:
    """Return the exit code of an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.REFUSED)


def epilog() -> str:
    """Return the list of exit codes, for the end of the help."""
    lines = [f"  {code.value:>3}  {MEANINGS[code]}" for code in ExitCode]
    return "\b\nExit codes:\n" + "\n".join(lines)

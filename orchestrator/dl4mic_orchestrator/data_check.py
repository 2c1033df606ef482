# SPDX-License-Identifier: BSD-3-Clause
"""Have a job's pixels checked by the SDK, in its own small environment, before anything else is asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from google.protobuf.json_format import ParseDict

from dl4mic.v1.job_pb2 import JobError
from dl4mic_orchestrator import subprocesses
from dl4mic_orchestrator.backends.base import Progress
from dl4mic_orchestrator.shortage import disk_full

FAULT_FILE = "data_fault.json"
_EXIT_FAULT = 3
_EXIT_DISK_FULL = 6


class SdkEnvironment(Protocol):
    """Gives an environment that holds the SDK alone."""

    def python_of_sdk(self, progress: Progress) -> Path:
        """Give its interpreter; make it first, if it is not there."""


@dataclass(frozen=True)
class GivenEnvironment:
    """An environment that somebody else has made, as images hold one."""

    python: Path

    def python_of_sdk(self, progress: Progress) -> Path:
        """Give its interpreter."""
        return self.python


class DataCheck:
    """Runs ``python -m dl4mic_sdk.data_check``.

    Parameters
    ----------
    environment
        Environment variables of the process.
    """

    def __init__(self, environments: SdkEnvironment, environment: Mapping[str, str]) -> None:
        self._environments = environments
        self._environment = environment

    def run(self, attempt_folder: Path, progress: Progress) -> JobError | None:
        """Check the data of the attempt's request.json.

        Returns
        -------
        JobError or None
            What is wrong: INVALID_INPUT with the files at fault; None when nothing is.
        """
        python = self._environments.python_of_sdk(progress)
        progress.report("checking the images")
        command = [str(python), "-m", "dl4mic_sdk.data_check", str(attempt_folder)]
        status, words = subprocesses.run(command, self._environment, progress.check)
        if status == 0:
            return None
        if status == _EXIT_FAULT:
            return _fault(attempt_folder)
        if status == _EXIT_DISK_FULL:
            return disk_full("the data check could not write what it found")
        last = words.strip().splitlines()[-1] if words.strip() else f"it ended with status {status}"
        hint = "It is tried again once; if it stays, the log of the orchestrator says more."
        code = JobError.CRASHED if status < 0 else JobError.INTERNAL
        return JobError(code=code, message=f"the data check broke down: {last}", hint=hint)


def _fault(attempt_folder: Path) -> JobError:
    fault = json.loads((attempt_folder / FAULT_FILE).read_text(encoding="utf-8"))
    error: JobError = ParseDict(fault, JobError(), ignore_unknown_fields=True)
    error.code = error.code or JobError.INVALID_INPUT
    return error

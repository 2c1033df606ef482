# SPDX-License-Identifier: BSD-3-Clause
"""The files of a job: the interface between host and worker, and the record for people.

JOBS/<job id>/
├── job.json           what was asked, as the contract's request in JSON
├── cancel             is there when cancelling was asked for
├── artifacts/         what the job made, once it succeeded
└── <attempt>/         1, 2, ...
    ├── request.json   what the worker is to do, in plain values
    ├── events.jsonl   what happened
    ├── stderr.log     what the worker said
    ├── data.json      what the data check found
    ├── fault.json     why the worker gave up
    ├── reserve        room on the disk for the word about its end, while it runs
    ├── checkpoints/
    └── artifacts/     what the attempt makes; renamed to the job's when it succeeded
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

JOB_FILE = "job.json"
REQUEST_FILE = "request.json"
FAULT_FILE = "fault.json"
LOG_FILE = "stderr.log"
ARTIFACTS = "artifacts"
CANCEL_FILE = "cancel"
RESERVE_FILE = "reserve"

EXIT_DONE = 10
"""Of a worker that has done its job. Not 0: a library that calls exit(0) in mid-job must not pass for a success."""

EXIT_FAULT = 3
"""Of a worker that gave up, with `fault.json` where that could be written."""

EXIT_STOPPED = 4
"""Of a worker that was asked to stop and has put its work into a resumable state."""

EXIT_OF_CODE = {"OUT_OF_MEMORY": 5, "DISK_FULL": 6, "VOLUME_UNAVAILABLE": 7}
"""Code of a fault that may have kept `fault.json` from being written -> the exit status that says it, too."""


@dataclass(frozen=True)
class JobFolder:
    """Folder of one job."""

    path: Path

    @property
    def artifacts(self) -> Path:
        """What the job published."""
        return self.path / ARTIFACTS

    @property
    def cancel_requested(self) -> bool:
        """Somebody asked to cancel the job."""
        return (self.path / CANCEL_FILE).exists()

    def request_cancel(self) -> None:
        """Note that the job is to be cancelled, so that a restarted host knows it too."""
        (self.path / CANCEL_FILE).touch()

    def forget_cancel(self) -> None:
        """Take the note back, for a retry."""
        if self.cancel_requested:
            (self.path / CANCEL_FILE).unlink()

    def attempts(self) -> List[int]:
        """Numbers of the attempts that have a folder, oldest first."""
        return sorted(int(each.name) for each in self.path.iterdir() if each.name.isdigit())

    def attempt(self, number: int) -> Path:
        """Folder of an attempt."""
        return self.path / str(number)

    def make_attempt(self, number: int) -> Path:
        """Make the folder of an attempt, with its folder of artifacts."""
        folder = self.attempt(number)
        (folder / ARTIFACTS).mkdir(parents=True, exist_ok=True)
        return folder

    def previous(self, number: int) -> Optional[Path]:
        """Folder of the attempt before, if there is one."""
        folder = self.attempt(number - 1)
        return folder if number > 1 and folder.is_dir() else None

    def publish(self, number: int) -> None:
        """Make an attempt's artifacts the job's by one rename; doing it again changes nothing."""
        made = self.attempt(number) / ARTIFACTS
        if made.is_dir() and not self.artifacts.exists():
            made.rename(self.artifacts)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    OSError, ValueError
        It is not there, or is no JSON.
    """
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file that is there whole or not at all, also after a loss of power."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(str(partial), str(path))


def read_fault(attempt_folder: Path) -> Optional[Dict[str, Any]]:
    """Read why the worker gave up, in the JSON form of the contract's JobError; None where it did not say."""
    try:
        fault = read_json(attempt_folder / FAULT_FILE)
    except (OSError, ValueError):
        return None
    return fault if isinstance(fault, dict) else None

# SPDX-License-Identifier: BSD-3-Clause
"""What every job may say, and the names that are made up for jobs and uploads."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from dl4mic.v1 import request_pb2
from dl4mic_client.errors import Refused

Device = Literal["auto", "cpu", "gpu"]

_LONGEST_NAME = 50
_RANDOM_BYTES = 3
_DEVICES = {
    "auto": request_pb2.JobOptions.AUTO,
    "cpu": request_pb2.JobOptions.CPU,
    "gpu": request_pb2.JobOptions.GPU,
}


@dataclass(frozen=True)
class JobOptions:
    """What every job may say, whatever it does.

    Attributes
    ----------
    job : str
        Id of the job, at most 50 lower-case letters, digits and inner hyphens. Sending the same
        request under the same id again gives the same job. Empty: one is made up.
    title : str
        For people.
    project : str
        Project that the job belongs to; empty means "default".
    priority : int
        Jobs of higher priority go first; -1000 to 1000.
    labels : mapping of str to str
        To find the job again by.
    deadline_seconds : float or None
        The job fails when it has not ended this long after it was accepted.
    device : {"auto", "cpu", "gpu"}
        With "gpu" the job never falls back to the CPU.
    """

    job: str = ""
    title: str = ""
    project: str = ""
    priority: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    deadline_seconds: float | None = None
    device: Device = "auto"

    def message(self, made_up_id: str) -> request_pb2.JobOptions:
        """Return the contract's message; `made_up_id` is used where the job has no id."""
        options = request_pb2.JobOptions(
            job_id=self.job or made_up_id,
            title=self.title,
            project=self.project,
            priority=self.priority,
            labels=self.labels,
            device=device_value(self.device),
        )
        if self.deadline_seconds is not None:
            options.deadline.FromNanoseconds(round(self.deadline_seconds * 1e9))
        return options


def device_value(device: str) -> request_pb2.JobOptions.Device:
    """Return the contract's value of "auto", "cpu" or "gpu".

    Raises
    ------
    Refused
        It is another word.
    """
    if device not in _DEVICES:
        raise Refused(f"{device!r} is not a device.", "Use auto, cpu or gpu.")
    return _DEVICES[device]


def new_job_id(verb: str, subject: str, longest: int = _LONGEST_NAME) -> str:
    """Make up the id of a job, readable and unlike any other: ``"train-nuclei-3f9a1c"``."""
    tail = secrets.token_hex(_RANDOM_BYTES)
    head = slug(f"{verb}-{subject}", longest - len(tail) - 1)
    return f"{head}-{tail}"


def slug(text: str, longest: int = _LONGEST_NAME) -> str:
    """Turn any text into a name of the contract's form; "data" where nothing of it is left."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return words[:longest].strip("-") or "data"

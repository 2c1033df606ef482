# SPDX-License-Identifier: BSD-3-Clause
"""Own what the plan knows of jobs, instances and machines, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any


class JobState(IntEnum):
    """State of a job; the numbers are the contract's."""

    PENDING = 1
    STARTING = 2
    RUNNING = 3
    SUCCEEDED = 4
    FAILED = 5
    CANCELLED = 6

    @property
    def ended(self) -> bool:
        """Say whether only RetryJob leads on from here."""
        return self >= JobState.SUCCEEDED


class Device(IntEnum):
    """Device that a job asks for; the numbers are the contract's."""

    AUTO = 1
    CPU = 2
    GPU = 3


class InstanceState(IntEnum):
    """State of a running service; the numbers are the contract's."""

    LAUNCHING = 1
    READY = 2
    BUSY = 3
    WARM = 4
    STOPPING = 5


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the plan sees it; the store keeps the contract's message of it beside.

    Attributes
    ----------
    order
        Rises with the time of creation.
    depends_on
        Ids of the jobs whose results the request names.
    deadline_time, retry_time
        Seconds since 1970; `retry_time` is the earliest moment of the next attempt.
    prepared_attempt
        The attempt whose data check passed and whose environment is there; 0 for none.
    """

    id: str
    network: str
    state: JobState = JobState.PENDING
    attempt: int = 1
    project: str = "default"
    priority: int = 0
    order: int = 0
    device: Device = Device.AUTO
    depends_on: tuple[str, ...] = ()
    deadline_time: float | None = None
    retry_time: float | None = None
    cancel_requested: bool = False
    prepared_attempt: int = 0

    @property
    def prepared(self) -> bool:
        """Say whether nothing but a place is missing."""
        return self.prepared_attempt == self.attempt


@dataclass(frozen=True, slots=True)
class Failure:
    """How an attempt ended: code of the contract's JobError, and when (seconds since 1970)."""

    code: int
    time: float
    progressed: bool = False


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU: NVML index, name, memory in bytes, compute capability as (major, minor).

    Where a cluster does not tell them, memory is 0 and the capability (0, 0).
    """

    index: int
    name: str
    memory_bytes: int
    capability: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a machine, or a cluster of them, has for jobs.

    Attributes
    ----------
    look_ahead
        How many instances may wait for a place at once, where a cluster's own scheduler gives the places; None where
        the plan does.
    keeps_priority
        A cluster's scheduler lets the more urgent go first.
    where
        In words.
    """

    cpus: float
    memory_bytes: int
    gpus: tuple[Gpu, ...] = ()
    look_ahead: int | None = None
    keeps_priority: bool = True
    where: str = "this machine"


@dataclass(frozen=True, slots=True)
class GpuNeed:
    """What a GPU must have; capabilities are inclusive bounds, None for any."""

    memory_bytes: int = 0
    minimum_capability: tuple[int, int] | None = None
    maximum_capability: tuple[int, int] | None = None

    def met_by(self, gpu: Gpu) -> bool:
        """Say whether the framework's build runs on the GPU, and the model fits; what is not known may do."""
        if 0 < gpu.memory_bytes < self.memory_bytes:
            return False
        if gpu.capability == (0, 0):
            return True
        if self.minimum_capability is not None and gpu.capability < self.minimum_capability:
            return False
        return self.maximum_capability is None or gpu.capability <= self.maximum_capability


class GpuUse(Enum):
    """What a network makes of a GPU."""

    NONE = "none"
    USEFUL = "useful"
    NEEDED = "needed"


@dataclass(frozen=True, slots=True)
class Needs:
    """What a network asks of a machine."""

    cpus: float = 1.0
    memory_bytes: int = 0
    gpu_use: GpuUse = GpuUse.NONE
    gpu: GpuNeed = GpuNeed()


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a project may use; None for all that there is.

    Attributes
    ----------
    jobs
        That have not ended; more are refused.
    running, gpus
        Jobs that hold a place, and GPUs, at once; more wait.
    disk_bytes
        Of its jobs' folders and models; new jobs are refused while they take more.
    """

    jobs: int | None = None
    running: int | None = None
    gpus: int | None = None
    disk_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """What an instance was given; `gpus` are NVML indices, on a cluster those in its own container."""

    cpus: float = 0.0
    memory_bytes: int = 0
    gpus: tuple[int, ...] = ()

    def words(self) -> tuple[str, ...]:
        """Name the devices for people."""
        return (*(f"GPU {index}" for index in self.gpus), f"{self.cpus:g} CPU")


@dataclass(frozen=True, slots=True)
class WarmKey:
    """What tells one warm instance from another; `model_folder` is an absolute path."""

    network: str
    model_folder: str
    weights: str
    device: Device


@dataclass(frozen=True, slots=True)
class Instance:
    """A running service.

    Attributes
    ----------
    job_id, attempt
        What it works on; empty and 0 for a warm one.
    backend_state
        The backend's own JSON record of it.
    place
        Where it runs, in the backend's words.
    create_time
        Since when it waits for its place or, once it has one, holds it, in seconds since 1970 by a clock that never
        jumps.
    """

    id: str
    service: str
    network: str
    state: InstanceState
    grant: Grant
    job_id: str = ""
    attempt: int = 0
    project: str = ""
    place: str = ""
    create_time: float = 0.0
    backend_state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Model:
    """One immutable version of a model.

    Attributes
    ----------
    digest
        ``sha256:...`` over the whole folder; empty until its content lies verified in the registry.
    record
        Text of its model.json.
    parent
        ``NAME:VERSION`` that training started from.
    """

    name: str
    version: int
    network: str
    project: str
    create_time: float
    job_id: str = ""
    size: int = 0
    digest: str = ""
    parent: str = ""
    record: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def tag(self) -> str:
        """Name it as callers do."""
        return f"{self.name}:{self.version}"

    @property
    def complete(self) -> bool:
        """Say whether it may be used."""
        return bool(self.digest)


@dataclass(frozen=True, slots=True)
class Scores:
    """What one QC job measured of the model with a digest: definition id -> value over the test set."""

    digest: str
    job_id: str
    time: float
    values: Mapping[str, float]


_FOLLOWERS: Mapping[JobState, frozenset[JobState]] = {
    JobState.PENDING: frozenset(JobState) - {JobState.RUNNING, JobState.SUCCEEDED},
    JobState.STARTING: frozenset(JobState),
    JobState.RUNNING: frozenset(JobState) - {JobState.STARTING},
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset({JobState.PENDING}),
    JobState.CANCELLED: frozenset({JobState.PENDING}),
}


def may_follow(state: JobState, after: JobState) -> bool:
    """Say whether a job in state `after` may go to `state`.

    A failed or cancelled job may be opened again by hand; a succeeded one never changes.
    """
    return state in _FOLLOWERS[after]

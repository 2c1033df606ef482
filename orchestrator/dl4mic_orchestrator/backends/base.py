# SPDX-License-Identifier: BSD-3-Clause
"""Own what every backend can do, and the words in which it is asked."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dl4mic_orchestrator.records import Capacity, GpuNeed, Grant

State = Mapping[str, Any]
"""A backend's own record of an instance: JSON, kept in the store, enough to find the instance after a restart."""


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """The service to run.

    Attributes
    ----------
    python_versions
        That its lock supports, the preferred one first.
    sdk_alone
        Nothing of its networks is needed: it runs in the environment of the SDK, without their frameworks.
    """

    name: str
    folder: Path
    python_versions: tuple[str, ...]
    sdk_alone: bool = False


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """One instance to launch.

    Attributes
    ----------
    attempt
        Of the one job that it takes; 0 for a warm instance.
    log
        File for what the host says.
    silence_seconds
        A worker that gives no sign of life for so long is to be ended.
    gpu
        What the GPU must have, where one is granted.
    priority
        Of the job; of those that wait, the higher goes first.
    reads, writes
        Folders and files that it needs: to a backend that can keep all others from it.
    labels
        What people look for it by: job, network, project.
    """

    instance_id: str
    service: ServiceSpec
    grant: Grant
    jobs: Path
    attempt: int
    log: Path
    silence_seconds: float
    gpu: GpuNeed = field(default_factory=GpuNeed)
    priority: int = 0
    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def warm(self) -> bool:
        """Say whether it answers PredictImage instead of taking a job."""
        return self.attempt == 0


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an instance is gone, or cannot come up: name of the contract's error code, what happened, what to do."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Probe:
    """How an instance is.

    Attributes
    ----------
    address
        Where to dial it, ``unix:///path`` or ``HOST:PORT``; empty while it waits.
    place
        The machine; empty while the backend has given it none.
    node_lost
        It is gone because its machine was restarted.
    ended
        It ended by itself, and not by an error, as far as the backend knows.
    waiting
        Why nobody can dial it yet, in words; empty when it can be dialled, or is gone.
    fault
        Why it is gone, or was asked to end by others than us, where the backend knows.
    found
        What to add to its state, so that it is known after a restart.
    token
        File with what its calls must show; None where nobody else can reach its address.
    """

    alive: bool
    address: str
    place: str
    node_lost: bool = False
    ended: bool = False
    waiting: str = ""
    fault: Fault | None = None
    found: State = field(default_factory=dict)
    token: Path | None = None


class UnavailableError(Exception):
    """Something that an instance needs cannot be had now.

    Attributes
    ----------
    code
        Name of the contract's error code.
    """

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class Progress(Protocol):
    """Whoever waits for long work."""

    def report(self, words: str) -> None:
        """Take words about what is being done."""

    def check(self) -> None:
        """Raise, when nobody waits any more."""


class Backend(Protocol):
    """Launches, finds and ends instances."""

    def prepare(self, service: ServiceSpec, progress: Progress) -> None:
        """Make ready whatever instances of a service need.

        Raises
        ------
        UnavailableError
            It cannot be had.
        """

    def launch(self, spec: LaunchSpec, save: Callable[[State], None]) -> State:
        """Start an instance; return when it is started, not when it answers.

        Parameters
        ----------
        save
            Takes the state before each step that a crash of ours must not make us forget.

        Raises
        ------
        UnavailableError
            It cannot be started.
        """

    def probe(self, states: Sequence[State]) -> list[Probe]:
        """Look at instances."""

    def stop(self, state: State, grace_seconds: float) -> None:
        """End an instance and all of its processes; return when they are gone. Stopping again does nothing."""

    def capacity(self) -> Capacity:
        """Say what there is for instances in all."""

    def sweep(self, known: Callable[[], Container[str]]) -> None:
        """End the instances of ours whose ids nobody knows.

        Parameters
        ----------
        known
            Gives the ids; it is asked after the backend has looked, so that none that comes up meanwhile is ended.
        """

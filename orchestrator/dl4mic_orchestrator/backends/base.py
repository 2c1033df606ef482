# SPDX-License-Identifier: BSD-3-Clause
"""Own what every backend can do, and the words in which it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dl4mic_orchestrator.records import Capacity, Grant

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
    """

    instance_id: str
    service: ServiceSpec
    grant: Grant
    jobs: Path
    attempt: int
    log: Path
    silence_seconds: float

    @property
    def warm(self) -> bool:
        """Say whether it answers PredictImage instead of taking a job."""
        return self.attempt == 0


@dataclass(frozen=True, slots=True)
class Probe:
    """How an instance is.

    Attributes
    ----------
    address
        Where to dial it, ``unix:///path`` or ``HOST:PORT``.
    node_lost
        It is gone because its machine was restarted.
    """

    alive: bool
    address: str
    place: str
    node_lost: bool = False


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

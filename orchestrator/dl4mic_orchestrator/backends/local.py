# SPDX-License-Identifier: BSD-3-Clause
"""Instances as processes of this machine, each in its service's own virtual environment."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from dl4mic_orchestrator.backends import processes
from dl4mic_orchestrator.backends.base import (
    LaunchSpec,
    Probe,
    Progress,
    ServiceSpec,
    State,
    UnavailableError,
)
from dl4mic_orchestrator.backends.processes import ProcessRef
from dl4mic_orchestrator.records import Capacity, Gpu, Grant

LEFT_BEHIND: State = {"boot_id": ""}
"""Of an instance that runs, if at all, on a machine that a workspace was brought from."""

_WARM_IDLE_SECONDS = 3600.0
_MOST_NAME = 40
"""We end a warm instance much earlier; should we never come back, it lets go of its model by itself."""


class Environments(Protocol):
    """Makes the virtual environment of a service."""

    def python_of(self, service: ServiceSpec, *, gpu: bool, progress: Progress) -> Path:
        """Give the environment's interpreter; make the environment first, if it is not there."""


class _Nobody:
    """Waits for what `prepare` has made ready before."""

    def report(self, words: str) -> None:
        """Take words."""

    def check(self) -> None:
        """Go on."""


class LocalBackend:
    """Processes on this machine.

    Parameters
    ----------
    runtime
        Private folder for the instances' sockets.
    environment
        Environment variables of the instances.
    cpus, memory_bytes
        For jobs; None for what the machine has.
    gpus
        As NVML sees them.
    """

    def __init__(
        self,
        environments: Environments,
        runtime: Path,
        environment: Mapping[str, str],
        *,
        cpus: float | None = None,
        memory_bytes: int | None = None,
        gpus: tuple[Gpu, ...] = (),
    ) -> None:
        self._environments = environments
        self._runtime = private_folder(runtime)
        self._environment = dict(environment)
        self._capacity = capacity_of_machine(cpus, memory_bytes, gpus)
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def prepare(self, service: ServiceSpec, progress: Progress) -> None:
        """Make the service's environment."""
        self._environments.python_of(service, gpu=bool(self._capacity.gpus), progress=progress)

    def launch(self, spec: LaunchSpec, save: Callable[[State], None]) -> State:
        """Start the service's host in a session of its own."""
        socket = self._runtime / f"{short(spec.instance_id)}.sock"
        state: State = {"socket": str(socket), "boot_id": processes.boot_id()}
        # Should we die between start and the second save, the socket among its arguments still tells the process.
        save(state)
        python = self._environments.python_of(
            spec.service, gpu=bool(self._capacity.gpus), progress=_Nobody()
        )
        process = self._start(_command(python, spec, socket), spec)
        found = processes.reference(process.pid)
        if found is None:
            raise UnavailableError(
                "CRASHED", "the service ended as it was started", f"See {spec.log}."
            )
        state = {**state, "pid": found.pid, "start_ticks": found.start_ticks}
        save(state)
        return state

    def probe(self, states: Sequence[State]) -> list[Probe]:
        """Look which processes run."""
        self._reap()
        return [self._probe(state) for state in states]

    def stop(self, state: State, grace_seconds: float) -> None:
        """End the process and its family."""
        process = _process(state)
        if process is not None:
            processes.end_family(process, grace_seconds)
        self._reap()
        if "socket" in state:
            Path(state["socket"]).unlink(missing_ok=True)

    def capacity(self) -> Capacity:
        """Say what this machine has for jobs."""
        return self._capacity

    def sweep(self, known: Callable[[], Container[str]]) -> None:
        """End nothing: an instance that nobody calls ends by itself."""

    def _start(self, command: Sequence[str], spec: LaunchSpec) -> subprocess.Popen[bytes]:
        with spec.log.open("ab") as output, self._lock:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=self._environment | _devices(spec.grant),
                    start_new_session=True,
                )
            except OSError as error:
                hint = "Remove the environments folder of the workspace; it is made anew."
                raise UnavailableError(
                    "ENVIRONMENT_UNAVAILABLE", f"cannot start the service: {error}", hint
                ) from error
            self._children[process.pid] = process
        return process

    def _probe(self, state: State) -> Probe:
        process = _process(state)
        return Probe(
            alive=process is not None and processes.is_alive(process),
            address=f"unix://{state.get('socket', '')}",
            place="this machine",
            node_lost=state.get("boot_id", processes.boot_id()) != processes.boot_id(),
        )

    def _reap(self) -> None:
        with self._lock:
            ended = [pid for pid, child in self._children.items() if child.poll() is not None]
            for pid in ended:
                del self._children[pid]


def short(instance_id: str) -> str:
    """Name an instance in the path of its socket, which has 108 bytes at most; a digest keeps long names apart."""
    if len(instance_id) <= _MOST_NAME:
        return instance_id
    return f"{instance_id[: _MOST_NAME - 9]}-{hashlib.sha256(instance_id.encode()).hexdigest()[:8]}"


def private_folder(folder: Path) -> Path:
    """Make a folder that only its user can enter; refuse one that somebody else made."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat(follow_symlinks=False)
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or folder.is_symlink():
        raise PermissionError(
            f"{folder} is not private to this user; remove it, or set XDG_RUNTIME_DIR to another"
        )
    return folder


def _process(state: State) -> ProcessRef | None:
    if state.get("boot_id") != processes.boot_id():
        return None
    if "pid" in state:
        return ProcessRef(state["pid"], state["start_ticks"])
    return processes.find(f"unix://{state['socket']}")


def _command(python: Path, spec: LaunchSpec, socket: Path) -> list[str]:
    command = [str(python), "-m", "dl4mic_sdk", "serve", str(spec.service.folder)]
    command += ["--listen", f"unix://{socket}", "--jobs", str(spec.jobs)]
    command += ["--silence", str(spec.silence_seconds)]
    if spec.warm:
        return [*command, "--warm", "--attempt", "1", "--idle-seconds", str(_WARM_IDLE_SECONDS)]
    return [*command, "--attempt", str(spec.attempt)]


def _devices(grant: Grant) -> dict[str, str]:
    """Show the granted GPUs alone, by the numbers that NVML gives them."""
    return {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": ",".join(str(gpu) for gpu in grant.gpus),
    }


def capacity_of_machine(
    cpus: float | None, memory_bytes: int | None, gpus: tuple[Gpu, ...]
) -> Capacity:
    """Say what this machine has for jobs; None for all that it has."""
    if memory_bytes is None:
        memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Capacity(len(os.sched_getaffinity(0)) if cpus is None else cpus, memory_bytes, gpus)

# SPDX-License-Identifier: BSD-3-Clause
"""Instances as containers of this machine, each from its service's image."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path

from dl4mic_orchestrator.backends import processes
from dl4mic_orchestrator.backends.base import (
    Fault,
    LaunchSpec,
    Probe,
    Progress,
    ServiceSpec,
    State,
    UnavailableError,
)
from dl4mic_orchestrator.backends.container_run import run_arguments
from dl4mic_orchestrator.backends.engine import AbsentError, Engine, EngineError
from dl4mic_orchestrator.backends.images import ServiceImages, image_of
from dl4mic_orchestrator.backends.local import private_folder, short
from dl4mic_orchestrator.backends.processes import ProcessRef
from dl4mic_orchestrator.records import Capacity

_WORKSPACE = "dl4mic.workspace"
_FROM_CHECKPOINT = "It goes on from its last checkpoint."
_PLACE = "this machine"

log = logging.getLogger(__name__)


class ContainerBackend:
    """Containers on this machine.

    Parameters
    ----------
    images
        Service -> its images.
    runtime
        Private folder for the instances' sockets.
    capacity
        For jobs.
    workspace
        Tells our containers from those of another orchestrator.
    """

    def __init__(
        self,
        engine: Engine,
        images: Mapping[str, ServiceImages],
        runtime: Path,
        capacity: Capacity,
        workspace: Path,
    ) -> None:
        self._engine = engine
        self._images = dict(images)
        self._runtime = private_folder(runtime)
        self._capacity = capacity
        self._mark = hashlib.sha256(str(workspace).encode()).hexdigest()[:10]
        self._prefix = f"dl4mic-{self._mark}-"

    def prepare(self, service: ServiceSpec, progress: Progress) -> None:
        """Fetch the service's image, if it is not there."""
        image = self._image(service)
        if self._engine.has_image(image):
            return
        progress.report(f"fetching the image {image} (first use)")
        try:
            self._engine.pull(image, progress.check)
        except EngineError as error:
            raise UnavailableError(
                "IMAGE_UNAVAILABLE",
                f"the image {image} is not on this machine and cannot be fetched: {error}",
                "It is tried again by itself; build it here, load it, or mend its name in the file of images.",
            ) from error

    def launch(self, spec: LaunchSpec, save: Callable[[State], None]) -> State:
        """Start a container, and find its process."""
        folder = private_folder(self._runtime / short(spec.instance_id))
        state: State = {
            "name": self._prefix + spec.instance_id,
            "socket": str(folder / "s.sock"),
            "boot_id": processes.boot_id(),
        }
        # Should we die before the second save, the name still tells the container.
        save(state)
        spec.log.touch()
        command = run_arguments(spec, self._image(spec.service), state["name"], folder)
        labels = {_WORKSPACE: self._mark} | {f"dl4mic.{key}": it for key, it in spec.labels.items()}
        for key, value in labels.items():
            command = ["--label", f"{key}={value}", *command]
        try:
            self._engine.run("run", "--detach", *self._engine.user_options, *command, folder=folder)
        except EngineError as error:
            self._engine_stop(state["name"], 0.0)
            raise _cannot_start(error, spec) from error
        state = {**state, **self._process_of(state["name"])}
        save(state)
        return state

    def probe(self, states: Sequence[State]) -> list[Probe]:
        """Look which containers run: by their processes, for which the engine need not be asked."""
        return [self._probe(state) for state in states]

    def stop(self, state: State, grace_seconds: float) -> None:
        """End and remove the container."""
        if "name" not in state:
            return
        self._engine_stop(state["name"], grace_seconds)
        shutil.rmtree(Path(state["socket"]).parent, ignore_errors=True)

    def capacity(self) -> Capacity:
        """Say what this machine has for jobs."""
        return self._capacity

    def sweep(self, known: Callable[[], Container[str]]) -> None:
        """End the containers of this workspace that nobody knows."""
        mine = f"label={_WORKSPACE}={self._mark}"
        listed = self._engine.run("ps", "--all", "--filter", mine, "--format", "{{.Names}}").split()
        ids = known()
        for name in listed:
            if name.removeprefix(self._prefix) not in ids:
                self._engine_stop(name, 0.0)

    def _image(self, service: ServiceSpec) -> str:
        """Name a service's image: that with CUDA wherever there is a GPU, so that no machine needs both."""
        return image_of(self._images, service.name, gpu=bool(self._capacity.gpus))

    def _probe(self, state: State) -> Probe:
        address = f"unix://{state.get('socket', '')}"
        if state["boot_id"] != processes.boot_id():
            return Probe(alive=False, address=address, place=_PLACE, node_lost=True)
        known = state if "pid" in state else {**state, **self._process_of(state["name"])}
        alive = _is_alive(known)
        if alive:
            return Probe(alive=True, address=address, place=_PLACE)
        fault = self._fault(state["name"])
        return Probe(False, address, _PLACE, fault=fault, ended=fault is None)

    def _process_of(self, name: str) -> State:
        """Tell the container's first process, as the machine numbers it; nothing when it does not run."""
        try:
            pid = int(self._engine.run("container", "inspect", "--format", "{{.State.Pid}}", name))
        except AbsentError:
            return {}
        found = processes.reference(pid) if pid else None
        return {"pid": found.pid, "start_ticks": found.start_ticks} if found else {}

    def _fault(self, name: str) -> Fault | None:
        """Ask the engine how a container ended; None for one that ended well."""
        try:
            told = self._engine.run("container", "inspect", "--format", "{{json .State}}", name)
        except AbsentError:
            return Fault(
                "CRASHED", f"the container {name} was removed by somebody", _FROM_CHECKPOINT
            )
        ended = json.loads(told)
        if ended.get("OOMKilled"):
            return Fault(
                "OUT_OF_MEMORY",
                "the service needed more memory than its container was given",
                "Lower the batch size or the patch size, or have the administrator raise memory_gib of the network.",
            )
        if ended.get("ExitCode") == 0:
            return None
        words = (
            f"the service's container ended with status {ended.get('ExitCode')} while the job ran"
        )
        return Fault("CRASHED", words, _FROM_CHECKPOINT)

    def _engine_stop(self, name: str, grace_seconds: float) -> None:
        for command in (("stop", "--time", str(round(grace_seconds))), ("rm", "--force")):
            try:
                self._engine.run(*command, name)
            except AbsentError:
                return
            except EngineError:
                if command[0] == "rm":
                    raise
                # What does not end by being asked is ended by being removed.
                log.warning("the container %s does not stop; it is removed", name, exc_info=True)


def _is_alive(state: State) -> bool:
    return "pid" in state and processes.is_alive(ProcessRef(state["pid"], state["start_ticks"]))


def _cannot_start(error: EngineError, spec: LaunchSpec) -> UnavailableError:
    """Say what kind of thing the engine did not find."""
    words = str(error)
    if "CDI" in words or (spec.grant.gpus and "nvidia.com/gpu" in words):
        hint = (
            "The administrator describes the GPUs to the engine (nvidia-ctk cdi generate "
            "--output=/etc/cdi/nvidia.yaml), or lets jobs run without one."
        )
        return UnavailableError("GPU_UNUSABLE", f"the container gets no GPU: {words}", hint)
    if ("no such file or directory" in words and "statfs" in words) or "bind source path" in words:
        hint = "Look whether the folder is still there and can be read, then send the job again."
        return UnavailableError("VOLUME_UNAVAILABLE", f"a folder is missing: {words}", hint)
    hint = "It is tried again by itself; the engine's own log may say more."
    return UnavailableError(
        "ENVIRONMENT_UNAVAILABLE", f"the container cannot be started: {words}", hint
    )

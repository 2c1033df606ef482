# SPDX-License-Identifier: BSD-3-Clause
"""Look at the machine, the workspace and the services, for the diagnosis."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dl4mic.addresses import socket_path
from dl4mic.manifest import ManifestError, read_service
from dl4mic.v1.maintenance_pb2 import Finding
from dl4mic_orchestrator import diagnosis
from dl4mic_orchestrator.backends.base import ServiceSpec
from dl4mic_orchestrator.backends.nvml import driver_versions
from dl4mic_orchestrator.catalog import Catalog
from dl4mic_orchestrator.cleaning import spared
from dl4mic_orchestrator.diagnosis import EnvironmentFacts
from dl4mic_orchestrator.environments import GPU_LOCK_FILE, LOCK_FILE
from dl4mic_orchestrator.interpreters import find_python
from dl4mic_orchestrator.inventory import Inventory
from dl4mic_orchestrator.metrics import Metrics
from dl4mic_orchestrator.records import Capacity
from dl4mic_orchestrator.settings import BackendKind, Settings, find_uv, is_loopback
from dl4mic_orchestrator.store import Store
from dl4mic_orchestrator.store.jobs import Filter

_CUDA = re.compile(r"^nvidia-cuda-runtime(?:-cu\d+)?==(\d+)\.", re.MULTILINE)
_MOUNTS = Path("/proc/self/mountinfo")
_CGROUP = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Examination:
    """Looks when it is asked.

    Attributes
    ----------
    place_of
        Service -> where its environment lies or would lie, GPU or not as on this machine.
    address
        Where the server listens, with the port that it took.
    """

    settings: Settings
    store: Store
    catalog: Catalog
    services: Sequence[ServiceSpec]
    capacity: Callable[[], Capacity]
    place_of: Callable[[ServiceSpec], Path]
    inventory: Inventory
    address: Callable[[], str]
    metrics: Metrics
    begun: float = field(default_factory=lambda: time.time() - time.monotonic())

    def findings(self) -> Sequence[Finding]:
        """Say what was found, machine first."""
        return [
            diagnosis.of_interpreter(platform.python_version(), platform.node()),
            *self._places(),
            *self._gpus(),
            *diagnosis.of_memory(
                self.capacity().memory_bytes, cgroup_limit(), self._memory_needs()
            ),
            diagnosis.of_open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
            self._clock(),
            self._address(),
            *diagnosis.of_metrics(self.metrics.port),
            *diagnosis.of_services(_broken(self.settings.services), len(list(self.catalog))),
            *self._environments(),
            *self._cleaning(),
        ]

    def _places(self) -> Iterator[Finding]:
        workspace, reserve = self.settings.workspace, self.settings.disk_reserve_bytes
        for place in sorted({workspace, self.settings.environments}):
            yield diagnosis.of_disk(str(place), shutil.disk_usage(place).free, reserve)
        yield diagnosis.of_file_system(str(workspace), file_system(workspace))
        found = workspace.stat()
        yield diagnosis.of_permissions(
            str(workspace),
            found.st_mode,
            found.st_uid == os.getuid(),
            os.access(workspace, os.W_OK | os.X_OK),
        )

    def _gpus(self) -> list[Finding]:
        driver, cuda = _driver()
        return diagnosis.of_gpus(self.capacity().gpus, driver, cuda, dict(self._built_for()))

    def _built_for(self) -> Iterator[tuple[str, int]]:
        for service in self.services:
            lock = service.folder / GPU_LOCK_FILE
            found = _CUDA.search(lock.read_text()) if lock.exists() else None
            if found:
                yield service.name, int(found[1])

    def _memory_needs(self) -> dict[str, int]:
        return {name: needs.memory_bytes for name, needs in self.catalog.needs().items()}

    def _clock(self) -> Finding:
        newest = self.store.jobs.newest(Filter(), None, 1)
        accepted = newest[0][1].create_time.ToNanoseconds() / 1e9 if newest else 0.0
        drift = time.time() - time.monotonic() - self.begun
        return diagnosis.of_clock(drift, accepted - time.time())

    def _address(self) -> Finding:
        address = self.address()
        near = bool(socket_path(address)) or is_loopback(address)
        guarded = bool(self.settings.certificate and self.settings.tokens)
        return diagnosis.of_address(address, not near, guarded)

    def _environments(self) -> Iterator[Finding]:
        if self.settings.backend is not BackendKind.LOCAL:
            return  # images hold them
        has_uv = find_uv() is not None
        for service in self.services:
            yield diagnosis.of_environment(self._environment(service), has_uv)

    def _environment(self, service: ServiceSpec) -> EnvironmentFacts:
        versions = service.python_versions
        if not (service.folder / LOCK_FILE).exists():
            return EnvironmentFacts(service.name, False, "", versions, has_lock=False)
        made = (self.place_of(service) / "bin" / "python").exists()
        python = "" if made else find_python(versions, self.settings.environment)
        return EnvironmentFacts(service.name, made, python if os.sep in python else "", versions)

    def _cleaning(self) -> list[Finding]:
        retained = spared(self.settings.retention, (), None)
        verdict = self.inventory.verdict(time.time(), retained)
        kept = [f"{each.name}: {each.needed}" for each in verdict.stay]
        freed = sum(map(self.inventory.size, verdict.go))
        return diagnosis.of_cleaning(len(verdict.go), freed, kept)


def file_system(folder: Path, mounts: Path = _MOUNTS) -> str:
    """Name the kind of file system that a folder lies on; empty where the kernel does not say (proc(5))."""
    best, kind = Path(), ""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        fields = line.split()
        # Spaces in paths are written as \040; what follows " - " is the kind.
        point = Path(fields[4].replace("\\040", " "))
        if (point == folder or point in folder.parents) and len(point.parts) >= len(best.parts):
            best, kind = point, fields[fields.index("-") + 1]
    return kind


def cgroup_limit(root: Path = _CGROUP, own: Path = _OWN_CGROUP) -> int | None:
    """Tell the memory limit of our control group and those above it (cgroups(7), version 2); None for none."""
    try:
        ours = own.read_text().rpartition("::/")[2].strip()
    except OSError:
        return None
    group = root / ours
    limits = []
    for folder in (group, *group.parents):
        with suppress(OSError, ValueError):  # without a limit it reads "max"
            limits.append(int((folder / "memory.max").read_text()))
    return min(limits, default=None)


def _driver() -> tuple[str, tuple[int, int]]:
    try:
        import pynvml
    except ImportError:
        return "", (0, 0)
    return driver_versions(pynvml)


def _broken(folder: Path) -> dict[str, str]:
    """Find the services that cannot be read: the server leaves them out."""
    broken = {}
    for manifest in sorted(folder.glob("*/service.yaml")):
        try:
            read_service(manifest.parent)
        except ManifestError as error:
            broken[manifest.parent.name] = str(error)
    return broken

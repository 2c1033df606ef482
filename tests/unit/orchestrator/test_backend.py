# SPDX-License-Identifier: BSD-3-Clause
"""The local backend: processes that are found again and end with all that they started; GPUs as NVML tells them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from dl4mic_orchestrator.backends import processes
from dl4mic_orchestrator.backends.base import LaunchSpec, Progress, ServiceSpec, State
from dl4mic_orchestrator.backends.local import LocalBackend, private_folder, short
from dl4mic_orchestrator.backends.nvml import find_gpus
from dl4mic_orchestrator.records import Gpu, Grant

HOST = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(os.environ["CUDA_VISIBLE_DEVICES"], os.getsid(0) == os.getpid(), flush=True)
time.sleep(600)
"""


class FakeEnvironments:
    """Gives an interpreter that takes every host for the script above."""

    def __init__(self, folder: Path) -> None:
        self.python = folder / "python"
        script = folder / "host.py"
        script.write_text(HOST)
        self.python.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
        self.python.chmod(0o755)

    def python_of(self, service: ServiceSpec, *, gpu: bool, progress: Progress) -> Path:
        return self.python


@pytest.fixture
def backend(tmp_path: Path) -> LocalBackend:
    environments = FakeEnvironments(tmp_path)
    return LocalBackend(environments, tmp_path / "r", os.environ, cpus=2, memory_bytes=10)


def spec(tmp_path: Path, attempt: int = 1) -> LaunchSpec:
    service = ServiceSpec("blur", tmp_path, ("3.11",))
    return LaunchSpec(
        "i-1", service, Grant(1, 0, (2, 3)), tmp_path / "jobs", attempt, tmp_path / "log", 60.0
    )


def await_words(path: Path) -> str:
    for _ in range(200):
        if path.exists() and path.read_text().endswith("\n"):
            return path.read_text()
        time.sleep(0.02)
    pytest.fail("the host said nothing")


def test_an_instance_gets_its_devices_and_ends_with_its_children(
    backend: LocalBackend, tmp_path: Path
) -> None:
    saved: list[State] = []
    state = backend.launch(spec(tmp_path), saved.append)
    assert await_words(tmp_path / "log") == "2,3 True\n"
    assert "pid" not in saved[0] and saved[-1] == state
    (child,) = children(state["pid"])
    assert backend.probe([state])[0].alive
    backend.stop(state, 1.0)
    assert not backend.probe([state])[0].alive
    assert processes.reference(child) is None or not processes.is_alive(processes.reference(child))
    backend.stop(state, 1.0)


def children(pid: int) -> list[int]:
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(each) for each in listed.stdout.split()]


def test_an_instance_is_found_by_its_socket_when_its_process_was_not_noted(
    backend: LocalBackend, tmp_path: Path
) -> None:
    saved: list[State] = []
    backend.launch(spec(tmp_path), saved.append)
    await_words(tmp_path / "log")
    assert backend.probe([saved[0]])[0].alive
    backend.stop(saved[0], 1.0)
    assert not backend.probe([saved[-1]])[0].alive


def test_another_process_with_the_same_id_is_not_ours(backend: LocalBackend) -> None:
    ours = processes.reference(os.getpid())
    assert ours is not None
    state = {"socket": "x", "boot_id": processes.boot_id(), "pid": ours.pid}
    assert backend.probe([{**state, "start_ticks": ours.start_ticks}])[0].alive
    other = {**state, "start_ticks": ours.start_ticks - 1}
    assert not backend.probe([other])[0].alive
    backend.stop(other, 0.0)  # would end the test, if it were taken for ours


def test_a_restarted_machine_is_a_lost_node(backend: LocalBackend) -> None:
    (probe,) = backend.probe([{"socket": "x", "boot_id": "before", "pid": 1, "start_ticks": 1}])
    assert (probe.alive, probe.node_lost) == (False, True)


def test_a_zombie_is_not_alive() -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    found = processes.reference(process.pid)
    assert found is not None
    for _ in range(500):
        if not processes.is_alive(found):
            break
        time.sleep(0.01)
    assert not processes.is_alive(found)
    process.wait()


def test_long_names_stay_apart_in_the_paths_of_sockets() -> None:
    ids = [f"train-zebrafish-nuclei-48hpf-light-sheet-2-{end}-1" for end in ("3f9a1c", "3f9a1d")]
    names = [short(each) for each in ids]
    assert names[0] != names[1] and {len(each) for each in names} == {40}
    assert short("a-1") == "a-1"


def test_sockets_lie_where_only_their_user_can_go(tmp_path: Path) -> None:
    assert private_folder(tmp_path / "a").stat().st_mode & 0o777 == 0o700
    (tmp_path / "b").mkdir()
    (tmp_path / "b").chmod(0o755)
    (tmp_path / "c").symlink_to(tmp_path / "a")
    for open_to_others in ("b", "c"):
        with pytest.raises(PermissionError, match="not private"):
            private_folder(tmp_path / open_to_others)


class ScriptedNvml:
    """The driver's library, as a script says."""

    class NVMLError(Exception):
        pass

    def __init__(self, gpus: list, works: bool = True) -> None:
        self.gpus, self.works, self.open = gpus, works, 0

    def nvmlInit(self) -> None:
        if not self.works:
            raise self.NVMLError("no driver")
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> object:
        if self.gpus[index] is None:
            raise self.NVMLError("GPU is lost")
        return self.gpus[index]

    def nvmlDeviceGetName(self, handle: tuple) -> str | bytes:
        return handle[0]

    def nvmlDeviceGetMemoryInfo(self, handle: tuple) -> object:
        return SimpleNamespace(total=handle[1], free=0, used=handle[1])

    def nvmlDeviceGetCudaComputeCapability(self, handle: tuple) -> tuple[int, int]:
        return handle[2]


def test_gpus_are_those_that_answer() -> None:
    nvml = ScriptedNvml([(b"A", 8, (7, 5)), None, ("B", 24, (8, 6))])
    assert find_gpus(nvml) == (Gpu(0, "A", 8, (7, 5)), Gpu(2, "B", 24, (8, 6)))
    assert nvml.open == 0


def test_without_a_driver_there_are_no_gpus() -> None:
    assert find_gpus(ScriptedNvml([("A", 8, (7, 5))], works=False)) == ()

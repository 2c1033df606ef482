# SPDX-License-Identifier: BSD-3-Clause
"""The container backend over a scripted engine: what is asked of it, who is alive, and how failures are told."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from scripted_engine import ScriptedEngine, make_backend, make_spec

from dl4mic_orchestrator.backends.base import Probe, ServiceSpec, State, UnavailableError
from dl4mic_orchestrator.backends.container import ContainerBackend
from dl4mic_orchestrator.backends.engine import Engine
from dl4mic_orchestrator.backends.local import LEFT_BEHIND
from dl4mic_orchestrator.records import Gpu

BLUR = ServiceSpec("blur", Path(), ("3.11",))


class Told:
    """Whoever waits."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def report(self, words: str) -> None:
        self.words.append(words)

    def check(self) -> None:
        """Go on."""


def await_end(backend: ContainerBackend, state: State) -> Probe:
    for _ in range(500):
        probe = backend.probe([state])[0]
        if not probe.alive:
            return probe
        time.sleep(0.01)
    pytest.fail("it lives on")


def test_an_image_is_fetched_once(backend: ContainerBackend, engine: ScriptedEngine) -> None:
    told = Told()
    backend.prepare(BLUR, told)
    backend.prepare(BLUR, told)
    assert told.words == ["fetching the image dl4mic-blur:1 (first use)"]
    assert [each for each in engine.calls if each[0] == "pull"] == [
        ["pull", "--quiet", "dl4mic-blur:1"]
    ]


def test_where_there_is_a_gpu_the_image_has_cuda(tmp_path: Path, engine: ScriptedEngine) -> None:
    gpus = (Gpu(0, "A", 1 << 30, (8, 0)),)
    make_backend(tmp_path, engine, gpus=gpus).prepare(BLUR, Told())
    assert engine.calls[-1] == ["pull", "--quiet", "dl4mic-blur:1-gpu"]


def test_an_image_that_cannot_be_had(backend: ContainerBackend, engine: ScriptedEngine) -> None:
    engine.refuse(pull="manifest unknown")
    with pytest.raises(UnavailableError, match=r"dl4mic-blur:1 .* manifest unknown") as caught:
        backend.prepare(BLUR, Told())
    assert caught.value.code == "IMAGE_UNAVAILABLE"


def test_a_container_lives_until_it_is_stopped(
    backend: ContainerBackend, engine: ScriptedEngine, tmp_path: Path
) -> None:
    saved: list[State] = []
    state = backend.launch(make_spec(tmp_path), saved.append)
    assert "pid" not in saved[0] and saved[-1] == state
    calls = len(engine.calls)
    (probe,) = backend.probe([state])
    assert probe.alive and probe.place and not probe.waiting
    assert probe.address == f"unix://{state['socket']}"
    assert len(engine.calls) == calls, "the engine was asked for what /proc tells"
    backend.stop(state, 3.0)
    assert engine.containers == [] and not Path(state["socket"]).parent.exists()
    assert ["stop", "--time", "3", state["name"]] in engine.calls
    backend.stop(state, 3.0)


def test_a_container_is_found_by_its_name_when_its_process_was_not_noted(
    backend: ContainerBackend, engine: ScriptedEngine, tmp_path: Path
) -> None:
    saved: list[State] = []
    backend.launch(make_spec(tmp_path), saved.append)
    again = make_backend(tmp_path, engine)
    assert again.probe([saved[0]])[0].alive
    again.stop(saved[0], 0.0)
    assert engine.containers == []


def test_who_ran_out_of_memory_is_told_from_who_crashed(
    backend: ContainerBackend, engine: ScriptedEngine, tmp_path: Path
) -> None:
    state = backend.launch(make_spec(tmp_path), lambda state: None)
    engine.kill(state["name"])
    fault = await_end(backend, state).fault
    assert fault is not None and fault.code == "CRASHED" and "status 137" in fault.message
    engine.ended(OOMKilled=True)
    fault = backend.probe([state])[0].fault
    assert fault is not None and fault.code == "OUT_OF_MEMORY"


def test_a_container_that_ended_by_itself_has_no_fault(
    backend: ContainerBackend, engine: ScriptedEngine, tmp_path: Path
) -> None:
    state = backend.launch(make_spec(tmp_path), lambda state: None)
    engine.ended(ExitCode=0)
    engine.kill(state["name"])
    probe = await_end(backend, state)
    assert (probe.ended, probe.fault) == (True, None)


def test_a_container_that_does_not_stop_is_removed(
    backend: ContainerBackend, engine: ScriptedEngine, tmp_path: Path
) -> None:
    state = backend.launch(make_spec(tmp_path), lambda state: None)
    process = state["pid"]
    engine.refuse(stop="given PID did not die within timeout")
    backend.stop(state, 0.0)
    assert engine.containers == []
    os.kill(process, signal.SIGKILL)


def test_an_engine_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dl4mic_orchestrator.backends.engine._PATIENCE_SECONDS", 0.2)
    hanging = tmp_path / "podman"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    with pytest.raises(OSError, match=r"podman ps has not ended within 0\.2 s"):
        Engine(str(hanging), {}).run("ps")


def test_a_container_that_somebody_removed(
    backend: ContainerBackend, engine: ScriptedEngine, tmp_path: Path
) -> None:
    state = backend.launch(make_spec(tmp_path), lambda state: None)
    engine.kill(state["name"])
    (engine.home / f"{state['name']}.json").unlink()
    fault = await_end(backend, state).fault
    assert fault is not None and "removed by somebody" in fault.message


def test_a_restarted_machine_is_a_lost_node(backend: ContainerBackend) -> None:
    (probe,) = backend.probe([{"name": "n", "socket": "/s", "boot_id": "before"}])
    assert (probe.alive, probe.node_lost) == (False, True)


def test_an_instance_of_the_machine_that_was_backed_up_is_nobody_s(
    backend: ContainerBackend, engine: ScriptedEngine
) -> None:
    assert backend.probe([LEFT_BEHIND])[0].node_lost
    backend.stop(LEFT_BEHIND, 0.0)
    assert engine.calls == []


def test_who_is_known_to_nobody_is_swept_away(
    backend: ContainerBackend, engine: ScriptedEngine, tmp_path: Path
) -> None:
    state = backend.launch(make_spec(tmp_path), lambda state: None)
    backend.sweep(lambda: {"i-1"})
    assert engine.containers == [state["name"]]
    backend.sweep(lambda: set())
    assert engine.containers == []
    (listed,) = {tuple(each) for each in engine.calls if each[0] == "ps"}
    assert f"label=dl4mic.workspace={state['name'].split('-')[1]}" in listed


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=0", "GPU_UNUSABLE"),
        ("statfs /lab/plate7: no such file or directory", "VOLUME_UNAVAILABLE"),
        ('invalid mount config: bind source path does not exist: "/lab"', "VOLUME_UNAVAILABLE"),
        ("cannot set memory limit: cgroups not delegated", "ENVIRONMENT_UNAVAILABLE"),
    ],
)
def test_why_a_container_cannot_be_started(
    words: str, code: str, backend: ContainerBackend, engine: ScriptedEngine, tmp_path: Path
) -> None:
    engine.refuse(run=words)
    with pytest.raises(UnavailableError) as caught:
        backend.launch(make_spec(tmp_path), lambda state: None)
    assert caught.value.code == code and words in caught.value.message
    assert caught.value.hint


def test_docker_is_asked_whether_its_root_is_our_user(
    tmp_path: Path, engine: ScriptedEngine
) -> None:
    make_backend(tmp_path, engine, "docker").launch(make_spec(tmp_path), lambda state: None)
    (run,) = [each for each in engine.calls if each[0] == "run"]
    assert ["info", "--format", "{{.SecurityOptions}}"] in engine.calls
    assert "--user" in run and not any(each.startswith("--userns") for each in run)

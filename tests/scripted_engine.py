# SPDX-License-Identifier: BSD-3-Clause
"""A container engine that is a script: its containers are processes of this machine, its answers those of a file."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from dl4mic_orchestrator.backends.base import LaunchSpec, ServiceSpec
from dl4mic_orchestrator.backends.container import ContainerBackend
from dl4mic_orchestrator.backends.engine import Engine
from dl4mic_orchestrator.backends.images import ServiceImages
from dl4mic_orchestrator.records import Capacity, Gpu, Grant

SCRIPT = r"""
import json, os, signal, subprocess, sys
from pathlib import Path

home = Path(os.environ["SCRIPTED_ENGINE"])
words = sys.argv[1:]
with (home / "calls").open("a") as log:
    log.write(json.dumps(words) + "\n")
refusals = json.loads((home / "refusals").read_text())
if words[0] in refusals:
    sys.exit("Error: " + refusals[words[0]])


def absent(name):
    sys.exit(f'Error: no container with name or ID "{name}" found: no such container')


def read(name):
    try:
        return json.loads((home / f"{name}.json").read_text())
    except FileNotFoundError:
        absent(name)


def runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


match words:
    case ["run", *options]:
        name = options[options.index("--name") + 1]
        sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
        process = subprocess.Popen(
            sleep, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        (home / f"{name}.json").write_text(json.dumps({"Pid": process.pid}))
    case ["container", "inspect", "--format", form, name]:
        state = read(name)
        if not runs(state["Pid"]):
            state |= {"Pid": 0, "ExitCode": 137} | json.loads((home / "ended").read_text())
        print(state["Pid"] if "Pid" in form else json.dumps(state))
    case ["stop", "--time", _, name]:
        try:
            os.kill(read(name)["Pid"], signal.SIGKILL)
        except ProcessLookupError:
            pass
    case ["rm", "--force", name]:
        read(name)
        (home / f"{name}.json").unlink()
    case ["ps", *_]:
        print("\n".join(each.stem for each in home.glob("dl4mic-*.json")))
    case ["image", "inspect", *_, image]:
        if image not in (home / "images").read_text().split():
            sys.exit(f"Error: {image}: image not known")
    case ["pull", "--quiet", image]:
        with (home / "images").open("a") as images:
            images.write(image + "\n")
    case ["info", *_]:
        print("[name=seccomp]")
"""


@dataclass
class ScriptedEngine:
    """What the script answers, and what it was called with."""

    home: Path

    def program(self, name: str) -> str:
        script = self.home / "engine.py"
        script.write_text(SCRIPT)
        program = self.home / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -S {script} "$@"\n')
        program.chmod(0o755)
        return str(program)

    @property
    def calls(self) -> list[list[str]]:
        path = self.home / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def containers(self) -> list[str]:
        return sorted(path.stem for path in self.home.glob("dl4mic-*.json"))

    def refuse(self, **commands: str) -> None:
        (self.home / "refusals").write_text(json.dumps(commands))

    def ended(self, **state: object) -> None:
        (self.home / "ended").write_text(json.dumps(state))

    def kill(self, name: str) -> None:
        os.kill(json.loads((self.home / f"{name}.json").read_text())["Pid"], 9)


def make_backend(
    tmp_path: Path, engine: ScriptedEngine, name: str = "podman", gpus: tuple[Gpu, ...] = ()
) -> ContainerBackend:
    environment = {**os.environ, "SCRIPTED_ENGINE": str(engine.home)}
    return ContainerBackend(
        Engine(engine.program(name), environment),
        {"blur": ServiceImages("dl4mic-blur:1", "dl4mic-blur:1-gpu")},
        tmp_path / "r",
        Capacity(4, 8 << 30, gpus),
        tmp_path / "w",
    )


def make_spec(tmp_path: Path, grant: Grant = Grant(1.5, 2 << 30), attempt: int = 2) -> LaunchSpec:  # noqa: B008
    folder = tmp_path / "w" / "jobs" / "train-1"
    (folder / "2").mkdir(parents=True, exist_ok=True)
    service = ServiceSpec("blur", tmp_path / "services" / "blur", ("3.11",))
    log = folder / "2" / "host.log" if attempt else tmp_path / "warm.log"
    return LaunchSpec(
        "i-1", service, grant, folder.parent, attempt, log, 60.0,
        reads=(tmp_path / "data" / "train", tmp_path / "data" / "train" / "source", folder / "1"),
        writes=(folder,) if attempt else (),
        labels={"job": "train-1", "network": "blur"},
    )  # fmt: skip

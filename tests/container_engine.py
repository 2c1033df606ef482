# SPDX-License-Identifier: BSD-3-Clause
"""A container engine for tests that works on this machine: its settings, images of this tree, whether it runs one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOL = Path(os.environ.get("TEST_CLUSTER", ROOT.parent / "shared" / "cluster" / "cluster"))
"""Sets podman up for machines on which it does not work by itself, and makes a cluster of one."""

_BUSY = "another command is at work"
_BUSY_SECONDS = 900.0
"""The tool does one thing at a time."""


class NoEngine(Exception):
    """There is none that works, or it lacks the image."""


def has_tool() -> bool:
    """Say whether the tool is on this machine."""
    return os.access(TOOL, os.X_OK)


def prepare() -> None:
    """Have the tool, where it is there, make what it builds with.

    Raises
    ------
    NoEngine
        It does not work on this machine.
    """
    if has_tool():
        run_tool("build")
        run_tool("base-image")


def build_images(*names: str) -> None:
    """Build images of this tree as `make images` does; where nothing has changed, that takes seconds.

    Raises
    ------
    NoEngine
        This machine cannot.
    """
    prepare()
    command = [sys.executable, str(ROOT / "helm" / "images" / "build.py"), *names]
    _run([*command, "--builder", f"{TOOL} image build"] if has_tool() else command)


def run_tool(*words: str) -> None:
    """Run a command of the tool.

    Raises
    ------
    NoEngine
        It failed.
    """
    _run([str(TOOL), *words])


def _run(command: list[str]) -> None:
    """Run a command, after those of others; what it says is of interest only where it fails."""
    end = time.monotonic() + _BUSY_SECONDS
    while True:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode == 0:
            return
        if _BUSY not in done.stdout or time.monotonic() > end:
            raise NoEngine(f"{' '.join(command)}: {done.stdout.strip()[-600:]}")
        time.sleep(2)


def podman_settings() -> dict[str, str]:
    """Give the variables with which podman works here.

    Raises
    ------
    NoEngine
        It is not installed.
    """
    if shutil.which("podman") is None:
        raise NoEngine("podman is not installed")
    if not has_tool():
        return {}
    home = Path(os.environ.get("CLUSTER_HOME", Path.home() / ".cache" / "test-cluster"))
    # It writes the settings anew at each call, which those that run meanwhile would find half written: one call is all.
    subprocess.run([TOOL, "podman", "version"], capture_output=True, check=False)
    files = {
        "CONTAINERS_CONF": home / "containers" / "containers.conf",
        "CONTAINERS_STORAGE_CONF": home / "containers" / "storage.conf",
    }
    return {name: str(path) for name, path in files.items() if path.exists()}


def check_runs(image: str, settings: dict[str, str]) -> None:
    """Run a container of an image.

    Raises
    ------
    NoEngine
        It is not there, or podman runs nothing here.
    """
    # In the background: where nobody reaps its helper, podman waits 20 s for a container that has ended.
    run = ["podman", "run", "--detach", "--pull=never", "--network=none", image, "sleep", "60"]
    environment = {**os.environ, **settings}
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoEngine(
            f"podman cannot run {image} (see `make images`): {done.stderr.strip()[-300:]}"
        )
    remove = ["podman", "rm", "--force", "--time", "0", done.stdout.strip()]
    subprocess.run(remove, env=environment, capture_output=True, check=False)

# SPDX-License-Identifier: BSD-3-Clause
"""The main job in a network namespace that holds nothing, not even a loopback that is up: no part of it calls out."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from servers import ENVIRONMENTS, FAKES, processes_with, write_spots

ISOLATED = ["unshare", "--net", "--map-root-user"]


def isolation_is_possible() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*ISOLATED, "true"], stderr=subprocess.DEVNULL).returncode == 0


@pytest.mark.skipif(
    not isolation_is_possible(), reason="unshare cannot make a network namespace here"
)
def test_train_qc_and_predict_without_any_network(tmp_path: Path) -> None:
    write_spots(tmp_path / "data", 5, seed=0)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    (workspace / "environments").symlink_to(ENVIRONMENTS)
    images, masks = tmp_path / "data" / "images", tmp_path / "data" / "masks"
    commands = f"""set -e
        dl4mic train blur --source {images} --target {masks} --model spots --set epochs=2
        dl4mic qc spots --source {images} --target {masks} --out {tmp_path}/qc
        dl4mic predict spots --source {images} --out {tmp_path}/found"""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {
        **os.environ,
        "PATH": path,
        "DL4MIC_WORKSPACE": str(workspace),
        "DL4MIC_SERVICES": str(FAKES),
    }
    # Environments are made from packages, once: that step alone needs the network.
    warm_up = f"dl4mic train blur --source {images} --target {masks} --model first --set epochs=1"
    subprocess.run(["bash", "-c", warm_up], env=environment, check=True)
    _stop_server(workspace)
    done = subprocess.run(
        [*ISOLATED, "bash", "-c", commands],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    _stop_server(workspace)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "qc" / "report.pdf").exists()
    assert len(list((tmp_path / "found").glob("*.tif"))) == 5


def _stop_server(workspace: Path) -> None:
    """End the embedded server, so that the next command starts one where it runs itself."""
    words = f"--workspace {workspace}"
    for process in processes_with(words):
        os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + 30
    while processes_with(words) and time.monotonic() < deadline:
        time.sleep(0.1)

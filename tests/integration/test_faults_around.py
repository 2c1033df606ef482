# SPDX-License-Identifier: BSD-3-Clause
"""What is not a worker's: a clock that jumps, an environment that cannot be made, what cannot be published."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from servers import FAKES, ROOT, Server

from dl4mic.v1.job_pb2 import Job, JobError

from .serving import job, running, until, wait_for

JUMPING_CLOCK = """
import sys
import time

_real = time.time


def _time():
    if sys._getframe(1).f_globals["__name__"].startswith("grpc"):
        return _real()  # its core compares with the machine's clock, which is not set here
    with open({file!r}) as file:
        return _real() + float(file.read() or 0)


time.time = _time
"""
"""Stands for a clock that is set while processes run; a test must not set the machine's."""

DAY = 86_400


@pytest.fixture(params=["service", "orchestrator"])
def clocked(
    request: pytest.FixtureRequest, tmp_path: Path, spots: Path
) -> Iterator[tuple[Server, Path]]:
    """A server over data that may be spoiled, and the file that says by how many seconds its clock is wrong."""
    data, folder, clock = (tmp_path / name for name in ("data", "served", "clock"))
    shutil.copytree(spots, data)
    folder.mkdir()
    clock.write_text("0")
    (tmp_path / "site").mkdir()
    code = JUMPING_CLOCK.format(file=str(clock))
    (tmp_path / "site" / "sitecustomize.py").write_text(code)
    path = ":".join(
        [
            str(tmp_path / "site"),
            *(str(ROOT / each) for each in ("proto", "services/_sdk", "orchestrator")),
        ]
    )
    with running(request.param, folder, data, variables={"PYTHONPATH": path}) as server:
        yield server, clock


def test_a_clock_that_jumps_ends_nothing_and_holds_nothing_up(
    clocked: tuple[Server, Path],
) -> None:
    """Forwards beyond the deadline while it runs, then back before it was sent while it pauses."""
    server, clock = clocked
    request = server.train_request("a", epochs=30, step_seconds=0.02)
    request.options.deadline.FromSeconds(3600)
    server.networks.Train(request)
    until(server, "a", "checkpoint")
    clock.write_text(str(2 * DAY))
    until(server, "a", "progress", job(server, "a").last_sequence)
    away = server.data.with_name("away")
    server.data.rename(away)
    wait_for(lambda: "trying again in" in job(server, "a").waiting_reason)
    assert job(server, "a").error.code == JobError.VOLUME_UNAVAILABLE
    clock.write_text(str(-2 * DAY))
    away.rename(server.data)
    ended = server.wait("a")
    assert ended.state == Job.SUCCEEDED, ended.error


def test_an_environment_that_cannot_be_made_is_waited_for(tmp_path: Path, spots: Path) -> None:
    """Its lock is broken; the job says so, and goes on when somebody has mended it."""
    services, folder = tmp_path / "services", tmp_path / "served"
    shutil.copytree(FAKES / "blur", services / "blur")
    folder.mkdir()
    lock = services / "blur" / "requirements.txt"
    lock.write_text("numpy @@ broken\n")
    flags = ["--services", str(services)]
    with running("orchestrator", folder, spots, flags=flags) as server:
        server.train("a", epochs=1)
        wait_for(lambda: "trying again in" in job(server, "a").waiting_reason)
        waiting = job(server, "a")
        assert (waiting.state, waiting.error.code) == (
            Job.PENDING,
            JobError.ENVIRONMENT_UNAVAILABLE,
        )
        assert "the environment of blur cannot be made" in waiting.waiting_reason
        assert "trying again in 10 s" in waiting.waiting_reason and waiting.error.hint
        wait_for(lambda: "trying again in 20 s" in job(server, "a").waiting_reason)
        shutil.copy(FAKES / "blur" / "requirements.txt", lock)
        ended = server.wait("a")
        assert (ended.state, ended.model) == (Job.SUCCEEDED, "spots:1"), ended.error


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Let nobody write into an empty folder: by its mode, or for root, who is above that, by what is mounted there."""
    if os.geteuid():
        folder.chmod(0o500)
        yield
        folder.chmod(0o700)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)]
    if subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("root may not mount here, and is above a folder's mode")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_result_that_cannot_be_published_is_waited_for(tmp_path: Path, spots: Path) -> None:
    """The models lie on a disk that is mounted for reading alone; the job says so, and publishes once it is not."""
    folder = tmp_path / "served"
    models = folder / "workspace" / "models"
    models.mkdir(mode=0o700, parents=True)
    with running("orchestrator", folder, spots) as server:
        with unwritable(models):
            server.train("a", epochs=2)
            wait_for(lambda: "trying again in 10 s" in job(server, "a").waiting_reason)
            waiting = job(server, "a")
            assert (waiting.state, waiting.error.code) == (Job.PENDING, JobError.VOLUME_UNAVAILABLE)
            assert str(models) in waiting.waiting_reason and waiting.error.hint
            assert not (models.parent / "jobs" / "a" / "artifacts").exists()
        ended = server.wait("a")
        assert (ended.state, ended.model, ended.attempt) == (Job.SUCCEEDED, "spots:1", 2), (
            ended.error
        )
        steps = [each.progress.done for each in server.events("a") if each.HasField("progress")]
        assert steps == sorted(
            steps
        )  # the second attempt went on from the first one's last checkpoint

# SPDX-License-Identifier: BSD-3-Clause
"""A disk that fills up, folders that go away, and memory that the kernel takes back."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
import tifffile
from servers import Server, value_of, write_spots

from dl4mic.fold import has_ended
from dl4mic.v1.data_pb2 import Dataset, ModelReference
from dl4mic.v1.job_pb2 import (
    CancelJobRequest,
    Job,
    JobError,
    ReadLogRequest,
    RetryJobRequest,
)
from dl4mic.v1.request_pb2 import JobOptions, PredictRequest

from .serving import job, running, until, wait_for

SIZE_MIB = 700
"""More than an orchestrator keeps free before it refuses jobs (512 MiB)."""

CGROUP = Path("/sys/fs/cgroup")


def try_to(*command: str) -> bool:
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own; a quota would do, but is rarer still."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not try_to("mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "tmpfs", str(disk)):
        pytest.skip(
            "this user may not mount a small file system; tests/integration/test_faults.py has what stands for it: "
            'fault="disk", the error of a full disk, raised in the worker alone'
        )
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Take what is left, down to the last page."""
    filler = disk / "filler"
    with filler.open("ab") as file:
        for size in (1 << 20, 1 << 12):
            while True:
                end = file.seek(0, os.SEEK_END)
                try:
                    os.posix_fallocate(file.fileno(), end, size)
                except OSError:
                    file.truncate(end)
                    break
    return filler


def refused(call: Callable[[], object]) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("kind", ["service", "orchestrator"])
def test_a_full_disk_ends_the_job_and_room_lets_it_go_on(
    kind: str, small_disk: Path, spots: Path
) -> None:
    with running(kind, small_disk, spots) as server:
        server.train("a", epochs=40, step_seconds=0.05)
        until(server, "a", "checkpoint")
        filler = fill(small_disk)
        for _ in range(20):  # the orchestrator gives up its reserve for its store; others take it
            time.sleep(0.3)
            if has_ended(job(server, "a")):
                break
            fill(small_disk)
        ended = server.wait("a")
        assert (ended.state, ended.error.code) == (Job.FAILED, JobError.DISK_FULL), ended.error
        assert "space" in ended.error.hint and ended.attempt == 1
        assert server.jobs.ReadLog(ReadLogRequest(job_id="a")).text
        full = refused(lambda: server.train("b"))
        assert full.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert [
            each.name for each in small_disk.rglob("artifacts") if each.parent.name == "a"
        ] == []
        filler.unlink()
        before = server.events("a")
        server.jobs.RetryJob(RetryJobRequest(job_id="a"))
        until(server, "a", "progress", before[-1].sequence)
        again = job(server, "a")
        assert (again.attempt, again.progress.done > 1) == (2, True)
        server.jobs.CancelJob(CancelJobRequest(job_id="a"))
        assert server.wait("a").state == Job.CANCELLED
        server.train("c", epochs=1)
        assert server.wait("c").state == Job.SUCCEEDED


def predict(server: Server, source: Path, **parameters: object) -> None:
    """Ask for a prediction `p` with a model that is trained first."""
    server.train("m", epochs=1)
    assert server.wait("m").state == Job.SUCCEEDED
    request = PredictRequest(network="blur", data=Dataset(source=str(source)))
    request.options.CopyFrom(JobOptions(job_id="p"))
    request.model.CopyFrom(ModelReference(name=job(server, "m").model))
    for name, value in parameters.items():
        request.parameters[name].CopyFrom(value_of(value))
    server.networks.Predict(request)


@pytest.mark.parametrize("kind", ["service", "orchestrator"])
def test_a_disk_without_room_for_a_large_result_ends_the_prediction(
    kind: str, small_disk: Path, tmp_path: Path
) -> None:
    """There is room for a small result and for what the job says, but not for that of a series."""
    data = tmp_path / "data"
    write_spots(data / "train", 4, seed=0)
    source = data / "source"
    source.mkdir()
    image = tifffile.imread(data / "train" / "images" / "spots0.tif")
    tifffile.imwrite(source / "a.tif", image)
    series = np.tile(image, (16, 10, 10))
    tifffile.imwrite(source / "b.tif", series, imagej=True, metadata={"axes": "TYX"})
    with running(kind, small_disk, data) as server:
        predict(server, source, step_seconds=5)
        wait_for(lambda: job(server, "p").state == Job.RUNNING)
        filler = fill(small_disk)
        os.truncate(filler, filler.stat().st_size - (3 << 20))
        ended = server.wait("p")
        assert (ended.state, ended.error.code) == (Job.FAILED, JobError.DISK_FULL), ended.error
        assert ended.attempt == 1 and ended.progress.done == 1
        (finished,) = small_disk.rglob("predictions/a.tif")
        first = finished.stat().st_ino
        filler.unlink()
        server.jobs.RetryJob(RetryJobRequest(job_id="p"))
        again = server.wait("p")
        assert (again.state, again.attempt) == (Job.SUCCEEDED, 2), again.error
        assert again.progress.done == 2 and not again.progress.failed
        (result,) = small_disk.rglob("p/artifacts/predictions/b.tif")
        assert result.with_name("a.tif").stat().st_ino == first
        assert tifffile.imread(result).shape == series.shape


@pytest.fixture(params=["service", "orchestrator"])
def server(request: pytest.FixtureRequest, tmp_path: Path, spots: Path) -> Iterator[Server]:
    """A server over a copy of the data that a test may spoil."""
    data = tmp_path / "data"
    shutil.copytree(spots, data)
    folder = tmp_path / "served"
    folder.mkdir()
    with running(request.param, folder, data) as server:
        yield server


def train_until_running(server: Server, **parameters: object) -> None:
    server.train("a", epochs=200, step_seconds=0.02, **parameters)
    until(server, "a", "checkpoint")


def test_inputs_deleted_in_mid_job_are_named(server: Server) -> None:
    train_until_running(server)
    images = server.data / "train" / "images"
    for path in images.iterdir():
        path.unlink()
    ended = server.wait("a")
    assert (ended.state, ended.error.code) == (Job.FAILED, JobError.INVALID_INPUT), ended.error
    assert ended.error.hint and str(images) in str(ended.error)


def test_inputs_changed_in_mid_job_are_named(server: Server) -> None:
    train_until_running(server)
    for path in (server.data / "train" / "images").iterdir():
        path.write_bytes(b"no longer an image")
    ended = server.wait("a")
    assert (ended.state, ended.error.code) == (Job.FAILED, JobError.INVALID_INPUT), ended.error
    assert ended.error.hint and "spots" in str(ended.error)


def test_a_data_root_that_vanishes_is_waited_for(server: Server) -> None:
    """As a share that is not mounted for a while: the job says so, and goes on when it is back."""
    server.train("a", epochs=30, step_seconds=0.02)
    until(server, "a", "checkpoint")
    away = server.data.with_name("away")
    server.data.rename(away)
    wait_for(lambda: "trying again in" in job(server, "a").waiting_reason)
    waiting = job(server, "a")
    assert (waiting.state, waiting.error.code) == (Job.PENDING, JobError.VOLUME_UNAVAILABLE)
    assert "is not there" in waiting.waiting_reason and waiting.error.hint
    away.rename(server.data)
    ended = server.wait("a")
    assert ended.state == Job.SUCCEEDED, ended.error
    resumed = [
        each.progress.done
        for each in server.events("a")
        if each.attempt == ended.attempt and each.HasField("progress")
    ]
    assert resumed[0] > 1


def test_a_job_that_waits_for_a_lost_folder_can_be_cancelled(server: Server) -> None:
    train_until_running(server)
    server.data.rename(server.data.with_name("away"))
    wait_for(lambda: "trying again in" in job(server, "a").waiting_reason)
    server.jobs.CancelJob(CancelJobRequest(job_id="a"))
    assert server.wait("a").state == Job.CANCELLED


@contextmanager
def group_of_memory(mib: int) -> Iterator[tuple[str, ...]]:
    """Make a control group with a limit; yields the beginning of a command line that runs in it."""
    name = f"dl4mic-test-{os.getpid()}"
    if (CGROUP / "cgroup.controllers").exists():
        group, limit = CGROUP / name, "memory.max"
    else:
        group, limit = CGROUP / "memory" / name, "memory.limit_in_bytes"
    try:
        group.mkdir(exist_ok=True)
        (group / limit).write_text(str(mib << 20))
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        yield ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh")
    finally:
        with (group / "cgroup.procs").open() as left:
            for process in left.read().split():
                os.kill(int(process), signal.SIGKILL)
        wait_for(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


@pytest.mark.parametrize("kind", ["service", "orchestrator"])
def test_the_kernel_s_kill_is_told_from_anybody_else_s(
    kind: str, tmp_path: Path, spots: Path
) -> None:
    with group_of_memory(900) as prefix, running(kind, tmp_path, spots, *prefix) as server:
        server.train("a", fault="allocate")
        ended = server.wait("a")
        assert (ended.state, ended.error.code) == (Job.FAILED, JobError.OUT_OF_MEMORY), ended.error
        assert "the kernel ended the worker" in ended.error.message
        assert "patch_size" in ended.error.hint and ended.attempt == 1
        server.train("b", epochs=1)
        assert server.wait("b").state == Job.SUCCEEDED

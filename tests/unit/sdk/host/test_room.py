# SPDX-License-Identifier: BSD-3-Clause
"""A service by itself takes nothing on a disk that is full: neither a new job, nor one that is tried again."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from dl4mic.manifest import read_service
from dl4mic.v1.job_pb2 import Job
from dl4mic.v1.request_pb2 import JobOptions, TrainRequest
from dl4mic_sdk.host import jobs as host_jobs
from dl4mic_sdk.host.jobs import ROOM_BYTES, Jobs
from dl4mic_sdk.host.runner import Runner

BLUR = Path(__file__).resolve().parents[3] / "fakes" / "blur"


def train(jobs: Jobs, job_id: str) -> Job:
    request = TrainRequest(network="blur", model="m", options=JobOptions(job_id=job_id))
    request.data.source = request.data.target = "lab:"
    return jobs.submit(request, True, "tester")


def test_a_full_disk_takes_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runner, "start", lambda self: None)
    jobs = Jobs(read_service(BLUR), tmp_path / "jobs", {"lab": tmp_path})
    train(jobs, "a")
    jobs.cancel("a")
    disk = SimpleNamespace(free=ROOM_BYTES - 1)
    monkeypatch.setattr(host_jobs.shutil, "disk_usage", lambda path: disk)
    for take in (lambda: train(jobs, "b"), lambda: jobs.retry("a")):
        with pytest.raises(OSError) as caught:
            take()
        assert caught.value.errno == errno.ENOSPC
    disk.free += 1
    assert jobs.retry("a").attempt == 2

# SPDX-License-Identifier: BSD-3-Clause
"""A job that was deleted is gone at once and for good, and its id is free for another one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dl4mic.manifest import read_service
from dl4mic.v1.job_pb2 import Job
from dl4mic.v1.request_pb2 import JobOptions, TrainRequest
from dl4mic_sdk.host import jobs as host_jobs
from dl4mic_sdk.host.jobs import Jobs
from dl4mic_sdk.host.runner import Runner

BLUR = Path(__file__).resolve().parents[3] / "fakes" / "blur"


class Killed(BaseException):
    """The host ends here."""


@pytest.fixture(autouse=True)
def no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runner, "start", lambda self: None)


def host(folder: Path) -> Jobs:
    (folder / "lab").mkdir(exist_ok=True)
    return Jobs(read_service(BLUR), folder / "jobs", {"lab": folder / "lab"})


def train(jobs: Jobs, seconds: int = 0) -> Job:
    request = TrainRequest(network="blur", model="m", options=JobOptions(job_id="nightly"))
    request.data.source = request.data.target = "lab:"
    if seconds:
        request.options.deadline.FromSeconds(seconds)
    return jobs.submit(request, True, "tester")


def ended(folder: Path) -> Jobs:
    """Give a host with a job that has ended, and what it made."""
    jobs = host(folder)
    train(jobs, seconds=60)
    jobs.cancel("nightly")
    (folder / "jobs" / "nightly" / "1" / "weights").write_bytes(b"old")
    return jobs


def test_a_deletion_that_is_cut_brings_no_part_of_the_job_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = ended(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(host_jobs.shutil, "rmtree", lambda path, **more: cut(path))
        with pytest.raises(Killed):
            jobs.delete("nightly")
    assert host(tmp_path).all() == []
    assert not list((tmp_path / "jobs").rglob("weights"))


def cut(path: str) -> None:
    (Path(path) / "1" / "events.jsonl").unlink()
    raise Killed


def test_a_deletion_leaves_the_next_job_of_the_id_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = ended(tmp_path)
    real = shutil.rmtree
    monkeypatch.setattr(
        host_jobs.shutil, "rmtree", lambda path, **more: (train(jobs), real(path, **more))
    )
    assert jobs.delete("nightly") > 0
    assert jobs.record("nightly").job().state == Job.PENDING
    assert (tmp_path / "jobs" / "nightly" / "job.json").exists()
    assert not list((tmp_path / "jobs").rglob("weights"))


def test_the_next_job_of_an_id_has_no_deadline_of_the_one_before(tmp_path: Path) -> None:
    jobs = ended(tmp_path)
    jobs.delete("nightly")
    assert not train(jobs).HasField("deadline_time")
    assert jobs._runner._waiting.take_overdue(float("inf")) == []

# SPDX-License-Identifier: BSD-3-Clause
"""A service by itself, killed or stopped in mid-training, goes on when it is back."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from servers import Server, processes_with, serve_service, write_spots

from dl4mic.v1.job_pb2 import CancelJobRequest, GetJobRequest, Job, WatchJobRequest


class Service(Server):
    """A service over a folder of jobs that outlives it."""

    def __init__(self, folder: Path) -> None:
        self.kind = "service"
        self.folder = folder
        self.data = folder / "data"

    def start(self) -> None:
        address = f"unix://{self.folder}/s.sock"
        with (self.folder / "service.log").open("ab") as log:
            command = serve_service(self.folder, address, self.data)
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        assert self.process.stdout is not None
        assert json.loads(self.process.stdout.readline())["address"] == address
        self.channel = grpc.insecure_channel(f"unix:{self.folder}/s.sock")

    def end(self, number: signal.Signals) -> None:
        self.channel.close()
        self.process.send_signal(number)
        self.process.wait(60)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    write_spots(tmp_path / "data" / "train", 4, seed=0)
    service = Service(tmp_path)
    service.start()
    yield service
    service.end(signal.SIGKILL)


def train_until_a_checkpoint(service: Service, job_id: str) -> None:
    service.train(job_id, epochs=10, step_seconds=0.1)
    for event in service.jobs.WatchJob(WatchJobRequest(job_id=job_id), timeout=60):
        if event.HasField("checkpoint"):
            return
    pytest.fail("the job ended without a checkpoint")


def wait_until_gone(words: str) -> None:
    deadline = time.monotonic() + 10
    while processes_with(words):
        assert time.monotonic() < deadline, processes_with(words)
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_its_job_goes_on_from_the_checkpoint(service: Service, number: signal.Signals) -> None:
    train_until_a_checkpoint(service, "long")
    service.end(number)
    wait_until_gone(f"{service.folder}/jobs/long")
    service.start()
    job = service.wait("long")
    assert (job.state, job.attempt) == (Job.SUCCEEDED, 2), job.error
    events = service.events("long")
    assert [each.sequence for each in events] == list(range(1, len(events) + 1))
    assert sum(each.state.state == Job.SUCCEEDED for each in events) == 1
    resumed = [
        each.progress.done for each in events if each.attempt == 2 and each.HasField("progress")
    ]
    assert resumed[0] > 1


def test_what_had_ended_is_still_known(service: Service) -> None:
    service.train("short", epochs=1)
    before = service.wait("short")
    service.end(signal.SIGTERM)
    service.start()
    assert service.jobs.GetJob(GetJobRequest(job_id="short")) == before


def test_a_job_that_was_to_be_cancelled_is_not_taken_up(service: Service) -> None:
    service.train("stubborn", epochs=1000, step_seconds=0.2, fault="deaf")
    train = service.jobs.WatchJob(WatchJobRequest(job_id="stubborn"), timeout=60)
    next(event for event in train if event.HasField("progress"))
    service.jobs.CancelJob(CancelJobRequest(job_id="stubborn"))
    service.end(signal.SIGKILL)
    service.start()
    assert service.wait("stubborn").state == Job.CANCELLED
    wait_until_gone(f"{service.folder}/jobs/stubborn")

# SPDX-License-Identifier: BSD-3-Clause
"""Orchestrators as processes of their own, over workspaces that outlive them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from servers import ENVIRONMENTS, FAKES, ROOT, Server, processes_with, write_bad_spots, write_spots

from dl4mic.v1.catalog_pb2_grpc import CatalogServiceStub
from dl4mic.v1.data_pb2_grpc import DataServiceStub
from dl4mic.v1.job_pb2 import GetJobRequest, Job, WatchJobRequest
from dl4mic.v1.model_pb2_grpc import ModelServiceStub


class Orchestrator(Server):
    """An orchestrator over a workspace, that can be killed and started again."""

    def __init__(self, workspace: Path, data: Path) -> None:
        self.kind = "orchestrator"
        self.workspace = self.folder = workspace
        self.data = data
        self.flags: list[str] = []
        self.listen = f"unix://{workspace}/o.sock"

    def start(self, *flags: str, listen: str = "") -> Orchestrator:
        self.flags = list(flags) or self.flags
        self.listen = listen or self.listen
        command = [
            sys.executable, "-m", "dl4mic_orchestrator", "--listen", self.listen,
            "--workspace", str(self.workspace), "--services", str(FAKES), "--sdk", str(ROOT / "services" / "_sdk"),
            "--root", f"lab={self.data}", "--environments", str(ENVIRONMENTS), *self.flags,
        ]  # fmt: skip
        with (self.workspace / "test.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        assert self.process.stdout is not None
        announced = self.process.stdout.readline()
        if not announced:
            pytest.fail((self.workspace / "test.log").read_text())
        self.address = json.loads(announced)["address"]
        self.channel = grpc.insecure_channel(self.address.replace("unix://", "unix:"))
        return self

    def kill(self) -> None:
        self.channel.close()
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.channel.close()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    @property
    def catalog(self) -> CatalogServiceStub:
        return CatalogServiceStub(self.channel)

    @property
    def models(self) -> ModelServiceStub:
        return ModelServiceStub(self.channel)

    @property
    def files(self) -> DataServiceStub:
        return DataServiceStub(self.channel)

    def job(self, job_id: str) -> Job:
        return self.jobs.GetJob(GetJobRequest(job_id=job_id))

    def wait_for(self, job_id: str, kind: str, after: int = 0) -> None:
        """Wait for an event of a kind."""
        request = WatchJobRequest(job_id=job_id, after_sequence=after)
        for event in self.jobs.WatchJob(request, timeout=120):
            if event.HasField(kind):
                return
        pytest.fail(f"the job ended without a {kind}: {self.job(job_id)}")

    def processes(self) -> list[int]:
        """Ids of the processes of its instances and workers."""
        return [pid for pid in processes_with(f"{self.workspace}/jobs") if pid != self.process.pid]


@pytest.fixture(scope="session")
def spots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with train, test and bad parts."""
    root = tmp_path_factory.mktemp("data")
    for seed, (part, count) in enumerate({"train": 6, "test": 3}.items()):
        write_spots(root / part, count, seed)
    write_bad_spots(root / "bad")
    return root


@pytest.fixture
def new_orchestrator(tmp_path: Path, spots: Path) -> Iterator[Callable[..., Orchestrator]]:
    """Make orchestrators that leave no process behind, whatever the test does to them."""
    made: list[Orchestrator] = []

    def make(*flags: str, listen: str = "") -> Orchestrator:
        workspace = tmp_path / f"w{len(made)}"
        workspace.mkdir()
        made.append(Orchestrator(workspace, spots))
        return made[-1].start(*flags, listen=listen)

    yield make
    for orchestrator in made:
        if orchestrator.process.poll() is None:
            orchestrator.kill()
        for pid in orchestrator.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.05)

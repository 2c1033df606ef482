# SPDX-License-Identifier: BSD-3-Clause
"""What is asked before a request becomes a job, and before a job is opened again: called as a client calls it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from servers import FAKES

from dl4mic.locations import Locations
from dl4mic.manifest import read_service
from dl4mic.server import listen
from dl4mic.v1.job_pb2 import Job
from dl4mic.v1.network_pb2_grpc import NetworkServiceStub, add_NetworkServiceServicer_to_server
from dl4mic.v1.request_pb2 import JobOptions, TrainRequest
from dl4mic_orchestrator.api.errors import translate
from dl4mic_orchestrator.api.network import Admission, NetworkApi
from dl4mic_orchestrator.catalog import Catalog
from dl4mic_orchestrator.front.tokens import Identity
from dl4mic_orchestrator.records import Allowance, Capacity, JobState
from dl4mic_orchestrator.registry import BentoContent, Registry
from dl4mic_orchestrator.store import Store
from dl4mic_orchestrator.trash import JobFolders

CATALOG = Catalog([read_service(FAKES / "blur")])


class Server:
    """The API over a store, with nobody who works for its jobs."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store.sqlite")
        self.jobs = folder / "jobs"
        folders = JobFolders(self.store.jobs, self.jobs)
        (folder / "data").mkdir()
        locations = Locations({"lab": folder / "data"}, folder / "uploads", lambda job_id: folder)
        admission = Admission(
            CATALOG, self.store.jobs, folders, Registry(self.store.models, BentoContent(folder)),
            locations, lambda: Capacity(2, 8 << 30), folder, 0, lambda project: Allowance(), lambda project: 0,
        )  # fmt: skip
        networks = NetworkApi(admission, None, lambda: None, lambda context: Identity("tester"))  # type: ignore[arg-type]
        servicers = {add_NetworkServiceServicer_to_server: networks}
        self._listening = listen("localhost:0", servicers, translate=translate)
        self._channel = grpc.insecure_channel(self._listening.address)
        self.networks = NetworkServiceStub(self._channel)

    def train(self, job_id: str, model: str = "m") -> Job:
        request = TrainRequest(network="blur", model=model, options=JobOptions(job_id=job_id))
        request.data.source = request.data.target = "lab:"
        return self.networks.Train(request)

    def close(self) -> None:
        self._channel.close()
        self._listening.server.stop(None).wait()
        self.store.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path)
    yield started
    started.close()


def test_what_a_deleted_job_of_its_id_left_is_put_aside(server: Server) -> None:
    server.train("a")
    old = server.jobs / "a" / "1" / "events.jsonl"
    old.parent.mkdir(parents=True)
    old.touch()
    server.train("a")  # is the same job
    assert old.exists()
    server.store.jobs.change_state("a", 1, JobState.FAILED)
    server.store.jobs.delete("a")  # and then the process dies
    server.train("a")
    assert not (server.jobs / "a").exists()
    assert len(list((server.jobs.parent / "trash").glob("a-*/1/events.jsonl"))) == 1

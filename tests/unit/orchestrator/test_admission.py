# SPDX-License-Identifier: BSD-3-Clause
"""What is asked before a request becomes a job, and before a job is opened again: called as a client calls it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from servers import FAKES

from dl4mic.locations import Locations
from dl4mic.manifest import read_service
from dl4mic.server import listen
from dl4mic.v1.job_pb2 import Job, RetryJobRequest
from dl4mic.v1.job_pb2_grpc import JobServiceStub, add_JobServiceServicer_to_server
from dl4mic.v1.network_pb2_grpc import NetworkServiceStub, add_NetworkServiceServicer_to_server
from dl4mic.v1.request_pb2 import JobOptions, TrainRequest
from dl4mic_orchestrator.api import room as api_room
from dl4mic_orchestrator.api.errors import translate
from dl4mic_orchestrator.api.job import JobApi
from dl4mic_orchestrator.api.network import Admission, NetworkApi
from dl4mic_orchestrator.api.room import Room
from dl4mic_orchestrator.catalog import Catalog
from dl4mic_orchestrator.front.tokens import Identity
from dl4mic_orchestrator.records import Allowance, Capacity, JobState
from dl4mic_orchestrator.registry import BentoContent, Registry
from dl4mic_orchestrator.store import Store
from dl4mic_orchestrator.trash import JobFolders

CATALOG = Catalog([read_service(FAKES / "blur")])
RESERVE_BYTES = 4 << 20


class Server:
    """The API over a store, with nobody who works for its jobs."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store.sqlite")
        self.jobs = folder / "jobs"
        folders = JobFolders(self.store.jobs, self.jobs)
        (folder / "data").mkdir()
        locations = Locations({"lab": folder / "data"}, folder / "uploads", lambda job_id: folder)
        self.limits, self.disk_use = Allowance(), 0
        room = Room(
            folder, RESERVE_BYTES, lambda project: self.limits, lambda project: self.disk_use
        )
        admission = Admission(
            CATALOG, self.store.jobs, folders, Registry(self.store.models, BentoContent(folder)),
            locations, lambda: Capacity(2, 8 << 30), room,
        )  # fmt: skip
        networks = NetworkApi(admission, None, lambda: None, lambda context: Identity("tester"))  # type: ignore[arg-type]
        jobs = JobApi(self.store.jobs, folders, room, lambda: None, lambda job_id: [])
        servicers = {
            add_NetworkServiceServicer_to_server: networks,
            add_JobServiceServicer_to_server: jobs,
        }
        self._listening = listen("localhost:0", servicers, translate=translate)
        self._channel = grpc.insecure_channel(self._listening.address)
        self.networks = NetworkServiceStub(self._channel)
        self._jobs = JobServiceStub(self._channel)

    def train(self, job_id: str, model: str = "m") -> Job:
        request = TrainRequest(network="blur", model=model, options=JobOptions(job_id=job_id))
        request.data.source = request.data.target = "lab:"
        return self.networks.Train(request)

    def retry(self, job_id: str) -> Job:
        return self._jobs.RetryJob(RetryJobRequest(job_id=job_id))

    def end(self, job_id: str) -> None:
        self.store.jobs.change_state(job_id, 1, JobState.CANCELLED)

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
    server.end("a")
    server.store.jobs.delete("a")  # and then the process dies
    server.train("a")
    assert not (server.jobs / "a").exists()
    assert len(list((server.jobs.parent / "trash").glob("a-*/1/events.jsonl"))) == 1


def refusal(call: Callable[[str], Job], job_id: str) -> tuple[str, str, str]:
    """Make a call for which there is no room; return its reason, message and hint."""
    with pytest.raises(grpc.RpcError) as caught:
        call(job_id)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    info = error_details_pb2.ErrorInfo()
    for detail in rpc_status.from_call(caught.value).details:
        detail.Unpack(info)
    return info.reason, caught.value.details(), info.metadata["hint"]


def test_a_project_has_so_many_open_jobs_at_most(server: Server) -> None:
    server.limits = Allowance(jobs=2)
    for job_id in "abcd":
        server.train(job_id)
        if job_id in "ab":
            server.end(job_id)
    message = "project default has 2 jobs that have not ended, as many as it may; try again when one of them has"
    for call, job_id in ((server.train, "e"), (server.retry, "a")):
        assert refusal(call, job_id) == ("PROJECT_FULL", message, "")
    server.end("c")
    assert server.retry("a").attempt == 2


def test_a_project_takes_so_much_of_the_disk_at_most(server: Server) -> None:
    server.train("a")
    server.end("a")
    server.limits, server.disk_use = Allowance(disk_bytes=3 << 20), 3 << 20
    for call, job_id in ((server.train, "b"), (server.retry, "a")):
        reason, message, hint = refusal(call, job_id)
        assert (reason, message) == (
            "PROJECT_DISK_FULL",
            "project default takes 3 MiB of the 3 MiB that it may",
        )
        assert hint == "Delete jobs or models of the project that nobody needs."
    server.disk_use -= 1
    assert server.train("b").id == "b"
    assert server.retry("a").attempt == 2


def test_the_reserve_of_the_disk_stays_free(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.train("a")
    server.end("a")
    full = SimpleNamespace(free=RESERVE_BYTES - 1)
    monkeypatch.setattr(api_room.shutil, "disk_usage", lambda path: full)
    for call, job_id in ((server.train, "b"), (server.retry, "a")):
        reason, message, hint = refusal(call, job_id)
        assert (reason, message) == ("DISK_FULL", "only 3 MiB are free in the workspace")
        assert "from 4 MiB on" in hint

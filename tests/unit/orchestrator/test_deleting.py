# SPDX-License-Identifier: BSD-3-Clause
"""Deletes say what depends on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from dl4mic.locations import Locations
from dl4mic.server import RpcError
from dl4mic.v1.data_pb2 import DeleteDataRequest, ModelReference
from dl4mic.v1.job_pb2 import DeleteJobRequest, Job
from dl4mic.v1.model_pb2 import DeleteModelRequest
from dl4mic_orchestrator.api.data import DataApi
from dl4mic_orchestrator.api.job import JobApi
from dl4mic_orchestrator.api.model import ModelApi
from dl4mic_orchestrator.api.room import Room
from dl4mic_orchestrator.dependents import JobFacts, listed, of_job, overlap
from dl4mic_orchestrator.records import JobState, Model
from dl4mic_orchestrator.registry import BentoContent, Registry
from dl4mic_orchestrator.store import Store
from dl4mic_orchestrator.store.jobs import JobNotFoundError
from dl4mic_orchestrator.trash import JobFolders
from dl4mic_orchestrator.uses import Uses


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "s.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def uses(store: Store, tmp_path: Path) -> Uses:
    for folder in ("uploads", "lab"):
        (tmp_path / folder).mkdir()
    jobs = tmp_path / "jobs"
    roots = {"lab": tmp_path / "lab"}
    return Uses(store, Locations(roots, tmp_path / "uploads", lambda job_id: jobs / job_id))


def train(store: Store, job_id: str, source: str = "lab:a", parent: str = "", **known: str) -> None:
    """Accept a training; `known` are its pinned models."""
    job = Job(id=job_id, network="blur", project="default")
    job.train.data.source = source
    job.train.model = "m"
    if parent:
        job.train.parent.CopyFrom(ModelReference(name=parent))
    needed = [parent.removeprefix("job:")] if parent.startswith("job:") else []
    store.jobs.create(job, needed, known)


def end(store: Store, job_id: str, state: JobState = JobState.FAILED) -> None:
    store.jobs.change_state(job_id, 1, state)


def publish(store: Store, name: str, job_id: str, parent: str = "") -> Model:
    reserved = store.models.reserve(Model(name, 0, "blur", "default", 1.0, job_id))
    digest = f"sha256:{job_id}"
    model = Model(name, reserved.version, "blur", "default", 1.0, job_id, 5, digest, parent, "{}")
    store.models.complete(model)
    return model


def refusal(call: object, *arguments: object) -> RpcError:
    with pytest.raises(RpcError) as caught:
        call(*arguments)  # type: ignore[operator]
    assert caught.value.code is grpc.StatusCode.FAILED_PRECONDITION
    return caught.value


def test_a_job_whose_result_an_open_job_names_stays(
    store: Store, uses: Uses, tmp_path: Path, room: Room
) -> None:
    folders = JobFolders(store.jobs, tmp_path / "jobs")
    api = JobApi(store.jobs, folders, room, lambda: None, uses.of_job)
    train(store, "a")
    end(store, "a")
    train(store, "b", parent="job:a")
    refused = refusal(api.DeleteJob, DeleteJobRequest(job_id="a"), None)
    assert refused.message == "job a cannot be deleted: the open job b needs it"
    assert (refused.reason, refused.hint) == ("JOB_IN_USE", "Wait for that job, or cancel it.")
    end(store, "b")
    api.DeleteJob(DeleteJobRequest(job_id="a"), None)
    with pytest.raises(JobNotFoundError, match="no job 'a'"):
        api.DeleteJob(DeleteJobRequest(job_id="a"), None)


def test_a_model_stays_for_jobs_lineage_and_names(store: Store, uses: Uses, tmp_path: Path) -> None:
    registry = Registry(store.models, BentoContent(tmp_path / "models"))
    api = ModelApi(registry, uses.of_model)
    train(store, "a")
    first = publish(store, "m", "a")
    second = publish(store, "m", "c", parent="m:1")
    store.models.set_alias(first, "stable")
    train(store, "b", parent="m", m="m:1")
    train(store, "d", parent="job:a")
    request = DeleteModelRequest(model="m:1")
    refused = refusal(api.DeleteModel, request, None)
    assert refused.message == (
        "m:1 cannot be deleted: the open jobs b, d need it; it is the parent of m:2; "
        "it is what m:stable means"
    )
    assert "dl4mic model alias m:2 stable" in refused.hint
    for job_id in "bd":
        end(store, job_id)
    store.models.set_alias(second, "stable")
    assert refusal(api.DeleteModel, request, None).message == (
        "m:1 cannot be deleted: it is the parent of m:2"
    )
    with_name = refusal(api.DeleteModel, DeleteModelRequest(model="m:2"), None)
    assert with_name.message == "m:2 cannot be deleted: it is what m:stable means"
    store.models.set_alias(publish(store, "m", "e"), "stable")
    for tag in ("m:2", "m:1"):
        assert api.DeleteModel(DeleteModelRequest(model=tag), None).freed_bytes == 5


def test_the_last_version_goes_with_its_names(store: Store, uses: Uses, tmp_path: Path) -> None:
    registry = Registry(store.models, BentoContent(tmp_path / "models"))
    store.models.set_alias(publish(store, "m", "a"), "stable")
    ModelApi(registry, uses.of_model).DeleteModel(DeleteModelRequest(model="m:1"), None)
    assert store.models.published() == []


@pytest.mark.parametrize(
    "source", ["uploads:x", "uploads:x/deep/a.tif", "uploads:", "{}/uploads/x"]
)
def test_data_that_an_open_job_reads_stays(
    source: str, store: Store, uses: Uses, tmp_path: Path
) -> None:
    uploads = tmp_path / "uploads"
    (uploads / "x" / "deep").mkdir(parents=True)
    (uploads / "x" / "deep" / "a.tif").write_bytes(b"123")
    api = DataApi(uses.locations, 100, 0, uses.of_place)
    train(store, "a", source.format(tmp_path))
    train(store, "other", "uploads:xx")
    request = DeleteDataRequest(location="uploads:x")
    refused = refusal(api.DeleteData, request, None)
    assert refused.message == "uploads:x cannot be deleted: the open job a needs it"
    assert refused.reason == "DATA_IN_USE"
    end(store, "a")
    assert api.DeleteData(request, None).freed_bytes == 3


def test_a_location_that_is_no_more_keeps_nothing(store: Store, uses: Uses, tmp_path: Path) -> None:
    train(store, "a", "gone:x")
    train(store, "b", "uploads:../../etc")
    assert uses.of_place(tmp_path / "uploads" / "x") == []


def test_of_many_the_first_are_named() -> None:
    jobs = [JobFacts(f"j{n}", JobState.PENDING, depends_on=("a",)) for n in range(7)]
    assert "j0, j1, j2, j3, j4 and 2 more need it" in of_job("a", jobs)[0].words
    assert listed(["a", "b"]) == "a, b"


def test_what_overlaps() -> None:
    assert overlap(Path("/a/b"), Path("/a")) and overlap(Path("/a"), Path("/a/b/c"))
    assert overlap(Path("/a"), Path("/a")) and not overlap(Path("/a/bc"), Path("/a/b"))

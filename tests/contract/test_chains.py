# SPDX-License-Identifier: BSD-3-Clause
"""Jobs that name what other jobs will make, dry runs, and example data: the same at every server of the contract."""

from __future__ import annotations

import json

import grpc
import pytest
from servers import Server

from dl4mic.v1.data_pb2 import Dataset, GetDataRequest, ListDataRequest, ModelReference
from dl4mic.v1.data_pb2_grpc import DataServiceStub
from dl4mic.v1.job_pb2 import (
    CancelJobRequest,
    DeleteJobRequest,
    GetJobRequest,
    Job,
    JobError,
    RetryJobRequest,
)
from dl4mic.v1.request_pb2 import JobOptions, PredictRequest, QcRequest


def predict(server: Server, job_id: str, model: str, source: str = "lab:test/images") -> Job:
    request = PredictRequest(
        network="blur",
        options=JobOptions(job_id=job_id),
        model=ModelReference(name=model),
        data=Dataset(source=source),
    )
    return server.networks.Predict(request)


def qc(server: Server, job_id: str, model: str) -> Job:
    request = QcRequest(
        network="blur", options=JobOptions(job_id=job_id), data=server.dataset("test")
    )
    request.models.add(name=model)
    return server.networks.Qc(request)


def code_of(call: object, request: object) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        call(request)  # type: ignore[operator]
    return caught.value.code()


def names_below(server: Server, location: str) -> list[str]:
    files = DataServiceStub(server.channel)
    entries = files.ListData(ListDataRequest(location=location)).entries
    return [each.location.removeprefix(location).lstrip("/") for each in entries]


def content_of(server: Server, location: str) -> bytes:
    files = DataServiceStub(server.channel)
    return b"".join(part.chunk for part in files.GetData(GetDataRequest(location=location)))


def test_train_qc_and_predict_are_sent_in_one_go(server: Server) -> None:
    server.train("go-train", epochs=3)
    qc(server, "go-qc", "job:go-train")
    predict(server, "go-predict", "job:go-train")
    jobs = [server.wait(each) for each in ("go-train", "go-qc", "go-predict")]
    assert [job.state for job in jobs] == [Job.SUCCEEDED] * 3
    assert "qc.json" in names_below(server, "job:go-qc")
    assert sum(name.endswith(".tif") for name in names_below(server, "job:go-predict")) == 5


def test_a_prediction_is_applied_to_what_another_one_makes(server: Server) -> None:
    server.train("chain-t", epochs=2)
    predict(server, "chain-a", "job:chain-t")
    predict(server, "chain-b", "job:chain-t", "job:chain-a/predictions")
    last = server.wait("chain-b")
    assert last.state == Job.SUCCEEDED, last.error
    assert (last.progress.done, last.progress.failed) == (5, 0)
    made = [
        sorted(name for name in names_below(server, f"job:{each}/predictions") if "tif" in name)
        for each in ("chain-a", "chain-b")
    ]
    assert made[0] == made[1] and len(made[0]) == 5


def test_all_that_need_a_failed_job_fail_with_a_hint(server: Server) -> None:
    server.train("bad-t", epochs=2, fault="memory")
    predict(server, "bad-a", "job:bad-t")
    predict(server, "bad-b", "job:bad-t", "job:bad-a/predictions")
    for job_id, needed in (("bad-a", "bad-t"), ("bad-b", "bad-")):
        job = server.wait(job_id)
        assert (job.state, job.error.code) == (Job.FAILED, JobError.DEPENDENCY_FAILED)
        assert needed in job.error.message
        assert "retry this one" in job.error.hint
        assert job.attempt == 1
    assert server.wait("bad-t").error.code == JobError.OUT_OF_MEMORY


def test_they_wait_as_long_as_it_is_tried_again(server: Server) -> None:
    """A training that crashes is tried again by itself; what needs it does not give up before."""
    server.train("again-t", epochs=2, fault="segfault")
    predict(server, "again-p", "job:again-t")
    job, first = server.wait("again-p"), server.wait("again-t")
    assert first.attempt > 1
    assert job.error.code == JobError.DEPENDENCY_FAILED
    assert job.end_time.ToNanoseconds() >= first.end_time.ToNanoseconds()


def test_cancelling_the_first_ends_the_chain_and_retries_bring_it_back(server: Server) -> None:
    server.train("off-t", epochs=40, step_seconds=0.01)
    qc(server, "off-q", "job:off-t")
    predict(server, "off-p", "job:off-t")
    server.jobs.CancelJob(CancelJobRequest(job_id="off-t"))
    assert server.wait("off-t").state == Job.CANCELLED
    for job_id in ("off-q", "off-p"):
        job = server.wait(job_id)
        assert (job.state, job.error.code) == (Job.FAILED, JobError.DEPENDENCY_FAILED)
        assert "off-t" in job.error.message
    for job_id in ("off-t", "off-q", "off-p"):
        server.jobs.RetryJob(RetryJobRequest(job_id=job_id))
    jobs = [server.wait(each) for each in ("off-t", "off-q", "off-p")]
    assert [(job.state, job.attempt) for job in jobs] == [(Job.SUCCEEDED, 2)] * 3


def test_a_retry_without_the_first_fails_again(server: Server) -> None:
    server.train("gone-t", epochs=2, fault="memory")
    predict(server, "gone-p", "job:gone-t")
    server.wait("gone-p")
    server.jobs.RetryJob(RetryJobRequest(job_id="gone-p"))
    again = server.wait("gone-p")
    assert (again.attempt, again.error.code) == (2, JobError.DEPENDENCY_FAILED)


def test_cancelling_one_leaves_the_others(server: Server) -> None:
    server.train("one-t", epochs=20, step_seconds=0.01)
    qc(server, "one-q", "job:one-t")
    predict(server, "one-p", "job:one-t")
    server.jobs.CancelJob(CancelJobRequest(job_id="one-q"))
    assert server.wait("one-q").state == Job.CANCELLED
    assert [server.wait(each).state for each in ("one-t", "one-p")] == [Job.SUCCEEDED] * 2


def test_what_an_open_job_needs_is_not_deleted(server: Server) -> None:
    server.train("keep-t", epochs=2)
    server.wait("keep-t")
    server.train("keep-slow", epochs=50, step_seconds=0.02)
    slow = server.train_request("keep-u", epochs=50, step_seconds=0.02)
    slow.parent.name = "job:keep-t"
    server.networks.Train(slow)
    delete = DeleteJobRequest(job_id="keep-t")
    assert code_of(server.jobs.DeleteJob, delete) is grpc.StatusCode.FAILED_PRECONDITION
    for job_id in ("keep-slow", "keep-u"):
        server.jobs.CancelJob(CancelJobRequest(job_id=job_id))
        server.wait(job_id)
    assert server.jobs.DeleteJob(delete).freed_bytes > 0
    assert code_of(server.jobs.GetJob, GetJobRequest(job_id="keep-t")) is grpc.StatusCode.NOT_FOUND


@pytest.fixture(scope="module")
def tried(server: Server) -> Job:
    request = server.train_request("try", epochs=3, steps_per_epoch=7)
    request.dry_run = True
    server.networks.Train(request)
    return server.wait("try")


def test_a_dry_run_makes_no_model(server: Server, tried: Job) -> None:
    assert (tried.state, tried.model) == (Job.SUCCEEDED, "")
    assert names_below(server, "job:try") == ["dry-run.json", "examples.png", "report.pdf"]
    assert {each.path for each in tried.artifacts} == {"dry-run.json", "examples.png", "report.pdf"}
    assert not tried.metrics


def test_a_dry_run_says_what_would_be_trained(server: Server, tried: Job) -> None:
    found = json.loads(content_of(server, "job:try/dry-run.json"))
    assert found["schedule"]["steps"] == 21
    assert found["images"]["training"] + found["images"]["validation"] == 6
    assert found["estimate"]["seconds"] > 0 and found["estimate"]["memory_bytes"] > 0
    assert content_of(server, "job:try/examples.png").startswith(b"\x89PNG")


def test_no_job_can_use_what_a_dry_run_did_not_make(server: Server, tried: Job) -> None:
    del tried
    with pytest.raises(grpc.RpcError) as caught:
        predict(server, "use", "job:try")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "makes no model" in caught.value.details()


def test_example_data_can_be_read_and_named_but_not_written(server: Server) -> None:
    there = names_below(server, "example:blur")
    assert "SOURCE.txt" in there and "blur/train/target/spots0.tif" in there
    request = server.train_request("by-example", epochs=1)
    request.data.source = "example:blur/blur/train/source"
    request.data.target = "example:blur/blur/train/target"
    server.networks.Train(request)
    assert server.wait("by-example").state == Job.SUCCEEDED
    for location in ("example:none/x", "example:blur/../network.py", "example:../blur"):
        listing = ListDataRequest(location=location)
        files = DataServiceStub(server.channel)
        assert code_of(files.ListData, listing) is grpc.StatusCode.INVALID_ARGUMENT, location

# SPDX-License-Identifier: BSD-3-Clause
"""What holds for every server of the contract, be it one service by itself or an orchestrator."""

from __future__ import annotations

import os
import signal
import time

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from servers import Server

from dl4mic.server import CHUNK_BYTES
from dl4mic.v1.data_pb2 import Dataset, ModelReference
from dl4mic.v1.job_pb2 import (
    CancelJobRequest,
    DeleteJobRequest,
    GetJobRequest,
    Job,
    JobError,
    ListJobsRequest,
    ReadLogRequest,
    RetryJobRequest,
    WatchJobRequest,
)
from dl4mic.v1.network_pb2 import DescribeRequest, ImageHeader, PredictImageRequest
from dl4mic.v1.request_pb2 import JobOptions, PredictRequest, QcRequest, TrainRequest


def refused(call: object, request: object) -> tuple[grpc.StatusCode, dict[str, str]]:
    """Make a call that must be refused; return its status and the fields at fault."""
    with pytest.raises(grpc.RpcError) as caught:
        call(request)  # type: ignore[operator]
    fields = {}
    for detail in getattr(rpc_status.from_call(caught.value), "details", []):
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            fields.update({each.field: each.description for each in bad.field_violations})
    return caught.value.code(), fields


@pytest.fixture(scope="module")
def trained(server: Server) -> Job:
    server.train("trained", epochs=5)
    job = server.wait("trained")
    assert job.state == Job.SUCCEEDED, job
    return job


def wait_until_running(server: Server, job_id: str) -> None:
    for event in server.jobs.WatchJob(WatchJobRequest(job_id=job_id), timeout=120):
        if event.HasField("progress"):
            return
    pytest.fail(
        "the job ended before it ran: {}".format(server.jobs.GetJob(GetJobRequest(job_id=job_id)))
    )


def test_health_and_reflection(server: Server) -> None:
    health = health_pb2_grpc.HealthStub(server.channel)
    answer = health.Check(health_pb2.HealthCheckRequest(service="dl4mic.v1.NetworkService"))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    reflection = reflection_pb2_grpc.ServerReflectionStub(server.channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    answers = list(reflection.ServerReflectionInfo(asked))
    names = {each.name for each in answers[0].list_services_response.service}
    assert {"dl4mic.v1.NetworkService", "dl4mic.v1.JobService", "grpc.health.v1.Health"} <= names


def test_describe_gives_the_manifest(server: Server) -> None:
    network = server.networks.Describe(DescribeRequest(network="blur"))
    epochs = next(each for each in network.parameters if each.name == "epochs")
    assert (epochs.default_value.integer, epochs.minimum, epochs.maximum) == (5, 1, 10000)
    assert [each.name for each in network.presets] == ["default", "quick"]
    assert network.contract_version == "1"


def test_an_unknown_network_is_not_found(server: Server) -> None:
    code, _ = refused(server.networks.Describe, DescribeRequest(network="blurr"))
    assert code == grpc.StatusCode.NOT_FOUND


def test_training_reports_and_publishes(server: Server, trained: Job) -> None:
    name, _, version = trained.model.partition(":")
    if server.kind == "service":
        assert (name, version) == ("job", "trained")
    else:
        assert name == "spots" and int(version) >= 1  # others train models of this name too
    assert {each.path for each in trained.artifacts} >= {"model", "report.pdf"}
    assert {each.name for each in trained.metrics} >= {"loss", "val_loss"}
    assert trained.progress.done == trained.progress.total > 0
    events = server.events("trained")
    assert [each.sequence for each in events] == list(range(1, len(events) + 1))
    assert events[-1].state.state == Job.SUCCEEDED


def test_a_watch_that_was_cut_goes_on_where_it_was(server: Server, trained: Job) -> None:
    everything = server.events("trained")
    for cut in (1, len(everything) // 2, len(everything)):
        assert server.events("trained", after=cut) == everything[cut:]


def test_the_same_request_is_the_same_job(server: Server, trained: Job) -> None:
    assert server.train("trained", epochs=5).create_time == trained.create_time
    code, _ = refused(server.networks.Train, server.train_request("trained", epochs=6))
    assert code == grpc.StatusCode.ALREADY_EXISTS


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"epoch": 3}, "did you mean epochs"),
        ({"epochs": 2.5}, "an integer from 1 to 10000"),
        ({"epochs": 0}, "from 1 to 10000"),
        ({"smallest_object": 3}, "does not read it"),
        ({"split": "plane"}, "one of image, group, region"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(
    server: Server, parameters: dict[str, object], words: str
) -> None:
    code, fields = refused(server.networks.Train, server.train_request("refused", **parameters))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert words in fields["parameters." + next(iter(parameters))]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model": "Nuclei 1"}, "model"),
        ({"model": "job"}, "model"),
        ({"preset": "fast"}, "preset"),
        ({"options": JobOptions(job_id="A/b")}, "options.job_id"),
        ({"options": JobOptions(device=JobOptions.GPU)}, "options.device"),
        ({"data": Dataset(source="lab:train/images")}, "data.target"),
        ({"data": Dataset(source="lab:../x", target="lab:y")}, "data.source"),
        ({"data": Dataset(source="lab:a", target="lab:b", axes="YQ")}, "data.axes"),
        ({"data": Dataset(source="nowhere:a", target="lab:b")}, "data.source"),
    ],
)
def test_a_wrong_field_is_refused_by_name(
    server: Server, change: dict[str, object], field: str
) -> None:
    values = {"network": "blur", "data": server.dataset(), "model": "spots"}
    code, fields = refused(server.networks.Train, TrainRequest(**{**values, **change}))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert field in fields


def test_a_symbolic_link_does_not_lead_out_of_a_root(server: Server) -> None:
    link = server.data / "outside"
    if not link.is_symlink():
        link.symlink_to("/etc")
    data = Dataset(source="lab:outside", target="lab:train/masks")
    code, fields = refused(
        server.networks.Train, TrainRequest(network="blur", data=data, model="spots")
    )
    assert (code, "data.source" in fields) == (grpc.StatusCode.INVALID_ARGUMENT, True)


def test_data_roots_are_used_by_name(server: Server) -> None:
    request = server.train_request("by-root", epochs=1)
    request.data.CopyFrom(Dataset(source="lab:train/images", target="lab:train/masks"))
    server.networks.Train(request)
    assert server.wait("by-root").state == Job.SUCCEEDED


def test_bad_images_end_the_job_and_are_all_named(server: Server) -> None:
    request = server.train_request("bad-images")
    request.data.CopyFrom(server.dataset("bad"))
    server.networks.Train(request)
    job = server.wait("bad-images")
    assert (job.state, job.error.code) == (Job.FAILED, JobError.INVALID_INPUT)
    assert {each.path.rpartition("/")[2] for each in job.error.files} == {
        "spots0.tif",
        "spots1.tif",
    }
    assert job.error.file_count == 2
    assert job.error.message and job.error.hint


def test_qc_scores_what_the_training_made(server: Server, trained: Job) -> None:
    request = QcRequest(
        network="blur",
        options=JobOptions(job_id="qc"),
        models=[ModelReference(name=trained.model)],
        data=server.dataset("test"),
    )
    server.networks.Qc(request)
    job = server.wait("qc")
    assert job.state == Job.SUCCEEDED, job.error
    assert {each.path for each in job.artifacts} >= {"qc.json", "qc.csv", "report.pdf"}


def test_predict_writes_a_label_image_for_each_image(server: Server, trained: Job) -> None:
    request = PredictRequest(
        network="blur",
        options=JobOptions(job_id="predict"),
        model=ModelReference(name="job:trained"),
        data=Dataset(source="lab:test/images"),
    )
    server.networks.Predict(request)
    job = server.wait("predict")
    assert job.state == Job.SUCCEEDED, job.error
    assert (job.progress.done, job.progress.failed) == (5, 0)
    assert "predictions" in {each.path for each in job.artifacts}


def test_a_job_on_a_failed_job_fails_too(server: Server) -> None:
    request = server.train_request("lost")
    request.data.CopyFrom(server.dataset("bad"))
    server.networks.Train(request)
    predict = PredictRequest(
        network="blur",
        options=JobOptions(job_id="on-lost"),
        model=ModelReference(name="job:lost"),
        data=Dataset(source="lab:test/images"),
    )
    server.networks.Predict(predict)
    assert server.wait("on-lost").error.code == JobError.DEPENDENCY_FAILED


def test_an_exception_is_told_without_a_traceback_and_logged_with_it(server: Server) -> None:
    server.train("exception", fault="exception")
    job = server.wait("exception")
    assert (job.state, job.error.code) == (Job.FAILED, JobError.INTERNAL)
    assert "Traceback" not in job.error.message
    log = server.jobs.ReadLog(ReadLogRequest(job_id="exception"))
    assert "Traceback" in log.text and log.complete


def test_a_crash_is_tried_again_once_and_then_told(server: Server) -> None:
    server.train("segfault", fault="segfault", checkpoint_every=10000)
    job = server.wait("segfault")
    assert (job.state, job.error.code, job.attempt) == (Job.FAILED, JobError.CRASHED, 2)
    assert "SIGSEGV" in job.error.message


def test_memory_that_runs_out_is_not_tried_again(server: Server) -> None:
    server.train("memory", fault="memory")
    job = server.wait("memory")
    assert (job.error.code, job.attempt) == (JobError.OUT_OF_MEMORY, 1)


def test_a_running_job_is_cancelled_and_leaves_no_process(server: Server) -> None:
    server.train("long", epochs=1000, step_seconds=0.05)
    wait_until_running(server, "long")
    job = server.jobs.CancelJob(CancelJobRequest(job_id="long"))
    assert job.cancel_requested or job.state == Job.CANCELLED
    job = server.wait("long")
    assert (job.state, job.error.code) == (Job.CANCELLED, JobError.CANCELLED)
    assert server.processes_of("long") == []


def test_a_cancelled_job_is_retried_from_its_checkpoint(server: Server) -> None:
    server.train("twice", epochs=12, step_seconds=0.05)
    wait_until_running(server, "twice")
    server.jobs.CancelJob(CancelJobRequest(job_id="twice"))
    assert server.wait("twice").state == Job.CANCELLED
    first = server.events("twice")
    server.jobs.RetryJob(RetryJobRequest(job_id="twice"))
    job = server.wait("twice")
    assert (job.state, job.attempt) == (Job.SUCCEEDED, 2)
    resumed = [
        each for each in server.events("twice", after=len(first)) if each.HasField("progress")
    ]
    assert resumed[0].progress.done > 0
    code, _ = refused(server.jobs.RetryJob, RetryJobRequest(job_id="twice"))
    assert code == grpc.StatusCode.FAILED_PRECONDITION


def test_a_waiting_job_is_cancelled_at_once(server: Server) -> None:
    server.train("first", epochs=1000, step_seconds=0.05)
    request = server.train_request("second")
    request.data.source = "job:first/predictions"
    request.data.target = "job:first/predictions"
    server.networks.Train(request)
    server.jobs.CancelJob(CancelJobRequest(job_id="second"))
    assert server.wait("second").state == Job.CANCELLED
    server.jobs.CancelJob(CancelJobRequest(job_id="first"))
    assert server.wait("first").state == Job.CANCELLED


def test_a_killed_worker_is_resumed_and_succeeds(server: Server) -> None:
    server.train("killed", epochs=12, step_seconds=0.05)
    deadline = time.monotonic() + 60
    for event in server.jobs.WatchJob(WatchJobRequest(job_id="killed"), timeout=120):
        if event.HasField("checkpoint") or time.monotonic() > deadline:
            break
    for process in server.processes_of("killed", "dl4mic_sdk.worker"):
        os.kill(process, signal.SIGKILL)
    job = server.wait("killed")
    assert (job.state, job.attempt) == (Job.SUCCEEDED, 2), job.error
    events = server.events("killed")
    assert sum(each.state.state == Job.SUCCEEDED for each in events) == 1


def test_lists_are_filtered_and_paged(server: Server, trained: Job) -> None:
    everything = list(server.jobs.ListJobs(ListJobsRequest(page_size=1000)).jobs)
    assert "trained" in {each.id for each in everything}
    pages, token = [], ""
    while True:
        page = server.jobs.ListJobs(ListJobsRequest(page_size=2, page_token=token))
        pages += page.jobs
        token = page.next_page_token
        if not token:
            break
    assert [each.id for each in pages] == [each.id for each in everything]
    failed = server.jobs.ListJobs(ListJobsRequest(states=[Job.FAILED], page_size=1000)).jobs
    assert {each.state for each in failed} <= {Job.FAILED}


def test_an_ended_job_can_be_deleted(server: Server) -> None:
    server.train("gone", epochs=1)
    server.wait("gone")
    assert server.jobs.DeleteJob(DeleteJobRequest(job_id="gone")).freed_bytes > 0
    code, _ = refused(server.jobs.GetJob, GetJobRequest(job_id="gone"))
    assert code == grpc.StatusCode.NOT_FOUND


def test_the_id_of_a_deleted_job_is_another_jobs(server: Server) -> None:
    made = []
    for epochs in (1, 2):
        server.train("again", epochs=epochs)
        made.append(server.wait("again"))
        server.jobs.DeleteJob(DeleteJobRequest(job_id="again"))
    first, second = made
    assert first.state == second.state == Job.SUCCEEDED, made
    assert first.progress.total < second.progress.total
    assert (first.model != second.model) == (server.kind == "orchestrator")


def image_request(model: str, pixels: np.ndarray) -> list[PredictImageRequest]:
    header = PredictImageRequest.Header(
        network="blur",
        model=ModelReference(name=model),
        image=ImageHeader(
            axes="YX", shape=pixels.shape, dtype=pixels.dtype.name, pixel_size={"Y": 0.5, "X": 0.5}
        ),
    )
    content = pixels.tobytes()
    chunks = [content[start : start + CHUNK_BYTES] for start in range(0, len(content), CHUNK_BYTES)]
    return [
        PredictImageRequest(header=header),
        *(PredictImageRequest(chunk=chunk) for chunk in chunks),
    ]


def test_one_image_is_predicted_at_once(server: Server, trained: Job) -> None:
    pixels = np.full((600, 600), 100, np.uint16)
    pixels[10:20, 10:20] = pixels[400:420, 300:320] = 400
    for _ in range(2):  # the second time the worker is warm
        answers = list(
            server.networks.PredictImage(iter(image_request(trained.model, pixels)), timeout=60)
        )
        header = answers[0].header.image
        content = b"".join(each.chunk for each in answers if each.WhichOneof("part") == "chunk")
        labels = np.frombuffer(content, header.dtype).reshape(tuple(header.shape))
        assert labels.max() == 2
        assert dict(header.pixel_size) == {"Y": 0.5, "X": 0.5}


def test_an_image_that_is_not_what_its_header_says_is_refused(server: Server, trained: Job) -> None:
    short = image_request(trained.model, np.zeros((8, 8), np.uint16))
    short[0].header.image.shape[0] = 9
    code, fields = refused(lambda parts: list(server.networks.PredictImage(iter(parts))), short)
    assert (code, "chunk" in fields) == (grpc.StatusCode.INVALID_ARGUMENT, True)

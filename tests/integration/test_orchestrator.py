# SPDX-License-Identifier: BSD-3-Clause
"""What only an orchestrator has: order, dependencies, deadlines, models, uploads, warm instances, metrics."""

from __future__ import annotations

import hashlib
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from dl4mic.fold import has_ended
from dl4mic.v1.catalog_pb2 import ExplainJobRequest, ListInstancesRequest, ListNodesRequest
from dl4mic.v1.data_pb2 import (
    Dataset,
    DeleteDataRequest,
    GetDataRequest,
    ListDataRequest,
    ModelReference,
    PutDataRequest,
)
from dl4mic.v1.job_pb2 import CancelJobRequest, DeleteJobRequest, Job, JobError
from dl4mic.v1.model_pb2 import (
    GetModelRequest,
    SetModelAliasRequest,
)
from dl4mic.v1.network_pb2 import ImageHeader, PredictImageRequest
from dl4mic.v1.request_pb2 import JobOptions, PredictRequest, QcRequest

from .conftest import Orchestrator, wait_until

New = Callable[..., Orchestrator]
FREE_PORT = "localhost:0"


def code_of(call: Callable[[], object]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code()


def metric(port: int, name: str) -> float:
    with urllib.request.urlopen(f"http://localhost:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_train_qc_and_predict_in_one_go(new_orchestrator: New) -> None:
    """Three jobs sent at once wait for each other; the model keeps its scores, and is found by all its names."""
    orchestrator = new_orchestrator()
    orchestrator.train("train1")
    model = ModelReference(name="job:train1")
    qc = QcRequest(
        network="blur", options=JobOptions(job_id="qc1"), data=orchestrator.dataset("test")
    )
    qc.models.append(model)
    orchestrator.networks.Qc(qc)
    images = Dataset(source="lab:test/images")
    options = JobOptions(job_id="predict1")
    orchestrator.networks.Predict(
        PredictRequest(network="blur", options=options, data=images, model=model)
    )
    explained = orchestrator.catalog.ExplainJob(ExplainJobRequest(job_id="qc1"))
    assert list(explained.waits_for) == ["train1"]
    assert "train1" in explained.reason
    assert [orchestrator.wait(each).state for each in ("qc1", "predict1")] == [Job.SUCCEEDED] * 2
    check_model(orchestrator)
    check_artifacts(orchestrator)
    check_model_refusals(orchestrator)
    freed = orchestrator.jobs.DeleteJob(DeleteJobRequest(job_id="predict1")).freed_bytes
    assert freed > 0 and not (orchestrator.workspace / "jobs/predict1").exists()


def check_model(orchestrator: Orchestrator) -> None:
    model = orchestrator.models.GetModel(GetModelRequest(model="spots"))
    assert (model.version, model.job_id, model.network) == (1, "train1", "blur")
    assert model.parameters["epochs"].integer == 5
    assert model.quality_controls[0].job_id == "qc1" and model.quality_controls[0].scores
    named = SetModelAliasRequest(model="spots:1", alias="production")
    assert orchestrator.models.SetModelAlias(named).aliases == ["production"]
    found = orchestrator.models.GetModel(GetModelRequest(model="spots:production"))
    assert found.digest == model.digest


def check_artifacts(orchestrator: Orchestrator) -> None:
    request = ListDataRequest(location="job:predict1/predictions", with_sha256=True)
    entries = orchestrator.files.ListData(request).entries
    assert sum(entry.location.endswith(".tif") for entry in entries) == 3
    assert all(entry.complete for entry in entries)
    parts = list(orchestrator.files.GetData(GetDataRequest(location=entries[0].location)))
    content = b"".join(part.chunk for part in parts)
    assert hashlib.sha256(content).hexdigest() == parts[-1].sha256 == entries[0].sha256


def check_model_refusals(orchestrator: Orchestrator) -> None:
    unknown = GetModelRequest(model="spots:7")
    assert code_of(lambda: orchestrator.models.GetModel(unknown)) is grpc.StatusCode.NOT_FOUND


def test_a_job_whose_dependency_fails_fails(new_orchestrator: New) -> None:
    orchestrator = new_orchestrator()
    orchestrator.train("t", fault="memory")
    request = PredictRequest(network="blur", data=Dataset(source="lab:test/images"))
    request.options.job_id = "p"
    request.model.name = "job:t"
    orchestrator.networks.Predict(request)
    job = orchestrator.wait("p")
    assert (job.state, job.error.code) == (Job.FAILED, JobError.DEPENDENCY_FAILED)
    assert "t" in job.error.message
    assert orchestrator.job("t").error.code == JobError.OUT_OF_MEMORY


def test_jobs_take_turns_on_few_slots(new_orchestrator: New) -> None:
    """One slot: the urgent job overtakes, and no two run at the same time."""
    orchestrator = new_orchestrator("--cpus", "1")
    orchestrator.train("first", epochs=50, step_seconds=0.02)
    orchestrator.wait_for("first", "progress")
    orchestrator.train("second", epochs=1)
    urgent = orchestrator.train_request("urgent", epochs=1)
    urgent.options.priority = 5
    orchestrator.networks.Train(urgent)
    node = orchestrator.catalog.ListNodes(ListNodesRequest()).nodes[0]
    assert (node.cpus, node.free_cpus) == (1, 0)
    instances = orchestrator.catalog.ListInstances(ListInstancesRequest()).instances
    assert [instance.job_id for instance in instances] == ["first"]
    jobs = [orchestrator.wait(each) for each in ("first", "urgent", "second")]
    assert all(job.state == Job.SUCCEEDED for job in jobs)
    reasons = [event.state.waiting_reason for event in orchestrator.events("second")]
    assert any("waits until a place is free" in reason for reason in reasons)
    starts = [job.start_time.ToNanoseconds() for job in jobs]
    assert starts == sorted(starts)
    assert jobs[1].start_time.ToNanoseconds() >= jobs[0].end_time.ToNanoseconds() - 2e9


def test_a_deadline_ends_a_job(new_orchestrator: New) -> None:
    orchestrator = new_orchestrator()
    request = orchestrator.train_request("late", epochs=1000, step_seconds=0.05)
    request.options.deadline.FromSeconds(8)
    orchestrator.networks.Train(request)
    job = orchestrator.wait("late")
    assert (job.state, job.error.code) == (Job.FAILED, JobError.DEADLINE)
    assert orchestrator.processes() == []


@pytest.mark.parametrize("reason", ["making the environment", "checking", "starting"])
def test_cancelling_at_every_moment_leaves_no_process(
    new_orchestrator: New, tmp_path: Path, reason: str
) -> None:
    own = tmp_path / "environments"
    orchestrator = new_orchestrator(*(["--environments", str(own)] if "making" in reason else []))
    orchestrator.train("a", epochs=1000, step_seconds=0.05)
    wait_until(
        lambda: (
            reason in orchestrator.job("a").waiting_reason
            or orchestrator.job("a").state == Job.RUNNING
        )
    )
    orchestrator.jobs.CancelJob(CancelJobRequest(job_id="a"))
    job = orchestrator.wait("a")
    assert (job.state, job.error.code) == (Job.CANCELLED, JobError.CANCELLED)
    assert orchestrator.processes() == []
    assert not [path for path in own.glob(".*") if path.is_dir()]


def test_what_comes_by_network_is_confined(new_orchestrator: New, spots: Path) -> None:
    orchestrator = new_orchestrator(listen=FREE_PORT)
    absolute = orchestrator.train_request("a")
    assert (
        code_of(lambda: orchestrator.networks.Train(absolute)) is grpc.StatusCode.INVALID_ARGUMENT
    )
    for location in (str(spots), "lab:../x", "job:../x", "elsewhere:x"):
        request = ListDataRequest(location=location)
        refused = code_of(lambda request=request: orchestrator.files.ListData(request))
        assert refused is grpc.StatusCode.INVALID_ARGUMENT, location
    by_root = orchestrator.train_request("b", epochs=1)
    by_root.data.source, by_root.data.target = "lab:train/images", "lab:train/masks"
    orchestrator.networks.Train(by_root)
    job = orchestrator.wait("b")
    assert job.state == Job.SUCCEEDED and job.caller.startswith("ipv")


def uploads(
    location: str, content: bytes, offset: int = 0, cut: int = 0
) -> Iterator[PutDataRequest]:
    header = PutDataRequest.Header(
        location=location,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        offset=offset,
    )
    yield PutDataRequest(header=header)
    for start in range(offset, len(content) - cut, 1000):
        yield PutDataRequest(chunk=content[start : min(start + 1000, len(content) - cut)])


def test_an_upload_that_broke_goes_on(new_orchestrator: New) -> None:
    orchestrator = new_orchestrator(listen=FREE_PORT)
    put = orchestrator.files.PutData
    content = np.random.default_rng(0).bytes(5000)
    at = "uploads:a/x.tif"
    assert code_of(lambda: put(uploads(at, content, cut=2000))) is grpc.StatusCode.DATA_LOSS
    (entry,) = orchestrator.files.ListData(ListDataRequest(location="uploads:a")).entries
    assert (entry.location, entry.size, entry.complete) == (at, 3000, False)
    assert put(uploads(at, content, offset=3000)).entry.complete
    assert (orchestrator.workspace / "uploads/a/x.tif").read_bytes() == content
    wrong = list(uploads("uploads:b", content))
    wrong[1].chunk = b"?" * 1000
    assert code_of(lambda: put(iter(wrong))) is grpc.StatusCode.DATA_LOSS
    for bad in ("lab:x", "uploads:", "uploads:../x", "/tmp/x"):
        refused = code_of(lambda bad=bad: put(uploads(bad, content)))
        assert refused is grpc.StatusCode.INVALID_ARGUMENT, bad
    deleted = orchestrator.files.DeleteData(DeleteDataRequest(location="uploads:a"))
    assert (deleted.deleted_files, deleted.freed_bytes) == (1, 5000)


def image(model: str) -> Iterator[PredictImageRequest]:
    pixels = np.full((32, 32), 100, np.uint16)
    pixels[8:16, 8:16] = 400
    header = PredictImageRequest.Header(network="blur", model=ModelReference(name=model))
    header.image.CopyFrom(ImageHeader(axes="YX", shape=[32, 32], dtype="uint16"))
    yield PredictImageRequest(header=header)
    yield PredictImageRequest(chunk=pixels.tobytes())


def test_a_warm_instance_makes_way_for_a_job(new_orchestrator: New) -> None:
    orchestrator = new_orchestrator("--cpus", "1")
    orchestrator.train("t", epochs=2)
    assert orchestrator.wait("t").state == Job.SUCCEEDED
    parts = list(orchestrator.networks.PredictImage(image("spots")))
    assert any(part.HasField("header") for part in parts)
    warm = orchestrator.catalog.ListInstances(ListInstancesRequest()).instances
    assert [each.job_id for each in warm] == [""]
    began = time.monotonic()
    list(orchestrator.networks.PredictImage(image("spots")))
    assert time.monotonic() - began < 1.0  # it stayed: a new one takes longer to start
    orchestrator.train("u", epochs=1)
    assert orchestrator.wait("u").state == Job.SUCCEEDED
    assert orchestrator.catalog.ListInstances(ListInstancesRequest()).instances == []


def test_an_idle_orchestrator_ends_by_itself(new_orchestrator: New) -> None:
    orchestrator = new_orchestrator("--exit-when-idle", "1")
    orchestrator.train("t", epochs=2, step_seconds=0.1)
    time.sleep(2)
    assert orchestrator.process.poll() is None
    assert orchestrator.wait("t").state == Job.SUCCEEDED
    assert orchestrator.process.wait(30) == 0
    assert not (orchestrator.workspace / "o.sock").exists()


def test_metrics_and_logs(new_orchestrator: New) -> None:
    orchestrator = new_orchestrator("--metrics-port", "0")
    orchestrator.train("t", epochs=1)
    assert has_ended(orchestrator.wait("t"))
    lines = [
        json.loads(line) for line in (orchestrator.workspace / "test.log").read_text().splitlines()
    ]
    port = next(line["port"] for line in lines if "port" in line)
    assert metric(port, "dl4mic_jobs_ended_total") == 1
    assert metric(port, "dl4mic_job_run_seconds_count") == 1
    assert metric(port, "dl4mic_open_jobs") == 0
    about = [line for line in lines if line.get("job") == "t"]
    assert about and all(line["network"] == "blur" for line in about)

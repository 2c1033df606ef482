# SPDX-License-Identifier: BSD-3-Clause
"""Delete, clean, diagnose, back up and restore, while jobs run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from servers import ROOT

from dl4mic.v1.data_pb2 import Dataset, DeleteDataRequest, ModelReference
from dl4mic.v1.job_pb2 import CancelJobRequest, DeleteJobRequest, Job, JobEvent
from dl4mic.v1.maintenance_pb2 import CleanRequest, DiagnoseRequest, Finding, Removal
from dl4mic.v1.maintenance_pb2_grpc import MaintenanceServiceStub
from dl4mic.v1.model_pb2 import DeleteModelRequest, ListModelsRequest, SetModelAliasRequest
from dl4mic.v1.request_pb2 import JobOptions, PredictRequest

from .conftest import Orchestrator

New = Callable[..., Orchestrator]
SLOW = {"epochs": 200, "step_seconds": 0.02}


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    return caught.value.details()


def upload(orchestrator: Orchestrator, name: str) -> Path:
    """Put a dataset where clients' uploads lie."""
    folder = orchestrator.workspace / "uploads" / name
    for part in ("images", "masks"):
        target = folder / part
        target.mkdir(parents=True)
        for path in (orchestrator.data / "train" / part).iterdir():
            os.link(path, target / path.name)
    return folder


def train_on(orchestrator: Orchestrator, job_id: str, data: str, **more: object) -> Job:
    request = orchestrator.train_request(job_id, **more)
    request.data.CopyFrom(Dataset(source=f"{data}/images", target=f"{data}/masks"))
    return orchestrator.networks.Train(request)


def predict(orchestrator: Orchestrator, job_id: str, model: str) -> Job:
    request = PredictRequest(
        network="blur",
        options=JobOptions(job_id=job_id),
        data=Dataset(source="lab:test/images"),
        model=ModelReference(name=model),
    )
    return orchestrator.networks.Predict(request)


def clean(orchestrator: Orchestrator, *kinds: str, dry_run: bool = False) -> set[str]:
    request = CleanRequest(dry_run=dry_run, kinds=kinds, older_than=Duration())
    answer = MaintenanceServiceStub(orchestrator.channel).Clean(request)
    assert answer.removal_count == len(answer.removals)
    assert answer.freed_bytes == sum(each.size for each in answer.removals)
    return {each.name for each in answer.removals}


def test_what_depends_on_it_is_said_and_nothing_needed_goes(new_orchestrator: New) -> None:
    """A running training on an upload, a model with a child and a name: each keeps what it needs."""
    orchestrator = new_orchestrator("--cpus", "1")
    upload(orchestrator, "plate")
    upload(orchestrator, "unused")
    orchestrator.train("first")
    orchestrator.wait("first")
    train_on(orchestrator, "running", "uploads:plate", **SLOW)
    orchestrator.wait_for("running", "checkpoint")
    predict(orchestrator, "waiting", "spots")
    predict(orchestrator, "chained", "job:first")
    check_refusals(orchestrator)
    check_cleaning(orchestrator)
    check_findings(orchestrator)
    orchestrator.jobs.CancelJob(CancelJobRequest(job_id="running"))
    for job_id in ("running", "waiting", "chained"):
        orchestrator.wait(job_id)
    deleted = DeleteDataRequest(location="uploads:plate")
    assert orchestrator.files.DeleteData(deleted).deleted_files == 12
    assert orchestrator.models.DeleteModel(DeleteModelRequest(model="spots:1")).freed_bytes > 0
    assert clean(orchestrator, "JOB") == {"first", "running", "waiting", "chained"}
    assert list((orchestrator.workspace / "jobs").iterdir()) == []


def check_refusals(orchestrator: Orchestrator) -> None:
    models, jobs, files = orchestrator.models, orchestrator.jobs, orchestrator.files
    said = refusal(lambda: models.DeleteModel(DeleteModelRequest(model="spots:1")))
    assert said == "spots:1 cannot be deleted: the open jobs waiting, chained need it"
    said = refusal(lambda: jobs.DeleteJob(DeleteJobRequest(job_id="first")))
    assert said == "job first cannot be deleted: the open job chained needs it"
    said = refusal(lambda: jobs.DeleteJob(DeleteJobRequest(job_id="running")))
    assert "cancel it before deleting it" in said
    said = refusal(lambda: files.DeleteData(DeleteDataRequest(location="uploads:plate/images")))
    assert said == "uploads:plate/images cannot be deleted: the open job running needs it"


def check_cleaning(orchestrator: Orchestrator) -> None:
    lost = orchestrator.workspace / "jobs" / "lost" / "1"
    lost.mkdir(parents=True)
    kinds = ("JOB", "UPLOAD", "LEFTOVER")
    would = clean(orchestrator, *kinds, dry_run=True)
    assert {"uploads:unused", "jobs/lost"} <= would
    assert would & {"uploads:plate", "first", "running", "waiting", "chained"} == set()
    assert clean(orchestrator, "UPLOAD") == {"uploads:unused"}
    assert lost.exists()
    assert "jobs/lost" in clean(orchestrator, "LEFTOVER") and not lost.parent.exists()
    assert clean(orchestrator, *kinds) == set()


def check_findings(orchestrator: Orchestrator) -> None:
    answer = MaintenanceServiceStub(orchestrator.channel).Diagnose(DiagnoseRequest())
    found = {each.subject: each for each in answer.findings}
    assert found["environment blur"].message == "is made"
    assert found["clock"].level == found["services"].level == Finding.GOOD
    assert not [each for each in answer.findings if each.level == Finding.FAULT]
    assert all(each.hint for each in answer.findings if each.level != Finding.GOOD)


def test_the_doctor_names_the_ports_that_the_server_took(new_orchestrator: New) -> None:
    orchestrator = new_orchestrator("--metrics-port", "0", listen="localhost:0")
    answer = MaintenanceServiceStub(orchestrator.channel).Diagnose(DiagnoseRequest())
    found = {each.subject: each for each in answer.findings}
    assert found["address"].message == f"serves on {orchestrator.address}"
    metrics = found["metrics"]
    port = re.search(r"port (\d+)", metrics.message)
    assert port and int(port[1]) > 0 and metrics.level == Finding.CAUTION and metrics.hint


def test_a_kind_that_is_not_known_is_refused(new_orchestrator: New) -> None:
    stub = MaintenanceServiceStub(new_orchestrator().channel)
    for request in (
        CleanRequest(kinds=[Removal.KIND_UNSPECIFIED]),
        CleanRequest(older_than=Duration(seconds=-1)),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            stub.Clean(request)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def command(*arguments: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "dl4mic_client", *arguments, "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("name", ["backup", "backup.tar"])
def test_a_backup_taken_while_jobs_run_is_restored_whole(
    name: str, new_orchestrator: New, tmp_path: Path
) -> None:
    old = new_orchestrator("--cpus", "1")
    old.train("first")
    old.wait("first")
    old.models.SetModelAlias(SetModelAliasRequest(model="spots:1", alias="stable"))
    old.train("running", epochs=100, step_seconds=0.02)
    old.wait_for("running", "checkpoint")
    predict(old, "waiting", "spots:stable")
    target, place = str(tmp_path / name), tmp_path / "restored"
    made = command("backup", target, "--workspace", str(old.workspace))
    assert (made["models"], made["jobs"], made["broken"]) == (1, 3, [])
    command("restore", target, "--workspace", str(place))
    check_restored(Orchestrator(place, old.data), old)


def check_restored(new: Orchestrator, old: Orchestrator) -> None:
    """Open jobs go on in both; every model has the digest that it had, and predicts."""
    new.start("--cpus", "1")
    try:
        known = {
            model.name: model.digest for model in old.models.ListModels(ListModelsRequest()).models
        }
        again = {
            model.name: model.digest for model in new.models.ListModels(ListModelsRequest()).models
        }
        assert again == known
        predict(new, "usable", "spots:stable")
        assert [new.wait(each).state for each in ("waiting", "usable")] == [Job.SUCCEEDED] * 2
        job = new.wait("running")
        assert (job.state, job.attempt, job.model) == (Job.SUCCEEDED, 2, "spots:2")
        assert "NODE_LOST" in [_error(event) for event in new.events("running")]
        job = old.wait("running")
        assert (job.state, job.attempt) == (Job.SUCCEEDED, 1)
    finally:
        new.stop()


def _error(event: JobEvent) -> str:
    from dl4mic.v1.job_pb2 import JobError

    return JobError.Code.Name(event.state.error.code)

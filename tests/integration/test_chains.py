# SPDX-License-Identifier: BSD-3-Clause
"""Chains of jobs at an orchestrator: which version they mean, and all of it by the command line from elsewhere."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from dl4mic.v1.catalog_pb2 import ExplainJobRequest
from dl4mic.v1.data_pb2 import Dataset, ModelReference
from dl4mic.v1.job_pb2 import CancelJobRequest, Job, JobError
from dl4mic.v1.model_pb2 import GetModelRequest, ListModelsRequest
from dl4mic.v1.request_pb2 import JobOptions, PredictRequest

from .conftest import Orchestrator

New = Callable[..., Orchestrator]


def predict(server: Orchestrator, job_id: str, model: str, source: str) -> Job:
    request = PredictRequest(network="blur", data=Dataset(source=source))
    request.options.CopyFrom(JobOptions(job_id=job_id))
    request.model.CopyFrom(ModelReference(name=model))
    return server.networks.Predict(request)


def models_used(server: Orchestrator, job_id: str) -> list[str]:
    request = server.workspace / "jobs" / job_id / "1" / "request.json"
    return [each["name"] for each in json.loads(request.read_text())["models"]]


def test_the_latest_version_is_that_of_when_the_job_was_accepted(new_orchestrator: New) -> None:
    """The second version comes while the job waits for its images; it is not used."""
    orchestrator = new_orchestrator()
    orchestrator.train("t1", epochs=1)
    orchestrator.wait("t1")
    orchestrator.train("t2", epochs=2)
    predict(orchestrator, "images", "job:t2", "lab:test/images")
    predict(orchestrator, "waits", "spots", "job:images/predictions")
    explained = orchestrator.catalog.ExplainJob(ExplainJobRequest(job_id="waits"))
    assert list(explained.waits_for) == ["images"]
    jobs = [orchestrator.wait(each) for each in ("t2", "images", "waits")]
    assert [job.state for job in jobs] == [Job.SUCCEEDED] * 3
    assert orchestrator.models.GetModel(GetModelRequest(model="spots")).version == 2
    assert models_used(orchestrator, "waits") == ["spots:1"]
    assert models_used(orchestrator, "images") == ["spots:2"]


def test_a_chain_outlives_the_orchestrator(new_orchestrator: New) -> None:
    orchestrator = new_orchestrator()
    orchestrator.train("t", epochs=30, step_seconds=0.02)
    predict(orchestrator, "p", "job:t", "lab:test/images")
    predict(orchestrator, "q", "job:t", "job:p/predictions")
    orchestrator.wait_for("t", "progress")
    orchestrator.kill()
    orchestrator.start()
    assert orchestrator.job("q").state == Job.PENDING
    orchestrator.jobs.CancelJob(CancelJobRequest(job_id="p"))
    assert orchestrator.wait("t").state == Job.SUCCEEDED
    assert orchestrator.wait("p").state == Job.CANCELLED
    assert orchestrator.wait("q").error.code == JobError.DEPENDENCY_FAILED


def cli(server: Orchestrator, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dl4mic_client", *arguments],
        env={**os.environ, "DL4MIC_SERVER": server.address},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def test_an_example_is_run_from_elsewhere(new_orchestrator: New, tmp_path: Path) -> None:
    """The example comes by TCP, its folders go back by TCP, and the results land where they are wanted."""
    orchestrator = new_orchestrator(listen="localhost:0")
    folder = tmp_path / "example"
    said = cli(orchestrator, "example", "blur", str(folder))
    command = next(line for line in said.splitlines() if "dl4mic run" in line)
    told = cli(orchestrator, *shlex.split(command)[1:], "--job", "go")
    results = folder / "results"
    assert (results / "training" / "report.pdf").exists()
    assert json.loads((results / "qc" / "qc.json").read_text())["pooled"]
    assert len(list((results / "predictions").glob("*.tif"))) == 2
    assert "Trained example:1" in told and "Done: 2 images" in told
    cli(orchestrator, *shlex.split(command)[1:], "--job", "go")
    assert len(list((orchestrator.workspace / "jobs").iterdir())) == 3, "said again, it is the same"


def test_a_dry_run_by_the_command_line(new_orchestrator: New, tmp_path: Path) -> None:
    orchestrator = new_orchestrator(listen="localhost:0")
    folder = tmp_path / "example"
    cli(orchestrator, "example", "blur", str(folder))
    train = folder / "train"
    command = [
        "train",
        "blur",
        "--source",
        str(train / "source"),
        "--target",
        str(train / "target"),
    ]
    command += ["--set", "epochs=20", "--set", "step_seconds=0.01", "--dry-run"]
    said = cli(orchestrator, *command, "--out", str(tmp_path / "tried"))
    assert "20 epochs of 8 steps with 1 patch: 160 patches in all" in said
    assert str(tmp_path / "tried" / "examples.png") in said
    found = json.loads(cli(orchestrator, *command, "--json"))["dry_run"]
    assert found["estimate"]["longest_seconds"] >= 1.6, "160 steps wait 10 ms each"
    assert list(orchestrator.models.ListModels(ListModelsRequest()).models) == []

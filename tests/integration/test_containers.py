# SPDX-License-Identifier: BSD-3-Clause
"""Jobs in real containers of podman: confined, found again after a restart, resumed after a kill, and cleared away."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from container_engine import NoEngine, check_runs, podman_settings

from dl4mic.v1.data_pb2 import ModelReference
from dl4mic.v1.job_pb2 import GetJobRequest, Job, JobError
from dl4mic.v1.model_pb2 import ListModelsRequest
from dl4mic.v1.network_pb2 import ImageHeader, PredictImageRequest

from .conftest import Orchestrator, wait_until

IMAGE = "dl4mic-fakes:0.1.0"
New = Callable[..., Orchestrator]


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    try:
        found = podman_settings()
        check_runs(IMAGE, found)
    except NoEngine as reason:
        pytest.skip(str(reason))
    return found


@pytest.fixture
def start(
    settings: dict[str, str],
    new_orchestrator: New,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[New]:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    images = tmp_path / "images.yaml"

    def begin(image: str = IMAGE) -> Orchestrator:
        images.write_text(json.dumps({"blur": {"cpu": image}}))
        flags = ("--backend", "container", "--engine", "podman", "--images", str(images))
        return new_orchestrator(*flags, "--cpus", "2")

    yield begin
    left = ("ps", "--all", "--quiet", "--filter", "label=dl4mic.network=blur")
    call("rm", "--force", "--time", "0", "--ignore", "none", *call(*left).split())


def call(*words: str) -> str:
    return subprocess.run(["podman", *words], check=True, capture_output=True, text=True).stdout


def containers(job_id: str) -> list[str]:
    label = f"label=dl4mic.job={job_id}"
    return call("ps", "--all", "--filter", label, "--format", "{{.Names}}").split()


def seen_inside(name: str, *words: str) -> str:
    done = subprocess.run(
        ["podman", "exec", name, *words], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_a_job_runs_confined_and_leaves_no_container(start: New) -> None:
    orchestrator = start()
    orchestrator.train("confined", epochs=100, step_seconds=0.05)
    orchestrator.wait_for("confined", "checkpoint")
    (name,) = containers("confined")
    (told,) = json.loads(call("container", "inspect", name))
    host = told["HostConfig"]
    assert host["NetworkMode"] == "none" and host["ReadonlyRootfs"]
    assert (host["Memory"], host["NanoCpus"]) == (512 << 20, 1_000_000_000)
    assert host["ShmSize"] == 256 << 20 and told["EffectiveCaps"] in (None, [])
    assert "Read-only" in seen_inside(name, "touch", "/app/service/x")
    jobs = orchestrator.workspace / "jobs"
    seen_inside(name, "touch", f"{jobs}/x")  # at best into the container's own /tmp
    assert not (jobs / "x").exists()
    read = [each["Destination"] for each in told["Mounts"] if not each["RW"]]
    assert read and all(path.startswith(f"{orchestrator.data}/train/") for path in read)
    assert "Read-only" in seen_inside(name, "touch", f"{read[0]}/x")
    assert "No such file" in seen_inside(name, "ls", f"{orchestrator.workspace}/models")
    interfaces = seen_inside(name, "cat", "/proc/net/dev").splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
    job = orchestrator.wait("confined")
    assert (job.state, job.attempt, job.model) == (Job.SUCCEEDED, 1, "spots:1")
    wait_until(lambda: containers("confined") == [])
    assert "serving blur" in (jobs / "confined" / "1" / "host.log").read_text()


def test_a_killed_orchestrator_adopts_its_container(start: New) -> None:
    orchestrator = start()
    orchestrator.train("adopted", epochs=100, step_seconds=0.05)
    orchestrator.wait_for("adopted", "checkpoint")
    before = containers("adopted")
    orchestrator.kill()
    orchestrator.start()
    assert containers("adopted") == before
    job = orchestrator.wait("adopted")
    assert (job.state, job.attempt) == (Job.SUCCEEDED, 1)
    assert len(orchestrator.models.ListModels(ListModelsRequest()).models) == 1
    wait_until(lambda: containers("adopted") == [])


def test_a_killed_container_s_job_goes_on_from_its_checkpoint(start: New) -> None:
    orchestrator = start()
    orchestrator.train("killed", epochs=25, step_seconds=0.05)
    orchestrator.wait_for("killed", "checkpoint")
    call("kill", *containers("killed"))
    job = orchestrator.wait("killed")
    assert (job.state, job.attempt) == (Job.SUCCEEDED, 2)
    steps = [e.checkpoint.step for e in orchestrator.events("killed") if e.HasField("checkpoint")]
    assert steps == sorted(set(steps))
    wait_until(lambda: containers("killed") == [])


def test_who_needs_more_than_was_granted_is_told_so(start: New) -> None:
    orchestrator = start()
    orchestrator.train("greedy", fault="allocate")
    job = orchestrator.wait("greedy")
    assert (job.state, job.error.code) == (Job.FAILED, JobError.OUT_OF_MEMORY)
    wait_until(lambda: containers("greedy") == [])


def test_an_image_that_is_nowhere_is_named(start: New) -> None:
    orchestrator = start("localhost/dl4mic-none:1")
    orchestrator.train("without")

    def told() -> str:
        return orchestrator.jobs.GetJob(GetJobRequest(job_id="without")).waiting_reason

    wait_until(lambda: "dl4mic-none:1 is not on this machine" in told())


def test_a_single_image_is_predicted_by_a_warm_container(start: New) -> None:
    """Scoring and prediction of folders are jobs like the training; this is the one other kind of instance."""
    orchestrator = start()
    orchestrator.train("warm")
    assert orchestrator.wait("warm").state == Job.SUCCEEDED
    answers = list(orchestrator.networks.PredictImage(image(), timeout=120))
    assert sum(len(each.chunk) for each in answers) > 0
    assert [name for name in running() if "warm-" in name]
    assert orchestrator.stop() == 0
    assert not [name for name in running() if "warm-" in name]


def running() -> list[str]:
    return call("ps", "--all", "--format", "{{.Names}}").split()


def image() -> Iterator[PredictImageRequest]:
    header = PredictImageRequest.Header(network="blur", model=ModelReference(name="spots:1"))
    header.image.CopyFrom(ImageHeader(shape=[8, 8], dtype="uint8", axes="YX"))
    yield PredictImageRequest(header=header)
    yield PredictImageRequest(chunk=bytes(64))

# SPDX-License-Identifier: BSD-3-Clause
"""Events from folder to store, and what follows when an attempt has ended."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from dl4mic.locations import Locations
from dl4mic.v1.job_pb2 import Job, JobError, JobEvent
from dl4mic_orchestrator.briefing import Briefing
from dl4mic_orchestrator.catalog import Catalog
from dl4mic_orchestrator.follow import Follower, Outcome
from dl4mic_orchestrator.metrics import Metrics
from dl4mic_orchestrator.plan import Cause
from dl4mic_orchestrator.records import JobState
from dl4mic_orchestrator.registry import Registry
from dl4mic_orchestrator.settle import Settlement
from dl4mic_orchestrator.store import Store


class FolderContent:
    """A model store of plain folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.puts = 0

    def put(self, tag: str, folder: Path) -> Path:
        self.puts += 1
        shutil.rmtree(self.folder / tag, ignore_errors=True)
        return Path(shutil.copytree(folder, self.folder / tag))

    def path(self, tag: str) -> Path:
        return self.folder / tag

    def delete(self, tag: str) -> None:
        self.path(tag).rename(self.folder / "deleted")


class World:
    """Everything that settling needs, over a folder."""

    def __init__(self, folder: Path) -> None:
        self.jobs_folder = folder / "jobs"
        self.store = Store(folder / "s.sqlite")
        self.content = FolderContent(folder / "models")
        self.registry = Registry(self.store.models, self.content)
        locations = Locations({}, folder / "uploads", lambda job_id: self.jobs_folder / job_id)
        self.briefing = Briefing(
            self.store.jobs, self.registry, Catalog([]), locations, self.jobs_folder
        )
        self.metrics = Metrics(self.store)
        self.settlement = Settlement(self.store.jobs, self.registry, self.briefing, self.metrics)

    def value(self, name: str) -> float:
        samples = [each for family in self.metrics.registry.collect() for each in family.samples]
        return sum(sample.value for sample in samples if sample.name == name)

    def running(self, job_id: str = "a") -> None:
        job = Job(id=job_id, network="blur", project="default")
        job.train.model = "m"
        self.store.jobs.create(job)
        self.store.jobs.change_state(job_id, 1, JobState.STARTING)
        self.store.jobs.change_state(job_id, 1, JobState.RUNNING)

    def made(self, job_id: str = "a", attempt: int = 1) -> Path:
        artifacts = self.jobs_folder / job_id / str(attempt) / "artifacts"
        (artifacts / "model").mkdir(parents=True)
        record = {"network": "blur", "parameters": {}, "weights": ["best"]}
        (artifacts / "model" / "model.json").write_text(json.dumps(record))
        return artifacts

    def job(self, job_id: str = "a") -> Job:
        return self.store.jobs.message(job_id)

    def fail(self, code: JobError.Code, attempt: int = 1) -> None:
        error = JobError(code=code, message="why")
        self.settlement.settle("a", attempt, Outcome(JobState.FAILED, error), None)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def lines(*events: dict) -> str:
    return "".join(
        json.dumps({"sequence": n, "attempt": 1, "time": "2026-01-01T00:00:00Z", **event}) + "\n"
        for n, event in enumerate(events, start=1)
    )


LOSS = {"metric": {"name": "loss", "value": 0.5, "step": 1}}


def follower(world: World, seen: list[JobEvent]) -> Follower:
    folder = world.jobs_folder / "a" / "1"
    folder.mkdir(parents=True, exist_ok=True)
    return Follower(world.store.jobs, "a", 1, folder, seen.append)


def test_what_no_stream_brought_is_read_from_the_folder(world: World) -> None:
    world.running()
    seen: list[JobEvent] = []
    reading = follower(world, seen)
    path = world.jobs_folder / "a/1/events.jsonl"
    path.write_text(lines({"state": {"state": "RUNNING"}}, LOSS) + '{"sequence": 3, "att')
    assert reading.read_rest() is None
    end = {"state": {"state": "FAILED", "error": {"code": "DISK_FULL", "message": "full"}}}
    path.write_text(lines({"state": {"state": "RUNNING"}}, LOSS, end))
    outcome = reading.read_rest()
    assert outcome is not None and outcome.error is not None
    assert (outcome.state, outcome.error.code) == (JobState.FAILED, JobError.DISK_FULL)
    assert len(seen) == 2 and world.job().state == Job.RUNNING
    assert [metric.value for metric in world.job().metrics] == [0.5]


def test_lines_that_are_no_events_are_left_out(world: World) -> None:
    world.running()
    reading = follower(world, [])
    text = 'nonsense\n{"sequence": "x"}\n' + lines({"state": {"state": "SUCCEEDED"}})
    (world.jobs_folder / "a/1/events.jsonl").write_text(text)
    assert reading.read_rest() == Outcome(JobState.SUCCEEDED)


def test_what_succeeded_is_published_once(world: World) -> None:
    world.running()
    made = world.made()
    for _ in range(2):
        world.settlement.settle("a", 1, Outcome(JobState.SUCCEEDED), None)
    assert (world.job().state, world.job().model) == (Job.SUCCEEDED, "m:1")
    assert not made.exists() and (world.jobs_folder / "a/artifacts/model").is_dir()
    assert (world.content.puts, world.value("dl4mic_jobs_ended_total")) == (1, 1)


def test_a_late_attempt_cannot_publish(world: World) -> None:
    world.running()
    world.made()
    world.fail(JobError.CRASHED)
    world.settlement.settle("a", 1, Outcome(JobState.SUCCEEDED), None)
    assert (world.job().state, world.job().attempt) == (Job.PENDING, 2)
    assert not (world.jobs_folder / "a/artifacts").exists()


def test_a_publication_that_fails_is_taken_back(world: World) -> None:
    world.running()
    made = world.made()
    (made / "model" / "model.json").unlink()
    world.settlement.settle("a", 1, Outcome(JobState.SUCCEEDED), None)
    job = world.job()
    assert (job.state, job.attempt, job.error.code) == (Job.PENDING, 2, JobError.INTERNAL)
    assert "model.json" in job.error.message
    assert made.exists() and not (world.jobs_folder / "a/artifacts").exists()


def publish_with(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> tuple[Path, Job]:
    """Settle a success while a step of its publication meets an error of the system."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "/disk/file")

    world.running()
    made = world.made()
    owner, name = {"rename": (Path, "rename"), "copy": (shutil, "copyfile")}[step]
    monkeypatch.setattr(owner, name, fail)
    world.settlement.settle("a", 1, Outcome(JobState.SUCCEEDED), None)
    monkeypatch.undo()
    return made, world.job()


@pytest.mark.parametrize("step", ["rename", "copy"])
def test_a_disk_that_fills_up_under_a_publication_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    made, job = publish_with(world, monkeypatch, step, errno.ENOSPC)
    assert (job.state, job.attempt, job.error.code) == (Job.FAILED, 1, JobError.DISK_FULL)
    assert "No space left on device: '/disk/file'" in job.error.message and job.error.hint
    assert made.exists()


@pytest.mark.parametrize("step", ["rename", "copy"])
def test_a_publication_into_what_cannot_be_written_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    made, job = publish_with(world, monkeypatch, step, errno.EROFS)
    assert (job.state, job.attempt, job.error.code) == (Job.PENDING, 2, JobError.VOLUME_UNAVAILABLE)
    assert "trying again in 10 s" in job.waiting_reason and "/disk/file" in job.error.message
    assert made.exists()


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (JobError.INVALID_INPUT, Job.FAILED),
        (JobError.OUT_OF_MEMORY, Job.FAILED),
        (JobError.DISK_FULL, Job.FAILED),
        (JobError.CRASHED, Job.PENDING),
        (JobError.NODE_LOST, Job.PENDING),
        (JobError.ENVIRONMENT_UNAVAILABLE, Job.PENDING),
    ],
)
def test_what_is_tried_again(world: World, code: JobError.Code, state: Job.State) -> None:
    world.running()
    world.fail(code)
    assert (world.job().state, world.job().error.code) == (state, code)
    waits = world.store.jobs.get("a").retry_time
    if code == JobError.ENVIRONMENT_UNAVAILABLE:
        assert "trying again in 10 s" in world.job().waiting_reason and waits


def test_a_second_crash_without_progress_is_the_end(world: World) -> None:
    world.running()
    world.fail(JobError.CRASHED)
    world.fail(JobError.CRASHED, attempt=2)
    assert world.job().state == Job.FAILED
    assert world.value("dl4mic_attempts_failed_total") == 2


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
@pytest.mark.parametrize(
    ("cause", "ended", "code"),
    [
        (Cause.CANCELLED, Job.CANCELLED, JobError.CANCELLED),
        (Cause.DEADLINE, Job.FAILED, JobError.DEADLINE),
    ],
)
def test_an_end_that_was_asked_for(
    world: World, state: JobState, cause: Cause, ended: Job.State, code: JobError.Code
) -> None:
    world.running()
    world.settlement.settle("a", 1, Outcome(state), cause)
    assert (world.job().state, world.job().error.code) == (ended, code)


def test_what_succeeded_in_spite_of_a_cancel_has_succeeded(world: World) -> None:
    world.running()
    world.made()
    world.settlement.settle("a", 1, Outcome(JobState.SUCCEEDED), Cause.CANCELLED)
    assert world.job().state == Job.SUCCEEDED


def test_a_cancel_that_comes_as_the_attempt_fails_wins(world: World) -> None:
    world.running()
    world.store.jobs.request_cancel("a")
    world.fail(JobError.CRASHED)
    assert world.job().state == Job.CANCELLED

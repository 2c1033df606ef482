# SPDX-License-Identifier: BSD-3-Clause
"""Kill anything at any time: the job goes on, and is published once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable

import grpc
import pytest
from servers import processes_with

from dl4mic.v1.job_pb2 import CancelJobRequest, Job, JobError, JobEvent, WatchJobRequest
from dl4mic.v1.model_pb2 import ListModelsRequest

from .conftest import Orchestrator, wait_until

New = Callable[..., Orchestrator]


def check_is_whole(orchestrator: Orchestrator, job_id: str) -> None:
    """Check that events are without gaps and repetitions, and that the model was published once."""
    events = orchestrator.events(job_id)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    ends = [event for event in events if event.state.state == Job.SUCCEEDED]
    assert len(ends) == 1 and events[-1] == ends[0]
    steps = [event.checkpoint.step for event in events if event.HasField("checkpoint")]
    assert steps == sorted(set(steps))
    models = orchestrator.models.ListModels(ListModelsRequest()).models
    assert [model.job_id for model in models] == [job_id]


def test_a_killed_orchestrator_adopts_its_running_job(new_orchestrator: New) -> None:
    orchestrator = new_orchestrator()
    orchestrator.train("a", epochs=25, step_seconds=0.02)
    orchestrator.wait_for("a", "checkpoint")
    workers = processes_with(f"{orchestrator.workspace}/jobs/a/1")
    orchestrator.kill()
    assert processes_with(f"{orchestrator.workspace}/jobs/a/1") == workers
    orchestrator.start()
    job = orchestrator.wait("a")
    assert (job.state, job.attempt, job.model) == (Job.SUCCEEDED, 1, "spots:1")
    check_is_whole(orchestrator, "a")
    wait_until(lambda: orchestrator.processes() == [])


def watch_until_it_is_killed(orchestrator: Orchestrator, job_id: str) -> list[JobEvent]:
    """Kill the orchestrator with events on their way to who watches; give all that came."""
    seen: list[JobEvent] = []
    with pytest.raises(grpc.RpcError) as caught:
        for event in orchestrator.jobs.WatchJob(WatchJobRequest(job_id=job_id), timeout=120):
            seen.append(event)
            if event.HasField("checkpoint"):
                orchestrator.process.kill()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    orchestrator.kill()
    return seen


def test_who_watches_misses_nothing_and_sees_nothing_twice(new_orchestrator: New) -> None:
    """What was seen before the kill is the record after it; the rest comes from there on."""
    orchestrator = new_orchestrator()
    orchestrator.train("a", epochs=25, step_seconds=0.02)
    seen = watch_until_it_is_killed(orchestrator, "a")
    orchestrator.start()
    seen += orchestrator.events("a", after=seen[-1].sequence)
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
    assert seen == orchestrator.events("a")
    assert seen[-1].state.state == Job.SUCCEEDED and seen[-1].attempt == 1


def test_a_job_that_ended_while_nobody_watched_is_published(new_orchestrator: New) -> None:
    orchestrator = new_orchestrator()
    orchestrator.train("a", epochs=10, step_seconds=0.02)
    orchestrator.wait_for("a", "checkpoint")
    orchestrator.kill()
    wait_until(lambda: orchestrator.processes() == [])
    orchestrator.start()
    job = orchestrator.wait("a")
    assert (job.state, job.attempt) == (Job.SUCCEEDED, 1)
    check_is_whole(orchestrator, "a")


def test_everything_killed_at_once_resumes_from_the_checkpoint(new_orchestrator: New) -> None:
    orchestrator = new_orchestrator()
    orchestrator.train("a", epochs=25, step_seconds=0.02)
    orchestrator.wait_for("a", "checkpoint")
    orchestrator.kill()
    for pid in orchestrator.processes():
        os.kill(pid, signal.SIGKILL)
    orchestrator.start()
    job = orchestrator.wait("a")
    assert (job.state, job.attempt) == (Job.SUCCEEDED, 2)
    second = [event for event in orchestrator.events("a") if event.attempt == 2]
    assert next(event for event in second if event.HasField("progress")).progress.done > 1
    check_is_whole(orchestrator, "a")


def test_a_killed_host_is_replaced(new_orchestrator: New) -> None:
    orchestrator = new_orchestrator()
    orchestrator.train("a", epochs=25, step_seconds=0.02)
    orchestrator.wait_for("a", "checkpoint")
    (host,) = processes_with(f"--jobs {orchestrator.workspace}/jobs")
    os.kill(host, signal.SIGKILL)
    job = orchestrator.wait("a")
    assert (job.state, job.attempt) == (Job.SUCCEEDED, 2)
    failed = [event.state for event in orchestrator.events("a") if event.state.HasField("error")]
    assert failed[0].error.code == JobError.CRASHED
    check_is_whole(orchestrator, "a")


@pytest.mark.parametrize("moment", ["renamed", "registered"])
def test_a_publication_that_was_interrupted_is_finished(new_orchestrator: New, moment: str) -> None:
    """Take the store back to before the end, with the traces that a crash at that moment leaves."""
    orchestrator = new_orchestrator()
    orchestrator.train("a")
    assert orchestrator.wait("a").state == Job.SUCCEEDED
    wait_until(lambda: orchestrator.processes() == [])
    orchestrator.stop()
    _forget_the_end(orchestrator, keep_model=moment == "registered")
    orchestrator.start()
    job = orchestrator.wait("a")
    assert (job.state, job.model) == (Job.SUCCEEDED, "spots:1")
    check_is_whole(orchestrator, "a")
    assert not (orchestrator.workspace / "jobs/a/1/artifacts").exists()


def _forget_the_end(orchestrator: Orchestrator, *, keep_model: bool) -> None:
    import sqlite3

    with sqlite3.connect(orchestrator.workspace / "store.sqlite") as database:
        (blob,) = database.execute("SELECT message FROM jobs").fetchone()
        job = Job.FromString(blob)
        last = job.last_sequence
        job.state, job.last_sequence, job.model = Job.RUNNING, last - 1, ""
        job.ClearField("end_time")
        database.execute("DELETE FROM events WHERE sequence = ?", (last,))
        values = (job.SerializeToString(), Job.RUNNING)
        database.execute("UPDATE jobs SET message = ?, state = ?", values)
        if not keep_model:
            database.execute("UPDATE models SET digest = '', record = ''")


def test_cancelling_is_not_forgotten_by_a_crash(new_orchestrator: New) -> None:
    orchestrator = new_orchestrator()
    orchestrator.train("a", epochs=1000, step_seconds=0.05)
    orchestrator.wait_for("a", "progress")
    orchestrator.jobs.CancelJob(CancelJobRequest(job_id="a"))
    orchestrator.kill()
    orchestrator.start()
    job = orchestrator.wait("a")
    assert (job.state, job.error.code) == (Job.CANCELLED, JobError.CANCELLED)
    assert orchestrator.processes() == []


def test_a_workspace_has_one_orchestrator(new_orchestrator: New) -> None:
    orchestrator = new_orchestrator()
    orchestrator.train("a", epochs=1000, step_seconds=0.05)
    orchestrator.wait_for("a", "progress")
    command = [*orchestrator.process.args, "--listen", "localhost:0"]  # type: ignore[misc]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert "another orchestrator works in" in json.loads(second.stderr.splitlines()[-1])["message"]
    # The instance that runs on does not hold the workspace's lock.
    orchestrator.kill()
    orchestrator.start()
    orchestrator.jobs.CancelJob(CancelJobRequest(job_id="a"))
    assert orchestrator.wait("a").state == Job.CANCELLED

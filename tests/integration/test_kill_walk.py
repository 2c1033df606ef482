# SPDX-License-Identifier: BSD-3-Clause
"""Walk through all steps of a job, and kill at each with -9 the worker, the host, the orchestrator, or all of them.

Each job stands at its own step, as its id says, when the kill comes. Then each must succeed, once, with everything of
it published once, on the attempt that the contract names, and no process may be left.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from servers import ENVIRONMENTS, processes_with, value_of

from dl4mic.v1.job_pb2 import Job, JobError, WatchJobRequest
from dl4mic.v1.model_pb2 import ListModelsRequest

from .conftest import Orchestrator, wait_until

New = Callable[..., Orchestrator]

BY_PAUSE = ("launch", "started", "call", "called", "end", "publish", "published", "finish")
"""Steps at which the orchestrator is made to stand still, once it has a place for the job."""

BY_EVENT = {"running": "state", "checkpoint": "checkpoint"}
"""Steps that a job shows by an event."""

BY_ITSELF = ("writing",)
"""Steps at which the worker stops itself: its second checkpoint is half written.

The next attempt must go on from the first one: should it read the half, it fails; should it begin anew, it stops again.
"""

BY_ITS_END = ("end",)
"""Steps at which the service may have ended by itself before it could be stopped."""

PREPARING = ("check", "environment")
"""Steps before a job has a place; few are prepared at once, so these come last. The data check is stopped at work."""

WITH_A_SERVICE = ("started", "call", "called", "running", "checkpoint", "writing", "end")
WITH_A_WORKER = ("called", "running", "checkpoint", "writing")
WITH_A_PROGRAM = (*WITH_A_WORKER, "check")


@pytest.fixture
def paused(new_orchestrator: New, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[New]:
    """Make orchestrators that stand still at the steps of their jobs until they are killed or let go."""
    (tmp_path / "pauses").mkdir()
    monkeypatch.setenv("DL4MIC_TEST_PAUSES", str(tmp_path / "pauses"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "pauses"), prepend=os.pathsep)
    # Workers stand still, too; nobody shall lose patience with them.
    yield lambda *flags: new_orchestrator("--cpus", "40", "--heartbeat-timeout", "3000", *flags)


def send(orchestrator: Orchestrator, job_id: str) -> None:
    """Train a model of the job's own name; those that are to be caught at work take seconds."""
    step = job_id.partition("-")[0]
    lasting = step in WITH_A_WORKER and step not in BY_ITSELF
    request = orchestrator.train_request(job_id, epochs=10 if lasting else 2)
    request.parameters["step_seconds"].CopyFrom(value_of(0.1 if lasting else 0.0))
    request.parameters["fault"].CopyFrom(value_of("halt" if step in BY_ITSELF else "none"))
    request.model = job_id
    orchestrator.networks.Train(request)


def walk_to(orchestrator: Orchestrator, pauses: Path, steps: dict[str, str]) -> None:
    """Bring every job to its step: {job id: step}."""
    # A service that nobody calls ends after a minute: those that wait for their first call come late.
    for group in (BY_EVENT, BY_ITSELF, BY_PAUSE, PREPARING, ("accepted",)):
        these = [job_id for job_id, step in steps.items() if step in group]
        for job_id in these:
            send(orchestrator, job_id)
        for job_id in these:
            if steps[job_id] in BY_EVENT:
                await_step(orchestrator, job_id, BY_EVENT[steps[job_id]])
            elif group == BY_ITSELF:
                wait_until(lambda job_id=job_id: has_stopped(workers(orchestrator, job_id)), 240)
            elif group != ("accepted",):
                wait_until((pauses / job_id).exists, 240)
            if steps[job_id] in WITH_A_WORKER:
                wait_until(lambda job_id=job_id: bool(workers(orchestrator, job_id)), 60)
                signal_all(workers(orchestrator, job_id), signal.SIGSTOP)


def await_step(orchestrator: Orchestrator, job_id: str, kind: str) -> None:
    for event in orchestrator.jobs.WatchJob(WatchJobRequest(job_id=job_id), timeout=120):
        if event.HasField(kind) and (kind != "state" or event.state.state == Job.RUNNING):
            return
    pytest.fail(f"{job_id} never came to its step")


def hosts(orchestrator: Orchestrator, job_id: str) -> list[int]:
    return [pid for pid in processes_with(f"{job_id}-1.sock") if pid != orchestrator.process.pid]


def workers(orchestrator: Orchestrator, job_id: str) -> list[int]:
    return orchestrator.processes_of(job_id, "dl4mic_sdk.worker")


def data_checks(orchestrator: Orchestrator, job_id: str) -> list[int]:
    return orchestrator.processes_of(job_id, "dl4mic_sdk.data_check")


def has_stopped(pids: list[int]) -> bool:
    """Say whether processes stand still (proc(5): "T (stopped)")."""
    states = [Path(f"/proc/{pid}/status").read_text(encoding="utf-8") for pid in pids]
    return bool(states) and all("T (stopped)" in state for state in states)


def signal_all(pids: list[int], number: signal.Signals, *, may_be_gone: bool = False) -> None:
    assert pids or may_be_gone
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def let_go(pauses: Path) -> None:
    for mark in pauses.iterdir():
        if mark.suffix != ".passed":
            mark.unlink()


def check_job(orchestrator: Orchestrator, job_id: str, attempts: int) -> None:
    job = orchestrator.wait(job_id)
    assert (job.state, job.attempt, job.model) == (Job.SUCCEEDED, attempts, f"{job_id}:1"), job
    events = orchestrator.events(job_id)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    ends = [event for event in events if event.state.state in (Job.SUCCEEDED, Job.FAILED, Job.CANCELLED)]  # fmt: skip
    assert ends == events[-1:]
    codes = [event.state.error.code for event in events if event.state.HasField("error")]
    assert set(codes) == ({JobError.CRASHED} if attempts > 1 else set())
    folder = orchestrator.workspace / "jobs" / job_id
    assert (folder / "artifacts" / "model" / "model.json").exists()
    assert not (folder / str(attempts) / "artifacts").exists()


def check_all(orchestrator: Orchestrator, attempts: dict[str, int]) -> None:
    for job_id, number in attempts.items():
        check_job(orchestrator, job_id, number)
    models = orchestrator.models.ListModels(ListModelsRequest()).models
    assert sorted(model.job_id for model in models) == sorted(attempts)
    wait_until(lambda: orchestrator.processes() == [])


def attempts_after_a_kill(steps: dict[str, str]) -> dict[str, int]:
    """Tell the attempt on which each job succeeds: what had ended well, and said so, is not done anew."""
    return {job_id: 1 if step == "end" else 2 for job_id, step in steps.items()}


@pytest.mark.timeout(600)
def test_kill_the_orchestrator_alone_or_with_everything(paused: New, tmp_path: Path) -> None:
    """What the orchestrator alone did goes on where it was; what died with it begins its second attempt."""
    orchestrator = paused()
    alone = {
        f"{step}-alone": step for step in (*BY_PAUSE, *BY_EVENT, *BY_ITSELF, *PREPARING, "accepted")
    }
    together = {f"{step}-all": step for step in WITH_A_SERVICE}
    walk_to(orchestrator, tmp_path / "pauses", {**alone, **together})
    orchestrator.kill()
    for job_id, step in together.items():
        pids = hosts(orchestrator, job_id) + workers(orchestrator, job_id)
        signal_all(pids, signal.SIGKILL, may_be_gone=step in BY_ITS_END)
    wait_until(lambda: not data_checks(orchestrator, "check-alone"))
    for step in WITH_A_WORKER:
        signal_all(workers(orchestrator, f"{step}-alone"), signal.SIGCONT)
    signal_all(hosts(orchestrator, "end-alone"), signal.SIGCONT, may_be_gone=True)
    let_go(tmp_path / "pauses")
    orchestrator.start()
    check_all(orchestrator, dict.fromkeys(alone, 1) | attempts_after_a_kill(together))


@pytest.mark.timeout(600)
def test_kill_the_making_of_an_environment(paused: New, tmp_path: Path) -> None:
    """What uv had begun is never used: the next one makes it anew, with the next attempt if it was uv that died."""
    environments = folder_without("blur-", tmp_path / "environments")
    orchestrator = paused("--environments", str(environments))
    pauses = tmp_path / "pauses"
    send(orchestrator, "install-tool")
    wait_until((pauses / "install-tool").exists, 240)
    signal_all(processes_with(str(environments), " sync "), signal.SIGKILL)
    let_go(pauses)
    send(orchestrator, "install-alone")
    wait_until((pauses / "install-alone").exists, 240)
    assert "uv was ended by signal 9" in orchestrator.job("install-tool").error.message
    orchestrator.kill()
    wait_until(lambda: processes_with(str(environments)) == [])
    assert not list(environments.glob("blur-*/"))
    let_go(pauses)
    orchestrator.start()
    for job_id, attempt in (("install-tool", 2), ("install-alone", 1)):
        job = orchestrator.wait(job_id)
        assert (job.state, job.attempt, job.model) == (Job.SUCCEEDED, attempt, f"{job_id}:1"), job


def folder_without(prefix: str, folder: Path) -> Path:
    """Give the environments that there are, but for some."""
    folder.mkdir()
    for made in ENVIRONMENTS.glob("[!.]*/"):
        if not made.name.startswith(prefix):
            (folder / made.name).symlink_to(made)
    return folder


@pytest.mark.timeout(600)
def test_kill_the_host_or_the_worker(paused: New, tmp_path: Path) -> None:
    """The orchestrator sees it, and opens the second attempt."""
    orchestrator = paused()
    of_hosts = {f"{step}-host": step for step in WITH_A_SERVICE}
    of_workers = {f"{step}-worker": step for step in WITH_A_PROGRAM}
    walk_to(orchestrator, tmp_path / "pauses", {**of_hosts, **of_workers})
    for job_id, step in of_hosts.items():
        # A worker that was stopped before it had asked to die with its host finds the host gone when it goes on.
        left = workers(orchestrator, job_id)
        signal_all(hosts(orchestrator, job_id), signal.SIGKILL, may_be_gone=step in BY_ITS_END)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    for job_id in of_workers:
        signal_all(workers(orchestrator, job_id) + data_checks(orchestrator, job_id), signal.SIGKILL)  # fmt: skip
    let_go(tmp_path / "pauses")
    check_all(orchestrator, attempts_after_a_kill({**of_hosts, **of_workers}))

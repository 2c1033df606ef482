# SPDX-License-Identifier: BSD-3-Clause
"""What projects may use: read from flags, measured on disk, refused or made to wait for in words, and shared fairly."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from dl4mic.v1.job_pb2 import Job as JobMessage
from dl4mic_orchestrator.allowances import DiskUse, read_allowances
from dl4mic_orchestrator.plan import Launch, Wait, plan
from dl4mic_orchestrator.records import (
    Allowance,
    Capacity,
    Device,
    Gpu,
    GpuNeed,
    GpuUse,
    Grant,
    Instance,
    InstanceState,
    Job,
    JobState,
    Needs,
)
from dl4mic_orchestrator.snapshot import Limits, Snapshot
from dl4mic_orchestrator.store import Store
from dl4mic_orchestrator.store.jobs import ProjectFullError

GPUS = (Gpu(0, "a", 8 << 30, (8, 0)), Gpu(1, "b", 8 << 30, (8, 0)))
NEEDS = {"net": Needs(), "gpu": Needs(gpu_use=GpuUse.USEFUL, gpu=GpuNeed(1 << 30))}


def test_limits_are_read() -> None:
    read = read_allowances(["*:jobs=100", "lab:running=2,gpus=1,disk=1.5"])
    assert read == {"*": Allowance(jobs=100), "lab": Allowance(None, 2, 1, 3 << 29)}
    of_project = Limits(projects=read).of_project
    assert (of_project("lab").jobs, of_project("other").jobs) == (None, 100)
    assert Limits().of_project("lab") == Allowance()


@pytest.mark.parametrize(
    "text", ["lab", "lab:", "lab:cpus=1", "lab:jobs=x", "lab:jobs=1,jobs=2", "lab:gpus=0.5", "La b:jobs=1"]
)  # fmt: skip
def test_a_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="running=N,gpus=N,disk=GIB"):
        read_allowances([text])


def test_a_project_has_so_many_open_jobs_at_most(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")

    def create(job_id: str, project: str = "lab") -> None:
        job = JobMessage(id=job_id, network="net", project=project)
        job.train.model = "m"
        store.jobs.create(job, most_open=2)

    create("a"), create("b"), create("other", project="other")
    with pytest.raises(ProjectFullError, match="project lab has 2 jobs that have not ended"):
        create("c")
    create("a")  # to send a job again is no new job
    store.jobs.change_state("a", 1, JobState.CANCELLED)
    create("c")
    store.close()


def test_what_a_project_takes_is_measured(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    for job_id, project in (("a", "lab"), ("b", "other")):
        job = JobMessage(id=job_id, network="net", project=project)
        job.train.model = "m"
        store.jobs.create(job)
        (tmp_path / job_id / "1").mkdir(parents=True)
        (tmp_path / job_id / "1" / "file").write_bytes(b"x" * 1000)
    use = DiskUse(store, tmp_path)
    assert (use.of("lab"), use.of("nobody")) == (1000, 0)
    store.close()


def world(jobs: list[Job], limits: dict[str, Allowance], instances: list[Instance]) -> Snapshot:
    capacity = Capacity(8, 1 << 34, GPUS)
    return Snapshot(1.0, capacity, jobs, needs=NEEDS, limits=Limits(projects=limits), instances=instances)  # fmt: skip


def ready(name: str, network: str = "net", project: str = "lab", **more: object) -> Job:
    order = int(name[1:])
    return Job(name, network, project=project, prepared_attempt=1, order=order, **more)  # type: ignore[arg-type]


def running(project: str = "lab", gpus: tuple[int, ...] = ()) -> Instance:
    return Instance("i", "s", "net", InstanceState.BUSY, Grant(1, 0, gpus), "r", 1, project)


def outcome(snapshot: Snapshot) -> tuple[list[str], dict[str, str]]:
    decisions = plan(snapshot)
    launched = [each.job_id for each in decisions if isinstance(each, Launch)]
    return launched, {each.job_id: each.reason for each in decisions if isinstance(each, Wait)}


def test_jobs_beyond_what_a_project_may_run_wait_and_claim_nothing() -> None:
    jobs = [ready("j1"), ready("j2"), ready("j3", project="other")]
    launched, waits = outcome(world(jobs, {"lab": Allowance(running=2)}, [running()]))
    assert launched == ["j3", "j1"]
    assert waits == {"j2": "project lab may run 2 jobs at once"}


def test_gpus_beyond_what_a_project_may_use_stay_free() -> None:
    jobs = [ready("j1", "gpu"), ready("j2", "gpu", project="other"), ready("j3")]
    launched, waits = outcome(world(jobs, {"lab": Allowance(gpus=1)}, [running(gpus=(0,))]))
    assert launched == ["j2", "j3"]
    assert waits == {"j1": "project lab may use 1 GPU at once"}


def test_a_project_without_gpus_computes_on_the_cpu_unless_it_asks() -> None:
    jobs = [ready("j1", "gpu"), ready("j2", "gpu", device=Device.GPU)]
    snapshot = world(jobs, {"*": Allowance(gpus=0)}, [])
    (launch,) = [each for each in plan(snapshot) if isinstance(each, Launch)]
    assert (launch.job_id, launch.grant.gpus) == ("j1", ())
    assert outcome(snapshot)[1] == {"j2": "project lab may use 0 GPUs at once"}


def turns(queues: dict[str, int], places: int) -> list[str]:
    """Play a machine with some places, on which each job takes a while; return the projects in the order of starts.

    The projects send all of their jobs at once, one project after the other.
    """
    names = [project for project, count in queues.items() for _ in range(count)]
    left = [ready(f"j{n}", project=project) for n, project in enumerate(names, start=1)]
    served: dict[str, float] = {}
    held: list[Instance] = []
    order: list[str] = []
    now = 0.0
    while left:
        now += 1.0
        held = held[1:] if len(held) == places else held
        snapshot = Snapshot(
            now, Capacity(places, 1 << 34), left, needs=NEEDS, instances=held, served=dict(served)
        )
        for launch in (each for each in plan(snapshot) if isinstance(each, Launch)):
            job = next(each for each in left if each.id == launch.job_id)
            left.remove(job)
            order.append(job.project)
            served[job.project] = now
            held = [*held, replace(running(job.project), id=job.id, grant=launch.grant)]
    return order


@pytest.mark.parametrize("places", [1, 2, 3])
def test_no_project_waits_for_the_whole_queue_of_another(places: int) -> None:
    """Ten jobs of one project, then three of another: they take turns from the first free place on."""
    order = turns({"first": 10, "second": 3}, places)
    assert order[: 2 * 3 + 1].count("second") == 3
    assert Counter(order) == {"first": 10, "second": 3}


def test_three_projects_take_turns() -> None:
    assert turns({"a": 3, "b": 3, "c": 3}, places=1) == ["a", "b", "c"] * 3

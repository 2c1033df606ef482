# SPDX-License-Identifier: BSD-3-Clause
"""The plan for a cluster, whose own scheduler gives the places: how far ahead, and what for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dl4mic_orchestrator.plan import Launch, StopWarm, Wait, plan
from dl4mic_orchestrator.records import Device, Gpu, Grant, Instance, InstanceState, JobState
from dl4mic_orchestrator.snapshot import Idle

from .test_plan import GIB, MACHINE, SMALL, instance, job, of_kind, world

CLUSTER = replace(MACHINE, look_ahead=2, where="the cluster")
ONE_CORE = Grant(1, GIB)
ONE_GPU = Grant(1, GIB, (0,))


def waiting(name: str, grant: Grant = ONE_CORE, since: float = 95.0) -> Instance:
    return instance(name, grant, state=InstanceState.LAUNCHING, create_time=since)


def placed(name: str, grant: Grant = ONE_CORE) -> Instance:
    return instance(name, grant, place="node-1")


def test_a_cluster_gets_jobs_until_enough_of_them_wait_there() -> None:
    jobs = [job(f"j{number}") for number in range(1, 5)]
    found = plan(world(*jobs, capacity=CLUSTER))
    assert [each.job_id for each in of_kind(Launch, found)] == ["j1", "j2"]
    reasons = {each.job_id: each.reason for each in of_kind(Wait, found)}
    assert reasons == {
        "j3": "waits until a place is free",
        "j4": "waits until a place is free; 1 job ahead",
    }


def test_what_waits_in_the_cluster_is_ahead_and_what_runs_there_is_not_counted() -> None:
    held = [waiting("a"), waiting("b"), *(placed(f"p{number}") for number in range(9))]
    open_jobs = [job(f"job-{each.id}", state=JobState.RUNNING) for each in held]
    found = plan(
        world(
            job("j1"), *open_jobs, capacity=CLUSTER, instances=held,
            active=frozenset(each.id for each in open_jobs),
        )
    )  # fmt: skip
    assert found == [Wait("j1", "waits until a place is free; 2 jobs ahead", 2)]


def test_a_cluster_is_asked_for_all_that_a_job_needs() -> None:
    (launch,) = plan(world(job("j1", "wide"), capacity=CLUSTER))
    assert launch == Launch("j1", Grant(8, 64 * GIB))
    (launch,) = plan(world(job("j1", "gpu"), capacity=CLUSTER))
    assert launch == Launch("j1", ONE_GPU)


def test_what_no_node_has_is_not_asked_for() -> None:
    (wait,) = plan(
        world(job("j1", "modern", device=Device.GPU), capacity=replace(CLUSTER, gpus=(SMALL,)))
    )
    assert isinstance(wait, Wait)
    assert wait.reason.startswith("no GPU of the cluster has the 0 GiB and the compute capability")
    (wait,) = plan(world(job("j1", device=Device.GPU), capacity=replace(CLUSTER, gpus=())))
    assert isinstance(wait, Wait) and wait.reason.startswith("the cluster has no GPU")


def test_a_gpu_of_which_nothing_is_known_may_do() -> None:
    unknown = replace(CLUSTER, gpus=(Gpu(0, "nvidia.com/gpu", 0, (0, 0)),))
    assert of_kind(Launch, plan(world(job("j1", "big"), capacity=unknown)))


@pytest.mark.parametrize(
    ("holds", "asked", "since", "ended"),
    [
        (ONE_GPU, ONE_GPU, 85.0, ["w"]),
        (ONE_GPU, ONE_GPU, 95.0, []),
        (ONE_CORE, ONE_CORE, 85.0, ["w"]),
        (ONE_CORE, ONE_CORE, 95.0, []),
        (ONE_GPU, ONE_CORE, 85.0, ["w"]),
        (ONE_CORE, ONE_GPU, 85.0, []),
    ],
)
def test_an_idle_warm_instance_makes_room_for_a_job_that_is_stuck_in_the_cluster(
    holds: Grant, asked: Grant, since: float, ended: list[str]
) -> None:
    warm = instance("w", holds, job_id="", state=InstanceState.WARM, place="node-1")
    found = plan(
        world(
            job("job-a"), capacity=CLUSTER, instances=[warm, waiting("a", asked, since)],
            idle=[Idle("w", 90.0)], active=frozenset({"job-a"}),
        )
    )  # fmt: skip
    assert [each.instance_id for each in of_kind(StopWarm, found)] == ended


PLAIN = replace(CLUSTER, look_ahead=100, keeps_priority=False)
"""Its scheduler gives places in the order in which it was asked."""


def test_where_the_cluster_does_not_keep_priority_those_that_come_find_a_gpu_free() -> None:
    jobs = [job(f"j{number}", "gpu") for number in range(1, 6)]
    found = plan(world(*jobs, job("j9"), capacity=PLAIN))
    assert [each.job_id for each in of_kind(Launch, found)] == ["j1", "j2", "j9"]


@pytest.mark.parametrize(
    ("second", "launched"),
    [
        (placed("b", ONE_GPU), ["urgent"]),
        (waiting("b", ONE_GPU, since=95.0), []),  # two that come at once might change places
        (waiting("b", ONE_GPU, since=80.0), ["urgent"]),  # no free GPU is one for b
    ],
)
def test_one_job_at_most_waits_for_a_gpu_there_and_none_overtakes_another(
    second: Instance, launched: list[str]
) -> None:
    jobs = [job("calm", "gpu"), job("urgent", "gpu", priority=5)]
    found = plan(
        world(*jobs, capacity=PLAIN, instances=[placed("a", ONE_GPU), second], active=frozenset())
    )
    assert [each.job_id for each in of_kind(Launch, found)] == launched

# SPDX-License-Identifier: BSD-3-Clause
"""The plan: tables of small worlds, and what holds for every world."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dl4mic_orchestrator.plan import (
    Cause,
    Decision,
    Discard,
    End,
    Launch,
    LaunchWarm,
    Prepare,
    Resume,
    StopWarm,
    Wait,
    next_wake,
    plan,
)
from dl4mic_orchestrator.records import (
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
    WarmKey,
)
from dl4mic_orchestrator.snapshot import Idle, Limits, Snapshot, WarmWish

GIB = 1 << 30
SMALL = Gpu(0, "small", 8 * GIB, (7, 5))
LARGE = Gpu(1, "large", 24 * GIB, (8, 6))
MACHINE = Capacity(cpus=4, memory_bytes=16 * GIB, gpus=(SMALL, LARGE))
NO_GPU = replace(MACHINE, gpus=())
NEEDS = {
    "cpu": Needs(cpus=1, memory_bytes=GIB),
    "wide": Needs(cpus=8, memory_bytes=64 * GIB),
    "gpu": Needs(cpus=1, memory_bytes=GIB, gpu_use=GpuUse.USEFUL, gpu=GpuNeed(4 * GIB)),
    "big": Needs(cpus=1, gpu_use=GpuUse.NEEDED, gpu=GpuNeed(16 * GIB)),
    "modern": Needs(cpus=1, gpu_use=GpuUse.NEEDED, gpu=GpuNeed(0, (8, 0), (9, 0))),
}
KEY = WarmKey("gpu", "/m", "best", Device.AUTO)


def job(name: str, network: str = "cpu", order: int = 0, **more: object) -> Job:
    values: dict = {
        "prepared_attempt": 1,
        "order": order or int("0" + "".join(c for c in name if c.isdigit())),
    }
    return Job(name, network, **{**values, **more})


def instance(name: str, grant: Grant, **more: object) -> Instance:
    values: dict = {"job_id": f"job-{name}", **more}
    return Instance(name, "s", "cpu", values.pop("state", InstanceState.BUSY), grant, **values)


def world(*jobs: Job, capacity: Capacity = MACHINE, **more: object) -> Snapshot:
    return Snapshot(now=100.0, capacity=capacity, jobs=jobs, needs=NEEDS, **more)  # type: ignore[arg-type]


def of_kind(kind: type, decisions: list[Decision]) -> list:
    return [each for each in decisions if isinstance(each, kind)]


def launched(snapshot: Snapshot) -> dict[str, tuple[int, ...]]:
    return {each.job_id: each.grant.gpus for each in of_kind(Launch, plan(snapshot))}


@pytest.mark.parametrize(
    ("given_job", "expected"),
    [
        (job("a", prepared_attempt=0), [Prepare("a")]),
        (job("a", attempt=2), [Prepare("a")]),
        (job("a"), [Launch("a", Grant(1, GIB))]),
        (job("a", cancel_requested=True), [End("a", Cause.CANCELLED)]),
        (job("a", deadline_time=100.0), [End("a", Cause.DEADLINE)]),
        (job("a", deadline_time=100.1), [Launch("a", Grant(1, GIB))]),
        (job("a", depends_on=("gone",)), [End("a", Cause.DEPENDENCY_FAILED, "gone")]),
        (job("a", retry_time=101.0), [Wait("a")]),
        (job("a", retry_time=100.0), [Launch("a", Grant(1, GIB))]),
    ],
)
def test_one_job(given_job: Job, expected: list[Decision]) -> None:
    assert plan(world(given_job)) == expected


def test_what_a_thread_works_for_is_left_alone_unless_it_shall_end() -> None:
    jobs = (job("a"), job("b", cancel_requested=True), job("c", depends_on=("gone",)))
    decisions = plan(world(*jobs, active=frozenset("abc")))
    assert decisions == [End("b", Cause.CANCELLED)]


@pytest.mark.parametrize(
    ("state", "kind"),
    [(JobState.SUCCEEDED, Launch), (JobState.FAILED, End), (JobState.CANCELLED, End)],
)
def test_a_job_goes_on_when_the_one_it_needs_has_succeeded(state: JobState, kind: type) -> None:
    (decision,) = plan(world(job("b", depends_on=("a",)), ended={"a": state}))
    assert isinstance(decision, kind)


def test_a_job_waits_for_the_one_it_needs() -> None:
    decisions = plan(world(job("a"), job("b", depends_on=("a",), prepared_attempt=0)))
    assert decisions[0] == Wait("b", "waits for the result of job a")
    assert of_kind(Prepare, decisions) == []


def test_few_jobs_are_prepared_at_once() -> None:
    jobs = [job(f"j{number}", prepared_attempt=0) for number in range(1, 5)]
    decisions = plan(world(*jobs, active=frozenset({"j1"}), limits=Limits(preparing=2)))
    assert of_kind(Prepare, decisions) == [Prepare("j2")]
    assert [each.job_id for each in of_kind(Wait, decisions)] == ["j3", "j4"]


def test_order_is_priority_then_share_then_age() -> None:
    jobs = [
        job("a1", project="busy"),
        job("a2", project="busy"),
        job("b3", project="calm"),
        job("b4", project="calm"),
        job("c5", project="busy", priority=1),
    ]
    running = instance("r", Grant(1, 0), project="busy")
    decisions = plan(world(*jobs, capacity=replace(NO_GPU, cpus=4), instances=(running,)))
    assert [each.job_id for each in of_kind(Launch, decisions)] == ["c5", "b3", "b4"]
    assert [(each.job_id, each.jobs_ahead) for each in of_kind(Wait, decisions)] == [
        ("a1", 0),
        ("a2", 1),
    ]


@pytest.mark.parametrize(
    ("given_job", "capacity", "gpus"),
    [
        (job("a", "gpu"), MACHINE, (0,)),
        (job("a", "big"), MACHINE, (1,)),
        (job("a", "modern"), MACHINE, (1,)),
        (job("a", "gpu", device=Device.CPU), MACHINE, ()),
        (job("a", "gpu"), NO_GPU, ()),
        (job("a", "big"), replace(MACHINE, gpus=(SMALL,)), ()),
        (job("a", "cpu"), MACHINE, ()),
    ],
)
def test_which_gpu(given_job: Job, capacity: Capacity, gpus: tuple[int, ...]) -> None:
    assert launched(world(given_job, capacity=capacity)) == {"a": gpus}


@pytest.mark.parametrize(
    ("capacity", "words"),
    [
        (NO_GPU, "this machine has no GPU"),
        (replace(MACHINE, gpus=(SMALL,)), "no GPU of this machine"),
    ],
)
def test_a_gpu_that_was_asked_for_is_never_replaced_by_the_cpu(
    capacity: Capacity, words: str
) -> None:
    (decision,) = plan(world(job("a", "big", device=Device.GPU), capacity=capacity))
    assert isinstance(decision, Wait) and words in decision.reason


def test_each_gpu_is_given_once() -> None:
    jobs = [job(f"g{number}", "gpu") for number in range(1, 4)]
    decisions = plan(world(*jobs))
    assert launched(world(*jobs)) == {"g1": (0,), "g2": (1,)}
    assert of_kind(Wait, decisions) == [Wait("g3", "waits until a GPU is free")]


def test_a_job_that_wants_more_than_there_is_runs_alone() -> None:
    assert launched(world(job("w", "wide"))) == {"w": ()}
    busy = instance("r", Grant(1, GIB))
    assert launched(world(job("w1", "wide"), job("c2"), instances=(busy,))) == {}


def test_a_large_job_does_not_starve() -> None:
    """Small jobs that come later use only what the waiting one does not want."""
    busy = instance("r", Grant(2, 0))
    needs = {**NEEDS, "four": Needs(cpus=4)}
    snapshot = replace(world(job("f1", "four"), job("c2"), instances=(busy,)), needs=needs)
    assert launched(snapshot) == {}
    one_gpu = replace(MACHINE, gpus=(LARGE,))
    taken = instance("r", Grant(1, 0, (1,)))
    behind = world(job("g1", "gpu"), job("c2"), capacity=one_gpu, instances=(taken,))
    assert launched(behind) == {"c2": ()}


def warm_world(*jobs: Job, idle: bool = True, **more: object) -> Snapshot:
    held = instance("w", Grant(1, GIB, (0,)), state=InstanceState.WARM, job_id="")
    since = (Idle("w", 90.0),) if idle else ()
    one_gpu = replace(MACHINE, gpus=(SMALL,))
    return world(*jobs, capacity=one_gpu, instances=(held,), idle=since, **more)


def test_an_idle_warm_instance_makes_way_for_who_needs_its_place() -> None:
    assert of_kind(StopWarm, plan(warm_world(job("g", "gpu")))) == [StopWarm("w")]
    assert of_kind(StopWarm, plan(warm_world(job("c")))) == []
    assert of_kind(StopWarm, plan(warm_world(job("g", "gpu"), idle=False))) == []


def test_a_warm_instance_ends_when_its_time_is_up() -> None:
    assert plan(warm_world(limits=Limits(warm_idle_seconds=10))) == [StopWarm("w")]
    assert plan(warm_world(limits=Limits(warm_idle_seconds=11))) == []


def test_a_warm_wish_goes_first() -> None:
    one = replace(NO_GPU, cpus=1)
    snapshot = world(job("a"), capacity=one, wishes=(WarmWish(KEY, NEEDS["gpu"], "s"),))
    decisions = plan(snapshot)
    assert of_kind(LaunchWarm, decisions) == [LaunchWarm(KEY, Grant(1, GIB))]
    assert of_kind(Launch, decisions) == []


def test_a_service_has_no_more_warm_instances_than_it_may() -> None:
    """The longest idle one makes way for another model; who answers somebody does not."""
    other = WarmKey("cpu", "/n", "best", Device.AUTO)
    wishes = (WarmWish(other, NEEDS["cpu"], "s"), WarmWish(KEY, NEEDS["cpu"], "t"))
    limits = Limits(warm_instances={"s": 1, "t": 1})
    idle = warm_world(wishes=wishes, limits=limits)
    assert plan(idle) == [LaunchWarm(KEY, Grant(1, GIB)), StopWarm("w")]
    busy = warm_world(wishes=wishes, limits=limits, idle=False)
    assert plan(busy) == [LaunchWarm(KEY, Grant(1, GIB))]
    both = replace(busy, wishes=(wishes[0], replace(wishes[0], key=KEY)), instances=())
    assert plan(both) == [LaunchWarm(other, Grant(1, GIB))]
    free = warm_world(wishes=wishes, idle=False)
    assert [each.key for each in of_kind(LaunchWarm, plan(free))] == [other, KEY]


def test_the_next_moment_that_matters() -> None:
    jobs = (job("a", deadline_time=200.0), job("b", retry_time=150.0), job("c", retry_time=50.0))
    assert next_wake(world(*jobs)) == 150.0
    assert next_wake(warm_world(limits=Limits(warm_idle_seconds=20))) == 110.0
    assert next_wake(world(job("a"))) is None


NETWORKS = st.sampled_from(sorted(NEEDS))
JOBS = st.lists(
    st.builds(
        lambda network, project, priority, device, prepared: (
            network,
            project,
            priority,
            device,
            prepared,
        ),
        NETWORKS,
        st.sampled_from(["p", "q"]),
        st.integers(-2, 2),
        st.sampled_from(list(Device)),
        st.booleans(),
    ),
    max_size=12,
)
CAPACITIES = st.builds(
    Capacity,
    cpus=st.integers(1, 8),
    memory_bytes=st.integers(1, 32).map(lambda gib: gib * GIB),
    gpus=st.sampled_from([(), (SMALL,), (LARGE,), (SMALL, LARGE)]),
)


def worlds_of(kinds: list, capacity: Capacity) -> Snapshot:
    jobs = [
        Job(
            f"j{n}",
            net,
            project=proj,
            priority=prio,
            device=dev,
            order=n,
            prepared_attempt=int(ready),
        )
        for n, (net, proj, prio, dev, ready) in enumerate(kinds, start=1)
    ]
    return world(*jobs, capacity=capacity)


@given(JOBS, CAPACITIES)
def test_nothing_is_given_out_twice_or_beyond_what_there_is(
    kinds: list, capacity: Capacity
) -> None:
    grants = [each.grant for each in of_kind(Launch, plan(worlds_of(kinds, capacity)))]
    assert sum(grant.cpus for grant in grants) <= capacity.cpus
    assert sum(grant.memory_bytes for grant in grants) <= capacity.memory_bytes
    gpus = [gpu for grant in grants for gpu in grant.gpus]
    assert len(gpus) == len(set(gpus))


@given(JOBS, CAPACITIES)
def test_every_job_gets_one_decision(kinds: list, capacity: Capacity) -> None:
    snapshot = worlds_of(kinds, capacity)
    decided = [each.job_id for each in plan(snapshot)]  # type: ignore[union-attr]
    assert sorted(decided) == sorted(job.id for job in snapshot.jobs)


@given(JOBS, CAPACITIES)
def test_every_job_that_the_machine_can_run_runs_in_the_end(
    kinds: list, capacity: Capacity
) -> None:
    """Play the plan until nothing changes: what is left asks for a GPU that is not there."""
    snapshot = worlds_of([(*kind[:4], True) for kind in kinds], capacity)
    left = list(snapshot.jobs)
    while True:
        now = {each.job_id for each in of_kind(Launch, plan(replace(snapshot, jobs=left)))}
        if not now:
            break
        left = [each for each in left if each.id not in now]
    for each in left:
        need = NEEDS[each.network].gpu
        assert each.device is Device.GPU and not any(need.met_by(gpu) for gpu in capacity.gpus)


@given(JOBS, CAPACITIES)
def test_a_project_is_not_starved_by_another(kinds: list, capacity: Capacity) -> None:
    """Of equal jobs, two projects' launches differ by one at most while both have some waiting."""
    equal = [("cpu", project, 0, Device.CPU, True) for _, project, *_ in kinds]
    snapshot = worlds_of(equal, capacity)
    projects = {each.id: each.project for each in snapshot.jobs}
    decisions = plan(snapshot)
    waiting = {projects[each.job_id] for each in of_kind(Wait, decisions)}
    if waiting == {"p", "q"}:
        began = [projects[each.job_id] for each in of_kind(Launch, decisions)]
        assert abs(began.count("p") - began.count("q")) <= 1


def test_what_nobody_works_for_is_resumed_before_anything_else_is_said_of_it() -> None:
    jobs = (
        job("a", state=JobState.RUNNING, cancel_requested=True),
        job("b", state=JobState.STARTING, deadline_time=1.0),
        job("c"),
        job("d", state=JobState.RUNNING),
    )
    held = instance("i", Grant(1, 0), job_id="c", attempt=1)
    decisions = plan(world(*jobs, instances=(held,), active=frozenset("d")))
    assert decisions == [Resume("a"), Resume("b"), Resume("c")]


def test_an_instance_of_no_attempt_is_ended() -> None:
    stray = instance("i", Grant(1, 0), job_id="gone", attempt=1)
    overtaken = instance("k", Grant(1, 0), job_id="a", attempt=1)
    decisions = plan(world(job("a", attempt=2), instances=(stray, overtaken)))
    assert decisions[:2] == [Discard("i"), Discard("k")]
    still = plan(world(job("a", attempt=2), instances=(overtaken,), active=frozenset("a")))
    assert still == []


def test_a_pause_that_no_retry_has_means_that_the_clock_was_set_back() -> None:
    assert launched(world(job("a", retry_time=100.0 + 3600))) == {"a": ()}


def test_few_reasons_change_when_one_of_many_is_launched() -> None:
    """Were the number of jobs ahead exact in all of them, a queue would write events as the square of its length."""
    jobs = [job(f"j{number}") for number in range(1, 200)]
    reasons = []
    for first in (0, 1):
        decisions = plan(world(*jobs[first:], capacity=replace(NO_GPU, cpus=1)))
        reasons.append({each.job_id: each.reason for each in of_kind(Wait, decisions)})
    changed = [name for name, reason in reasons[1].items() if reasons[0].get(name) != reason]
    assert len(changed) <= 12

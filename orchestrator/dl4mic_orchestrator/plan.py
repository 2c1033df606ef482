# SPDX-License-Identifier: BSD-3-Clause
"""Decide what to prepare, launch, stop or end: a pure function of jobs, instances, capacity and the clock."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from dl4mic.retry import LONGEST_PAUSE
from dl4mic_orchestrator.placement import (
    Places,
    Shares,
    count,
    helps,
    places,
    request_of,
    used_places,
    why_never,
)
from dl4mic_orchestrator.records import (
    GpuUse,
    Grant,
    Instance,
    InstanceState,
    Job,
    JobState,
    Needs,
    WarmKey,
)
from dl4mic_orchestrator.snapshot import Snapshot

_AHEAD_SAID = 10
"""Up to here a job's reason counts those that go first; were it exact, each launch would change all who wait."""

_STUCK_SECONDS = 10.0
"""A cluster's scheduler takes about a second for what fits."""


class Cause(Enum):
    """Why a job is ended from outside."""

    CANCELLED = "cancelled"
    DEADLINE = "deadline"
    DEPENDENCY_FAILED = "dependency failed"


@dataclass(frozen=True, slots=True)
class Prepare:
    """Check the job's data and make its environment."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Launch:
    """Give the job an instance with these resources."""

    job_id: str
    grant: Grant


@dataclass(frozen=True, slots=True)
class Resume:
    """Take up a job that nobody works for any more: its thread broke off, or the orchestrator before this one died."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Discard:
    """End an instance that works for no attempt of an open job."""

    instance_id: str


@dataclass(frozen=True, slots=True)
class LaunchWarm:
    """Start an instance that holds a model ready."""

    key: WarmKey
    grant: Grant


@dataclass(frozen=True, slots=True)
class StopWarm:
    """End an idle warm instance: its time is up, or its place is needed."""

    instance_id: str


@dataclass(frozen=True, slots=True)
class End:
    """End a job, or the work that is under way for it; `about` names the other job, if one is to blame."""

    job_id: str
    cause: Cause
    about: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """Leave the job where it is, for this reason, or for the one that it says already; `jobs_ahead` go first."""

    job_id: str
    reason: str = ""
    jobs_ahead: int = 0


Decision = Prepare | Launch | Resume | Discard | LaunchWarm | StopWarm | End | Wait


def plan(snapshot: Snapshot) -> list[Decision]:
    """Decide what to do now.

    Returns
    -------
    list
        In the order in which to do it. A decision that needs a place is made only when the place is free: what makes
        it free (`StopWarm`) comes first, and the launch with a later snapshot.
    """
    resumed = _resumed(snapshot)
    ends = list(_ends(snapshot, resumed))
    settled = resumed | snapshot.active | {end.job_id for end in ends}
    dormant, ready = _part((job for job in snapshot.jobs if job.id not in settled), snapshot)
    return [
        *map(Resume, sorted(resumed)),
        *_discarded(snapshot),
        *ends,
        *_expired(snapshot),
        *dormant,
        *_prepare(ready, snapshot),
        *_place(ready, snapshot),
    ]


def next_wake(snapshot: Snapshot) -> float | None:
    """Tell when time alone changes what `plan` decides, in seconds since 1970; None for never."""
    moments = [
        moment for job in snapshot.jobs for moment in (job.deadline_time, job.retry_time) if moment
    ]
    moments += [idle.since + snapshot.limits.warm_idle_seconds for idle in snapshot.idle]
    return min((moment for moment in moments if moment > snapshot.now), default=None)


def _resumed(snapshot: Snapshot) -> set[str]:
    """Find the jobs that are under way, or hold a place, with nobody who looks after them.

    Even one that shall end is resumed first: its processes must be gone before it can be said to have ended.
    """
    held = {(instance.job_id, instance.attempt) for instance in snapshot.instances}
    return {
        job.id
        for job in snapshot.jobs
        if job.id not in snapshot.active
        and (job.state is not JobState.PENDING or (job.id, job.attempt) in held)
    }


def _discarded(snapshot: Snapshot) -> Iterator[Discard]:
    attempts = {(job.id, job.attempt) for job in snapshot.jobs}
    for instance in snapshot.instances:
        stray = instance.job_id and (instance.job_id, instance.attempt) not in attempts
        if stray and instance.job_id not in snapshot.active:
            yield Discard(instance.id)


def _ends(snapshot: Snapshot, resumed: set[str]) -> Iterator[End]:
    open_ids = {job.id for job in snapshot.jobs}
    for job in snapshot.jobs:
        if job.id in resumed:
            continue
        if job.cancel_requested:
            yield End(job.id, Cause.CANCELLED)
        elif job.deadline_time is not None and job.deadline_time <= snapshot.now:
            yield End(job.id, Cause.DEADLINE)
        elif job.id not in snapshot.active:
            yield from _broken_dependency(job, open_ids, snapshot.ended)


def _broken_dependency(
    job: Job, open_ids: set[str], ended: Mapping[str, JobState]
) -> Iterator[End]:
    for other in job.depends_on:
        if other not in open_ids and ended.get(other) is not JobState.SUCCEEDED:
            yield End(job.id, Cause.DEPENDENCY_FAILED, about=other)
            return


def _expired(snapshot: Snapshot) -> Iterator[StopWarm]:
    for idle in snapshot.idle:
        if idle.since + snapshot.limits.warm_idle_seconds <= snapshot.now:
            yield StopWarm(idle.instance_id)


def _part(jobs: Iterable[Job], snapshot: Snapshot) -> tuple[list[Wait], list[Job]]:
    """Part the jobs that only wait from those that could go on now, the latter in the order of their turn."""
    open_ids = {job.id for job in snapshot.jobs}
    dormant: list[Wait] = []
    ready: list[Job] = []
    for job in jobs:
        unfinished = [other for other in job.depends_on if other in open_ids]
        if unfinished:
            dormant.append(Wait(job.id, waits_for(unfinished)))
        elif _pauses(job, snapshot.now):
            dormant.append(Wait(job.id))
        else:
            ready.append(job)
    return dormant, _in_turn(ready, snapshot)


def waits_for(unfinished: Iterable[str]) -> str:
    """Say that a job needs what others have not made yet."""
    return f"waits for the result of job {', '.join(unfinished)}"


def _pauses(job: Job, now: float) -> bool:
    """Say whether the next attempt must wait still; no pause is so long that the clock was not set back meanwhile."""
    return job.retry_time is not None and 0 < job.retry_time - now <= LONGEST_PAUSE.total_seconds()


def _in_turn(jobs: Iterable[Job], snapshot: Snapshot) -> list[Job]:
    """Order by priority, then by what the project uses now, then by how long ago it had its turn, then by age.

    Each job that is placed in the order counts as used by its project, so that projects take turns.
    """
    used = used_places(snapshot.instances)
    levels: dict[int, dict[str, deque[Job]]] = {}
    for job in sorted(jobs, key=lambda job: job.order):
        levels.setdefault(-job.priority, {}).setdefault(job.project, deque()).append(job)
    turn: list[Job] = []
    for _, queues in sorted(levels.items()):
        heap = [
            (used[project], snapshot.served.get(project, 0.0), queue[0].order, project)
            for project, queue in queues.items()
        ]
        heapq.heapify(heap)
        while heap:
            project = heap[0][-1]
            turn.append(queues[project].popleft())
            used[project] += 1
            if queues[project]:
                following = queues[project][0].order
                heapq.heapreplace(heap, (used[project], snapshot.now, following, project))
            else:
                heapq.heappop(heap)
    return turn


def _prepare(ready: Sequence[Job], snapshot: Snapshot) -> Iterator[Decision]:
    preparing = sum(job.id in snapshot.active and not job.prepared for job in snapshot.jobs)
    ahead = 0
    for job in ready:
        if job.prepared:
            continue
        if preparing < snapshot.limits.preparing:
            preparing += 1
            yield Prepare(job.id)
        else:
            yield Wait(job.id, "waits for its data check; others are checked first", ahead)
            ahead += 1


def _place(ready: Sequence[Job], snapshot: Snapshot) -> Iterator[Decision]:
    """Hand out what is free, warm wishes first: a person sits before them.

    A job that does not fit keeps its claim: what it needs is taken off what is left, so that smaller jobs behind it
    use only what it does not want, and it cannot starve. A job that its project's limits hold back claims nothing.
    """
    free = places(snapshot.capacity, snapshot.instances, lambda it: _is_stuck(it, snapshot.now))
    yield from _warm(snapshot, free)
    shares = Shares(snapshot.instances, snapshot.limits.of_project)
    ahead = free.waiting
    for job in ready:
        if not job.prepared:
            continue
        device = shares.device(job)
        request = request_of(device, snapshot.needs[job.network], snapshot.capacity)
        barred = why_never(request, snapshot.capacity) or shares.why_not(job, request)
        grant = None if barred else shares.take(job, request, free)
        if grant is not None:
            yield Launch(job.id, grant)
        else:
            yield Wait(job.id, barred or _why_not_now(request, ahead), ahead)
            ahead += not barred
    yield from _evict(snapshot, free.lacking)


def _is_stuck(instance: Instance, now: float) -> bool:
    return now - instance.create_time > _STUCK_SECONDS


def _warm(snapshot: Snapshot, free: Places) -> Iterator[LaunchWarm]:
    held = _warm_held(snapshot)
    for wish in snapshot.wishes:
        if held[wish.service] >= snapshot.limits.most_warm(wish.service):
            continue
        request = request_of(wish.key.device, wish.needs, snapshot.capacity)
        never = why_never(request, snapshot.capacity)
        grant = None if never else free.take(request)
        if grant is not None:
            held[wish.service] += 1
            yield LaunchWarm(wish.key, grant)


def _warm_held(snapshot: Snapshot) -> Counter[str]:
    """Count the warm instances of each service."""
    return Counter(instance.service for instance in snapshot.instances if not instance.job_id)


def _why_not_now(needs: Needs, jobs_ahead: int) -> str:
    lacks = "a GPU" if needs.gpu_use is GpuUse.NEEDED else "a place"
    if jobs_ahead > _AHEAD_SAID:
        return f"waits until {lacks} is free; more than {_AHEAD_SAID} jobs ahead"
    ahead = f"; {count(jobs_ahead, 'job')} ahead" if jobs_ahead else ""
    return f"waits until {lacks} is free{ahead}"


def _evict(snapshot: Snapshot, lacking: Sequence[Needs]) -> Iterator[StopWarm]:
    """End the longest idle warm instance that holds what is lacking, or another one's place, one at a time."""
    if any(instance.state is InstanceState.STOPPING for instance in snapshot.instances):
        return
    held = _warm_held(snapshot)
    full = {
        wish.service
        for wish in snapshot.wishes
        if held[wish.service] >= snapshot.limits.most_warm(wish.service)
    }
    instances = {instance.id: instance for instance in snapshot.instances}
    for idle in sorted(snapshot.idle, key=lambda idle: idle.since):
        instance = instances[idle.instance_id]
        wanted = any(helps(instance.grant, needs, snapshot.capacity) for needs in lacking)
        if wanted or instance.service in full:
            yield StopWarm(idle.instance_id)
            return

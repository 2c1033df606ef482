# SPDX-License-Identifier: BSD-3-Clause
"""Decide what to prepare, launch, stop or end: a pure function of jobs, instances, capacity and the clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from dl4mic_orchestrator.records import (
    Capacity,
    Device,
    GpuUse,
    Grant,
    Instance,
    InstanceState,
    Job,
    JobState,
    Needs,
    WarmKey,
)


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
    """Leave the job where it is, for this reason; `jobs_ahead` are those that go first."""

    job_id: str
    reason: str
    jobs_ahead: int = 0


Decision = Prepare | Launch | LaunchWarm | StopWarm | End | Wait


@dataclass(frozen=True, slots=True)
class WarmWish:
    """A caller waits for a warm instance."""

    key: WarmKey
    needs: Needs


@dataclass(frozen=True, slots=True)
class Idle:
    """A warm instance that answers nobody, since a time in seconds since 1970."""

    instance_id: str
    since: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What the administrator allows.

    Attributes
    ----------
    preparing
        Data checks and environments made at once.
    warm_idle_seconds
        How long a warm instance is kept without images.
    """

    preparing: int = 2
    warm_idle_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the plan looks at.

    Attributes
    ----------
    now
        Seconds since 1970.
    jobs
        Those that have not ended.
    ended
        State of each ended job that an open one depends on; one that is missing was deleted.
    active
        Ids of the jobs that a thread works for.
    needs
        By network.
    """

    now: float
    capacity: Capacity
    jobs: Sequence[Job] = ()
    ended: Mapping[str, JobState] = field(default_factory=dict)
    active: frozenset[str] = frozenset()
    instances: Sequence[Instance] = ()
    idle: Sequence[Idle] = ()
    wishes: Sequence[WarmWish] = ()
    needs: Mapping[str, Needs] = field(default_factory=dict)
    limits: Limits = Limits()


def plan(snapshot: Snapshot) -> list[Decision]:
    """Decide what to do now.

    Returns
    -------
    list
        In the order in which to do it. A decision that needs a place is made only when the place is free: what makes
        it free (`StopWarm`) comes first, and the launch with a later snapshot.
    """
    ends = list(_ends(snapshot))
    ending = {end.job_id for end in ends}
    open_jobs = [
        job for job in snapshot.jobs if job.id not in ending and job.id not in snapshot.active
    ]
    dormant, ready = _part(open_jobs, snapshot)
    return [
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


def _ends(snapshot: Snapshot) -> Iterator[End]:
    open_ids = {job.id for job in snapshot.jobs}
    for job in snapshot.jobs:
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
            dormant.append(Wait(job.id, f"waits for the result of job {', '.join(unfinished)}"))
        elif job.retry_time is not None and job.retry_time > snapshot.now:
            dormant.append(Wait(job.id, job.waiting_reason))
        else:
            ready.append(job)
    return dormant, _in_turn(ready, snapshot)


def _in_turn(jobs: Sequence[Job], snapshot: Snapshot) -> list[Job]:
    """Order by priority, then by what the project uses already, then by age.

    Each job that is placed in the order counts as used by its project, so that projects take turns.
    """
    used: Counter[str] = Counter(
        instance.project for instance in snapshot.instances if instance.job_id
    )
    queues: dict[tuple[int, str], list[Job]] = {}
    for job in sorted(jobs, key=lambda job: job.order):
        queues.setdefault((-job.priority, job.project), []).append(job)
    turn: list[Job] = []
    while queues:
        key = min(queues, key=lambda key: (key[0], used[key[1]], queues[key][0].order))
        turn.append(queues[key].pop(0))
        used[key[1]] += 1
        if not queues[key]:
            del queues[key]
    return turn


def _prepare(ready: Sequence[Job], snapshot: Snapshot) -> Iterator[Decision]:
    preparing = sum(job.id in snapshot.active and not job.prepared for job in snapshot.jobs)
    for job in ready:
        if job.prepared:
            continue
        if preparing < snapshot.limits.preparing:
            preparing += 1
            yield Prepare(job.id)
        else:
            yield Wait(job.id, "waits for its data check; others are checked first")


def _place(ready: Sequence[Job], snapshot: Snapshot) -> Iterator[Decision]:
    """Hand out what is free, warm wishes first: a person sits before them.

    A job that does not fit keeps its claim: what it needs is taken off what is left, so that smaller jobs behind it
    use only what it does not want, and it cannot starve.
    """
    free = _Free(snapshot.capacity, snapshot.instances)
    for wish in snapshot.wishes:
        request = _request(wish.key.device, wish.needs, snapshot.capacity)
        never = _why_never(request, snapshot.capacity)
        grant = None if never else free.take(request)
        if grant is not None:
            yield LaunchWarm(wish.key, grant)
    ahead = 0
    for job in ready:
        if not job.prepared:
            continue
        request = _request(job.device, snapshot.needs[job.network], snapshot.capacity)
        never = _why_never(request, snapshot.capacity)
        grant = None if never else free.take(request)
        if grant is not None:
            yield Launch(job.id, grant)
        else:
            yield Wait(job.id, never or _why_not_now(request, ahead), ahead)
            ahead += not never
    yield from _evict(snapshot, free.lacking)


def _evict(snapshot: Snapshot, lacking: Sequence[Needs]) -> Iterator[StopWarm]:
    """End the longest idle warm instance that holds what is lacking, one at a time."""
    if any(instance.state is InstanceState.STOPPING for instance in snapshot.instances):
        return
    grants = {instance.id: instance.grant for instance in snapshot.instances}
    for idle in sorted(snapshot.idle, key=lambda idle: idle.since):
        grant = grants[idle.instance_id]
        if any(_helps(grant, needs, snapshot.capacity) for needs in lacking):
            yield StopWarm(idle.instance_id)
            return


def _helps(grant: Grant, lacking: Needs, capacity: Capacity) -> bool:
    if lacking.gpu_use is GpuUse.NEEDED and any(
        gpu.index in grant.gpus and lacking.gpu.met_by(gpu) for gpu in capacity.gpus
    ):
        return True
    return (lacking.cpus > 0 and grant.cpus > 0) or (
        lacking.memory_bytes > 0 and grant.memory_bytes > 0
    )


def _why_never(needs: Needs, capacity: Capacity) -> str:
    """Say why this machine can never run it; such a job makes no claim that others would wait for."""
    if needs.gpu_use is not GpuUse.NEEDED or any(needs.gpu.met_by(gpu) for gpu in capacity.gpus):
        return ""
    if not capacity.gpus:
        return "this machine has no GPU; cancel the job, or ask for the device auto or cpu"
    gib = needs.gpu.memory_bytes / 2**30
    return (
        f"no GPU of this machine has the {gib:g} GiB and the compute capability that it needs; "
        "cancel the job, or ask for the device auto or cpu"
    )


def _why_not_now(needs: Needs, jobs_ahead: int) -> str:
    lacks = "a GPU" if needs.gpu_use is GpuUse.NEEDED else "a place"
    ahead = f"; {jobs_ahead} job{'s' * (jobs_ahead != 1)} ahead" if jobs_ahead else ""
    return f"waits until {lacks} is free{ahead}"


def _request(device: Device, needs: Needs, capacity: Capacity) -> Needs:
    """Say what to ask for on this machine: no more than it has in all, and a GPU only where one is used.

    A job that asks for more cores or memory than there are runs alone, instead of never.
    """
    profits = needs.gpu_use is not GpuUse.NONE and any(
        needs.gpu.met_by(gpu) for gpu in capacity.gpus
    )
    wants_gpu = device is Device.GPU or (device is Device.AUTO and profits)
    return replace(
        needs,
        cpus=min(needs.cpus, capacity.cpus),
        memory_bytes=min(needs.memory_bytes, capacity.memory_bytes),
        gpu_use=_needed(wants_gpu),
    )


class _Free:
    """What is left of a machine while a plan hands it out."""

    def __init__(self, capacity: Capacity, instances: Sequence[Instance]) -> None:
        taken = {gpu for instance in instances for gpu in instance.grant.gpus}
        self._cpus = capacity.cpus - sum(instance.grant.cpus for instance in instances)
        self._memory_bytes = capacity.memory_bytes - sum(i.grant.memory_bytes for i in instances)
        self._gpus = [gpu for gpu in capacity.gpus if gpu.index not in taken]
        self.lacking: list[Needs] = []

    def take(self, needs: Needs) -> Grant | None:
        """Hand out what is needed, or keep it back, note what is lacking, and give None."""
        lacking = self._shortage(needs)
        gpus = self._take_gpu(needs)
        self._cpus -= needs.cpus
        self._memory_bytes -= needs.memory_bytes
        if lacking is None:
            return Grant(needs.cpus, needs.memory_bytes, gpus)
        self.lacking.append(lacking)
        return None

    def _shortage(self, needs: Needs) -> Needs | None:
        """Say what of it is missing; None when it fits."""
        cpus = max(0.0, needs.cpus - self._cpus)
        memory_bytes = max(0, needs.memory_bytes - self._memory_bytes)
        no_gpu = needs.gpu_use is GpuUse.NEEDED and not self._matching(needs)
        if cpus < 1e-9 and not memory_bytes and not no_gpu:
            return None
        return replace(needs, cpus=cpus, memory_bytes=memory_bytes, gpu_use=_needed(no_gpu))

    def _matching(self, needs: Needs) -> list[int]:
        """List the free GPUs that fit, the smallest first: the large ones stay for who needs them."""
        matching = [gpu for gpu in self._gpus if needs.gpu.met_by(gpu)]
        return [
            gpu.index for gpu in sorted(matching, key=lambda gpu: (gpu.memory_bytes, gpu.index))
        ]

    def _take_gpu(self, needs: Needs) -> tuple[int, ...]:
        if needs.gpu_use is not GpuUse.NEEDED:
            return ()
        chosen = self._matching(needs)[:1]
        self._gpus = [gpu for gpu in self._gpus if gpu.index not in chosen]
        return tuple(chosen)


def _needed(gpu: bool) -> GpuUse:
    return GpuUse.NEEDED if gpu else GpuUse.NONE

# SPDX-License-Identifier: BSD-3-Clause
"""Know what of a machine is free, and what a job may be given of it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from math import inf
from typing import Protocol

from dl4mic_orchestrator.records import (
    Allowance,
    Capacity,
    Device,
    GpuUse,
    Grant,
    Instance,
    Job,
    Needs,
)


def helps(grant: Grant, lacking: Needs, capacity: Capacity) -> bool:
    """Say whether giving a grant back would bring something that is lacking."""
    if capacity.look_ahead is not None:
        return bool(grant.gpus) or lacking.gpu_use is not GpuUse.NEEDED
    if lacking.gpu_use is GpuUse.NEEDED and any(
        gpu.index in grant.gpus and lacking.gpu.met_by(gpu) for gpu in capacity.gpus
    ):
        return True
    return (lacking.cpus > 0 and grant.cpus > 0) or (
        lacking.memory_bytes > 0 and grant.memory_bytes > 0
    )


def why_never(needs: Needs, capacity: Capacity) -> str:
    """Say why it can never run here; such a job makes no claim that others would wait for."""
    if needs.gpu_use is not GpuUse.NEEDED or any(needs.gpu.met_by(gpu) for gpu in capacity.gpus):
        return ""
    if not capacity.gpus:
        return f"{capacity.where} has no GPU; cancel the job, or ask for the device auto or cpu"
    gib = needs.gpu.memory_bytes / 2**30
    return (
        f"no GPU of {capacity.where} has the {gib:g} GiB and the compute capability that it needs; "
        "cancel the job, or ask for the device auto or cpu"
    )


@lru_cache(maxsize=256)  # there are few networks, and many jobs of each
def request_of(device: Device, needs: Needs, capacity: Capacity) -> Needs:
    """Say what to ask for on this machine: no more than it has in all, and a GPU only where one is used.

    A job that asks for more cores or memory than a machine has runs alone, instead of never; a cluster is asked.
    """
    profits = needs.gpu_use is not GpuUse.NONE and any(
        needs.gpu.met_by(gpu) for gpu in capacity.gpus
    )
    wants_gpu = device is Device.GPU or (device is Device.AUTO and profits)
    asked = replace(needs, gpu_use=_needed(wants_gpu))
    if capacity.look_ahead is not None:
        return asked
    return replace(
        asked,
        cpus=min(needs.cpus, capacity.cpus),
        memory_bytes=min(needs.memory_bytes, capacity.memory_bytes),
    )


class Places(Protocol):
    """What a plan hands out.

    Attributes
    ----------
    lacking
        What those that did not fit are short of.
    waiting
        How many wait in the cluster already.
    """

    lacking: list[Needs]
    waiting: int

    def take(self, needs: Needs) -> Grant | None:
        """Hand out what is needed, or give None."""


def places(
    capacity: Capacity, instances: Sequence[Instance], is_stuck: Callable[[Instance], bool]
) -> Places:
    """Know what may be handed out; `is_stuck` says whether an instance has waited long for a cluster's scheduler."""
    if capacity.look_ahead is None:
        return Free(capacity, instances)
    return LookAhead(capacity, capacity.look_ahead, instances, is_stuck)


class LookAhead:
    """How many more instances may wait in a cluster, whose own scheduler gives them their places.

    Where that does not go by priority, what has waited in the cluster goes before whatever is more urgent and comes
    later. Then as many are let in as GPUs are free; and one more where none is, when all others have their places, or
    do not get them although a GPU may be free that is none for them.

    Attributes
    ----------
    lacking
        What instances that are stuck ask for: idle warm ones make room for them.
    waiting
        How many wait already.
    """

    def __init__(
        self,
        capacity: Capacity,
        most: int,
        instances: Sequence[Instance],
        is_stuck: Callable[[Instance], bool],
    ) -> None:
        waiting = [instance for instance in instances if not instance.place]
        self.waiting = len(waiting)
        self._left = most - self.waiting
        free = len(capacity.gpus) - sum(len(instance.grant.gpus) for instance in instances)
        settled = all(is_stuck(instance) for instance in waiting if instance.grant.gpus)
        one_more = int(settled and free == 0)
        self._gpus = inf if capacity.keeps_priority else max(free, one_more)
        self.lacking = [
            Needs(gpu_use=_needed(bool(instance.grant.gpus)))
            for instance in waiting
            if is_stuck(instance)
        ]

    def take(self, needs: Needs) -> Grant | None:
        """Let one more wait in the cluster, or give None."""
        wants_gpu = needs.gpu_use is GpuUse.NEEDED
        if self._left <= 0 or (wants_gpu and self._gpus <= 0):
            return None
        self._left -= 1
        self._gpus -= wants_gpu
        return Grant(needs.cpus, needs.memory_bytes, (0,) if wants_gpu else ())


class Free:
    """What is left of a machine while a plan hands it out.

    Attributes
    ----------
    lacking
        What those that did not fit are short of.
    waiting
        None: an instance is launched when it has its place.
    """

    def __init__(self, capacity: Capacity, instances: Sequence[Instance]) -> None:
        self.waiting = 0
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


class Shares:
    """What each project uses and may use, while places are handed out; a claim counts like a place."""

    def __init__(
        self, instances: Sequence[Instance], of_project: Callable[[str], Allowance]
    ) -> None:
        self._of_project = of_project
        self._running = used_places(instances)
        self._gpus: Counter[str] = Counter()
        for instance in instances:
            self._gpus[instance.project] += len(instance.grant.gpus)

    def device(self, job: Job) -> Device:
        """Say which device a job asks for; by itself it asks for no GPU where its project may have none."""
        none = job.device is Device.AUTO and self._of_project(job.project).gpus == 0
        return Device.CPU if none else job.device

    def why_not(self, job: Job, request: Needs) -> str:
        """Say which limit of its project holds a job back; empty for none."""
        may = self._of_project(job.project)
        if may.running is not None and self._running[job.project] >= may.running:
            return f"project {job.project} may run {count(may.running, 'job')} at once"
        wants_gpu = request.gpu_use is GpuUse.NEEDED
        if wants_gpu and may.gpus is not None and self._gpus[job.project] >= may.gpus:
            return f"project {job.project} may use {count(may.gpus, 'GPU')} at once"
        return ""

    def take(self, job: Job, request: Needs, free: Places) -> Grant | None:
        """Hand out, or keep back, what a job asks for, and count it."""
        self._running[job.project] += 1
        self._gpus[job.project] += request.gpu_use is GpuUse.NEEDED
        return free.take(request)


def used_places(instances: Iterable[Instance]) -> Counter[str]:
    """Count the jobs of each project that hold a place."""
    return Counter(instance.project for instance in instances if instance.job_id)


def count(number: int, what: str) -> str:
    """Say how many there are."""
    return f"{number} {what}{'s' * (number != 1)}"


def _needed(gpu: bool) -> GpuUse:
    return GpuUse.NEEDED if gpu else GpuUse.NONE

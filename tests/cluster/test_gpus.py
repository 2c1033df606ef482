# SPDX-License-Identifier: BSD-3-Clause
"""More jobs than GPUs on a real cluster: each has one of its own, those that wait say why, the most urgent is next."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from dl4mic.v1.job_pb2 import Job, JobError

from .facility import Facility
from .installation import wait_until

GPUS = 2
WHY = [
    "no node has a GPU with 4 GiB free",
    "waits until a GPU is free; 1 job ahead",
    "waits until a GPU is free; 2 jobs ahead",
]
"""Of three that wait: one of them in the cluster, whose scheduler has the word."""


def running(facility: Facility) -> list[str]:
    """Name the jobs whose pods hold a GPU now."""
    pods = facility.get("pods", "--selector=dl4mic-network=accelerated")["items"]
    # A node holds a GPU for a pod that it has, and tells a moment after it has begun that it runs.
    held = [
        pod
        for pod in pods
        if pod["spec"].get("nodeName") and pod["status"]["phase"] in ("Pending", "Running")
    ]
    return sorted(pod["metadata"]["labels"]["dl4mic-job"] for pod in held)


def states(facility: Facility, names: list[str]) -> list[Job.State]:
    return [facility.job(name).state for name in names]


def reasons(facility: Facility, names: list[str]) -> list[str]:
    """Tell why each waits that waits."""
    jobs = [facility.job(name) for name in names]
    return sorted(job.waiting_reason for job in jobs if job.state == Job.PENDING)


def test_five_jobs_on_two_gpus(facility: Facility) -> None:
    names = [f"gpu{number}" for number in range(5)]
    for number, name in enumerate(names):
        epochs = 40 if number < GPUS else 10
        facility.train(name, network="accelerated", epochs=epochs, step_seconds=0.05)
    wait_until(lambda: states(facility, names).count(Job.RUNNING) == GPUS)
    wait_until(lambda: reasons(facility, names) == WHY)
    pods = [facility.pod(name) for name in running(facility)]
    devices = [facility.kubectl("exec", each, "--", "printenv", _DEVICES).strip() for each in pods]
    assert len(set(devices)) == GPUS and all(each.startswith("GPU-") for each in devices)
    most = most_at_once(facility, lambda: states(facility, names).count(Job.SUCCEEDED) == 5)
    assert most == GPUS
    for name in names:
        assert facility.check_resumed(name, attempts=1) == []


_DEVICES = "NVIDIA_VISIBLE_DEVICES"


def most_at_once(facility: Facility, done: Callable[[], bool]) -> int:
    """Count how many GPUs are held at once at most, until something is done."""
    most, end = 0, time.monotonic() + 120
    while not done():
        assert time.monotonic() < end, "it did not come about in time"
        most = max(most, len(running(facility)))
    return most


def _has(facility: Facility, names: list[str], words: str) -> bool:
    return any(words in facility.job(name).waiting_reason for name in names)


def test_the_most_urgent_is_next(facility: Facility) -> None:
    """The cluster keeps no priority: the one that waits there already goes before it, and no other."""
    holders, calm = ["held0", "held1"], ["calm0", "calm1", "calm2"]
    for name in holders:
        facility.train(name, network="accelerated", epochs=10000, step_seconds=0.05)
    wait_until(lambda: states(facility, holders).count(Job.RUNNING) == GPUS)
    for name in calm:
        facility.train(name, network="accelerated", epochs=4, step_seconds=0.05)
    wait_until(lambda: _has(facility, calm, "no node has a GPU"))
    facility.train("urgent", network="accelerated", priority=10, epochs=4, step_seconds=0.05)
    wait_until(lambda: _has(facility, ["urgent"], "waits until a GPU is free; 1 job ahead"))
    for name in holders:
        facility.cancel(name)
    ended = [facility.wait(name) for name in ["urgent", *calm]]
    assert {job.state for job in ended} == {Job.SUCCEEDED}
    order = [job.id for job in sorted(ended, key=lambda job: job.start_time.ToNanoseconds())]
    assert order.index("urgent") <= 1, order


@pytest.fixture
def classes(facility: Facility) -> Iterator[str]:
    """Have urgent jobs take places by a priority class of the cluster."""
    name = f"{facility.namespace}-urgent"
    kind = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 1000}
    facility.cluster.apply({**kind, "metadata": {"name": name}})
    try:
        facility.install("--set", f"jobs.priorityClasses.10={name}")
        yield name
    finally:
        facility.install()
        facility.cluster.kubectl("delete", "priorityclass", name)


def test_who_gives_way_to_a_priority_class_goes_on_later(facility: Facility, classes: str) -> None:
    names = ["low0", "low1"]
    for name in names:
        facility.begin(name, network="accelerated")
    facility.train("high", network="accelerated", priority=10)
    assert facility.wait("high").state == Job.SUCCEEDED
    attempts = [facility.wait(name).attempt for name in names]
    assert sorted(attempts) == [1, 2]
    errors = facility.check_resumed(names[attempts.index(2)])
    assert [error.code for error in errors] == [JobError.PREEMPTED]

# SPDX-License-Identifier: BSD-3-Clause
"""Jobs through the orchestrator's core and a scripted cluster: nothing is lost, nothing twice, and reasons are said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dl4mic.v1.job_pb2 import Job, JobError
from dl4mic_orchestrator.backends.kubernetes.client import JOBS, PODS, ApiError

from .played_facility import LOOK_AHEAD, Facility
from .scripted_cluster import eventually


@pytest.fixture
def facility(tmp_path: Path) -> Iterator[Facility]:
    facility = Facility(tmp_path, gpus=2)
    yield facility
    facility.stop()


def all_are(facility: Facility, names: list[str], state: Job.State) -> bool:
    return all(facility.job(name).state == state for name in names)


def test_many_jobs_on_few_gpus(facility: Facility) -> None:
    names = [f"j{number}" for number in range(20)]
    for name in names:
        facility.submit(name)
    eventually(lambda: all_are(facility, names, Job.SUCCEEDED))
    assert facility.most_running <= 2
    assert facility.most_waiting <= LOOK_AHEAD
    assert all(facility.job(name).attempt == 1 for name in names)
    eventually(lambda: sorted(facility.meter.ends) == sorted(names))
    eventually(lambda: not facility.pods())
    calls = facility.cluster.calls
    assert calls["create jobs"] == calls["delete jobs"] == calls["delete pods"] == len(names)
    assert calls["list jobs"] == calls["list pods"] == 1


def test_those_that_wait_say_why(facility: Facility) -> None:
    facility.hold = True
    names = [f"j{number}" for number in range(9)]
    for name in names:
        facility.submit(name)
    eventually(lambda: sum(facility.job(name).state == Job.RUNNING for name in names) == 2)
    waiting = [name for name in names if facility.job(name).state != Job.RUNNING]
    eventually(lambda: all(facility.job(name).waiting_reason for name in waiting))
    eventually(lambda: facility.most_waiting == LOOK_AHEAD)
    reasons = "\n".join(facility.job(name).waiting_reason for name in waiting)
    eventually(lambda: sum(_has_cluster_reason(facility, name) for name in waiting) == LOOK_AHEAD)
    assert all(facility.job(name).state == Job.PENDING for name in waiting), reasons
    assert facility.most_running == 2


def test_the_most_urgent_is_next_where_the_cluster_knows_no_priority(tmp_path: Path) -> None:
    facility = Facility(tmp_path, gpus=2, keeps_priority=False)
    try:
        facility.hold = True
        for number in range(6):
            facility.submit(f"j{number}")
        eventually(lambda: len(facility.pods()) == 3)
        first = {pod["metadata"]["labels"]["dl4mic-job"] for pod in facility.pods()}
        facility.submit("urgent", priority=10)
        names = ["urgent", *(f"j{number}" for number in range(6))]
        eventually(lambda: "waits until a GPU is free" in facility.job("urgent").waiting_reason)
        facility.hold = False
        eventually(lambda: all_are(facility, names, Job.SUCCEEDED))
        assert set(facility.launched[:3]) == first
        assert facility.launched[3] == "urgent"
    finally:
        facility.stop()


def _has_cluster_reason(facility: Facility, name: str) -> bool:
    return "no node has a GPU with 12 GiB free" in facility.job(name).waiting_reason


def test_a_job_that_waits_in_the_cluster_can_be_cancelled(facility: Facility) -> None:
    facility.hold = True
    names = ["a", "b", "c"]
    for name in names:
        facility.submit(name)
    eventually(lambda: sum(facility.job(name).state == Job.RUNNING for name in names) == 2)
    (waiting,) = (name for name in names if facility.job(name).state != Job.RUNNING)
    eventually(lambda: _has_cluster_reason(facility, waiting))
    facility.store.jobs.request_cancel(waiting)
    facility.warm.wake.set()
    eventually(lambda: facility.job(waiting).state == Job.CANCELLED)
    eventually(lambda: len(facility.pods()) == 2)


def test_a_node_that_vanishes_has_its_jobs_go_on_elsewhere(facility: Facility) -> None:
    facility.hold = True
    facility.submit("a")
    facility.submit("b")
    eventually(lambda: all_are(facility, ["a", "b"], Job.RUNNING))
    facility.lose_node()
    eventually(lambda: {facility.job(name).attempt for name in "ab"} == {2})
    facility.hold = facility.paused = False
    eventually(lambda: all_are(facility, ["a", "b"], Job.SUCCEEDED))
    failures = [facility.store.jobs.failures(name) for name in "ab"]
    assert [[each.code for each in failed] for failed in failures] == [[JobError.NODE_LOST]] * 2
    eventually(lambda: sorted(facility.meter.ends) == ["a", "b"])


def test_a_node_that_is_cleared_again_and_again_does_not_fail_the_job(facility: Facility) -> None:
    facility.hold = True
    facility.submit("a")
    for attempt in range(1, 6):
        eventually(lambda: _is_running(facility, "a", attempt))  # noqa: B023 - it is asked at once
        facility.evict(f"a-{attempt}")
    facility.hold = False
    eventually(lambda: facility.job("a").state == Job.SUCCEEDED)
    failures = [failure.code for failure in facility.store.jobs.failures("a")]
    assert failures == [JobError.PREEMPTED] * 5
    eventually(lambda: facility.meter.ends == ["a"])


def _is_running(facility: Facility, name: str, attempt: int) -> bool:
    job = facility.job(name)
    return job.attempt == attempt and job.state == Job.RUNNING


def test_a_job_deleted_behind_our_back_goes_on(facility: Facility) -> None:
    facility.hold = True
    facility.submit("a")
    eventually(lambda: facility.job("a").state == Job.RUNNING)
    (pod,) = facility.pods()
    facility.cluster.remove(JOBS, pod["metadata"]["name"].removesuffix("-0"))
    facility.cluster.delete(PODS, pod["metadata"]["name"])
    eventually(lambda: facility.job("a").attempt == 2)
    facility.hold = False
    eventually(lambda: facility.job("a").state == Job.SUCCEEDED)


def test_an_image_that_is_missing_is_said(facility: Facility) -> None:
    facility.paused = True
    facility.submit("a")
    eventually(lambda: any(kind == "jobs" for kind, _ in facility.cluster.objects))
    (name,) = (name for kind, name in facility.cluster.objects if kind == "jobs")
    pod = facility.cluster.pod_of(name)
    waiting = {"reason": "ErrImagePull", "message": "not found"}
    statuses = [{"name": "service", "state": {"waiting": waiting}}]
    facility.cluster.change(pod, {"nodeName": "gpu-1"}, containerStatuses=statuses)
    eventually(lambda: "the image blur:1 cannot be had" in _said(facility.job("a")))
    assert facility.job("a").state == Job.PENDING
    facility.paused = False


def test_a_service_that_nobody_called_in_time_is_started_again(facility: Facility) -> None:
    """It ends by itself, as when the orchestrator was away; twice, and the job has not failed for it."""
    facility.paused = True
    facility.submit("a")
    for attempt in (1, 2):
        eventually(lambda: facility.launched == ["a"] * attempt)  # noqa: B023 - it is asked at once
        (name,) = (name for kind, name in facility.cluster.objects if kind == "jobs")
        pod = facility.cluster.pod_of(name)
        status = {"terminated": {"exitCode": 0, "reason": "Completed"}}
        ended = [{"name": "service", "state": status}]
        facility.cluster.change(
            pod, {"nodeName": "gpu-1"}, phase="Succeeded", containerStatuses=ended
        )
        eventually(lambda: facility.job("a").attempt == attempt + 1)  # noqa: B023
    facility.paused = False
    eventually(lambda: facility.job("a").state == Job.SUCCEEDED)
    failures = facility.store.jobs.failures("a")
    assert [each.code for each in failures] == [JobError.PREEMPTED] * 2


def _said(job: Job) -> str:
    return f"{job.waiting_reason} {job.error.message}"


def test_a_server_that_does_not_take_a_job_is_asked_again(facility: Facility) -> None:
    facility.cluster.refusal = ApiError(500, "the server is not well")
    facility.submit("a")
    eventually(lambda: "the server is not well" in _said(facility.job("a")))
    assert facility.job("a").state == Job.PENDING


def test_a_server_that_is_away_is_waited_for_in_words(facility: Facility) -> None:
    facility.cluster.down = True
    facility.submit("a")
    eventually(lambda: "the API server cannot be reached" in _said(facility.job("a")))
    facility.cluster.down = False
    eventually(lambda: facility.job("a").state == Job.SUCCEEDED)
    eventually(lambda: facility.meter.ends == ["a"])

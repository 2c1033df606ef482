# SPDX-License-Identifier: BSD-3-Clause
"""What cannot run on a real cluster says so soon and in words, instead of being pending for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import grpc
import pytest

from dl4mic.v1.job_pb2 import Job, JobError, RetryJobRequest
from dl4mic.v1.request_pb2 import JobOptions

from .facility import REASON_SECONDS, Facility
from .installation import wait_until


def test_an_image_that_is_nowhere_is_named(facility: Facility) -> None:
    facility.train("absent", network="absent")
    job = facility.wait_for_reason("absent", "the image dl4mic-nowhere:0.1.0 cannot be had")
    assert job.error.code == JobError.IMAGE_UNAVAILABLE and job.error.hint
    facility.give_up("absent")


def test_a_gpu_that_no_node_has_is_said(facility: Facility) -> None:
    facility.train("giant", network="giant", device=JobOptions.GPU)
    facility.wait_for_reason("giant", "no GPU of the cluster has the 1000 GiB")
    facility.give_up("giant")


def test_cores_that_no_node_has_are_said(facility: Facility) -> None:
    facility.train("wide", network="wide")
    facility.wait_for_reason("wide", "no node has enough cores free")
    facility.give_up("wide")


def test_who_needs_more_memory_than_it_may_is_told_so(facility: Facility) -> None:
    facility.train("greedy", fault="allocate")
    wait_until(lambda: facility.job("greedy").state == Job.FAILED, REASON_SECONDS)
    error = facility.job("greedy").error
    assert error.code == JobError.OUT_OF_MEMORY and error.hint


def test_a_quota_that_is_used_up_is_named_and_gives_way(facility: Facility) -> None:
    facility.kubectl("create", "quota", "few", "--hard=count/pods=1")
    try:
        wait_until(lambda: "used" in facility.get("quota", "few").get("status", {}))
        facility.train("many")
        facility.wait_for_reason("many", "the quota of the namespace is used up: few")
    finally:
        facility.kubectl("delete", "quota", "few")
    assert facility.wait("many").state == Job.SUCCEEDED


def test_a_full_disk_fails_what_runs_and_refuses_what_comes(facility: Facility) -> None:
    facility.begin("full")
    with _full(facility):
        with pytest.raises(grpc.RpcError) as caught:
            facility.train("late")
        assert "MiB are free in the workspace" in caught.value.details()
        wait_until(lambda: facility.job("full").state == Job.FAILED, REASON_SECONDS)
        assert facility.job("full").error.code == JobError.DISK_FULL
    facility.jobs.RetryJob(RetryJobRequest(job_id="full"))
    (error,) = facility.check_resumed("full")
    assert "the disk is full" in error.message


@contextmanager
def _full(facility: Facility) -> Iterator[None]:
    """Leave nothing free in the workspace for a while."""
    path = facility.workspace / "filler"
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 20))
    try:
        yield
    finally:
        path.unlink()

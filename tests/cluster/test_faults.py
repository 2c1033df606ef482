# SPDX-License-Identifier: BSD-3-Clause
"""Whatever is killed or taken away on a real cluster: each job ends once, goes on where it was, and publishes once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from container_engine import TOOL, run_tool

from dl4mic.v1.job_pb2 import Job, JobError

from .cluster import HOME
from .facility import Facility
from .installation import wait_until

_KILL_WORKER = (
    "for process in /proc/[0-9]*; do"
    " if grep -qzx dl4mic_sdk.worker $process/cmdline; then kill -9 ${process#/proc/}; fi;"
    " done"
)
_ORCHESTRATOR = "--selector=app.kubernetes.io/component=orchestrator"
_AT_ONCE = ("--force", "--grace-period=0")


def test_a_killed_worker_goes_on_in_another_pod(facility: Facility) -> None:
    facility.begin("worker")
    facility.kubectl("exec", facility.pod("worker"), "--", "sh", "-c", _KILL_WORKER)
    (error,) = facility.check_resumed("worker")
    assert error.code == JobError.CRASHED and "SIGKILL from outside" in error.message


@pytest.mark.parametrize("how", [(), _AT_ONCE], ids=["asked", "at-once"])
def test_a_deleted_pod_s_job_goes_on_in_another(facility: Facility, how: tuple[str, ...]) -> None:
    job_id = f"pod{len(how)}"
    facility.begin(job_id)
    facility.kubectl("delete", "pod", facility.pod(job_id), "--wait=false", *how)
    (error,) = facility.check_resumed(job_id)
    assert error.code == JobError.PREEMPTED and "ended from outside" in error.message


def test_a_job_deleted_behind_our_back_is_made_anew(facility: Facility) -> None:
    facility.begin("deleted")
    facility.kubectl("delete", "job", "--selector=dl4mic-job=deleted", "--wait=false")
    (error,) = facility.check_resumed("deleted")
    assert error.code == JobError.PREEMPTED


def test_a_drained_node_s_job_waits_in_words_and_goes_on(facility: Facility) -> None:
    """Within its one epoch, it writes no checkpoint but the one that it is asked for."""
    facility.train("drained", epochs=1, steps_per_epoch=400, step_seconds=0.05)
    wait_until(lambda: facility.job("drained").progress.done > 1)
    node = facility.pods("drained")[0]["spec"]["nodeName"]
    drain = ("drain", node, "--pod-selector=dl4mic-job=drained", "--delete-emptydir-data")
    try:
        facility.cluster.kubectl(*drain, "--ignore-daemonsets", "--timeout=60s")
        facility.wait_for_reason("drained", "no node can take it")
    finally:
        facility.cluster.kubectl("uncordon", node)
    (error,) = facility.check_resumed("drained")
    assert error.code == JobError.PREEMPTED


@pytest.mark.parametrize("how", [(), _AT_ONCE], ids=["asked", "at-once"])
def test_another_orchestrator_takes_up_what_runs(facility: Facility, how: tuple[str, ...]) -> None:
    job_id = f"adopted{len(how)}"
    facility.begin(job_id)
    before = facility.pod(job_id)
    facility.kubectl("delete", "pod", _ORCHESTRATOR, "--wait=false", *how)
    facility.wait_for(job_id, "checkpoint", facility.job(job_id).last_sequence)
    assert facility.pod(job_id) == before
    assert facility.check_resumed(job_id, attempts=1) == []


def test_a_pod_that_goes_while_nobody_looks_is_missed(facility: Facility) -> None:
    facility.begin("unseen")
    facility.kubectl("delete", "pod", _ORCHESTRATOR, "--wait=false", *_AT_ONCE)
    facility.kubectl("delete", "pod", facility.pod("unseen"), "--wait=false", *_AT_ONCE)
    (error,) = facility.check_resumed("unseen")
    assert error.code == JobError.PREEMPTED


def test_a_cancelled_job_leaves_nothing(facility: Facility) -> None:
    facility.begin("cancelled")
    facility.give_up("cancelled")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_is_lost_while_the_api_server_is_away(facility: Facility) -> None:
    """For a minute: what runs goes on and is followed, what ends is published after, what comes is begun after."""
    facility.train("through", epochs=240, step_seconds=0.05)
    facility.train("ends", epochs=60, step_seconds=0.05)
    for job_id in ("through", "ends"):
        facility.wait_for(job_id, "checkpoint")
    with _api_server_away(60.0):
        facility.train("comes")
        facility.wait_for_reason("comes", "the API server cannot be reached")
        facility.wait_for("through", "checkpoint", facility.job("through").last_sequence)
    for job_id in ("through", "ends"):
        assert facility.check_resumed(job_id, attempts=1) == []
    assert facility.wait("comes").state == Job.SUCCEEDED


@contextmanager
def _api_server_away(seconds: float) -> Iterator[None]:
    """Kill the API server, and bring it back after a while."""
    end = time.monotonic() + seconds
    os.kill(int((HOME / "run" / "kube-apiserver.pid").read_text().split()[0]), signal.SIGKILL)
    try:
        assert (
            "kube-apiserver: HAS ENDED"
            in subprocess.run([TOOL, "status"], capture_output=True, text=True).stdout
        )
        yield
        time.sleep(max(0.0, end - time.monotonic()))
    finally:
        run_tool("up")

# SPDX-License-Identifier: BSD-3-Clause
"""Many jobs on many nodes: real API server and scheduler, real calls to instances that are played."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from dl4mic.v1.job_pb2 import Job

from .cluster import Cluster
from .installation import wait_until
from .outside import ON_PLAYED_NODES, Figures, Outside, crowd, outside, priority_class
from .played_nodes import CROWDED_ADDRESS, Crowded, NodeClient, PlayedNodes

TRAINING_SECONDS = 1.0
ROUND_SECONDS = 900.0
MORE_MIB = 10.0
"""By which memory may differ between rounds: what Python and its allocator do with it is not ours."""

MORE_CPU = 2.0
"""Times the CPU of the first round that a job of the last one may take: what else the machine does shows in it."""


@pytest.mark.parametrize(
    ("nodes", "gpus", "rounds", "jobs"),
    [
        pytest.param(6, 2, 3, 30, id="90 jobs on 6 nodes"),
        pytest.param(50, 4, 3, 300, id="900 jobs on 50 nodes", marks=pytest.mark.slow),
    ],
)
def test_all_succeed_and_a_job_costs_no_more_the_more_have_ended(
    cluster: Cluster, tmp_path: Path, nodes: int, gpus: int, rounds: int, jobs: int
) -> None:
    namespace = f"dl4mic-many-{uuid.uuid4().hex[:8]}"
    client = NodeClient(namespace, cluster.kubeconfig)
    with (
        PlayedNodes(client, namespace, Crowded(), nodes, gpus) as played,
        priority_class(cluster, namespace) as classes,
        outside(cluster, namespace, tmp_path, {**ON_PLAYED_NODES, **classes}, gpus=True) as server,
        crowd(server.workspace, f"{CROWDED_ADDRESS}:50051", TRAINING_SECONDS),
    ):
        used = [server.figures(), *(_round(server, number, jobs) for number in range(rounds))]
        for number in range(rounds * jobs):
            job = server.job(f"j{number}")
            assert (job.state, job.attempt) == (Job.SUCCEEDED, 1), job
        assert max(played.most.values()) <= gpus and len(played.most) > 1
        wait_until(lambda: not cluster.get("--namespace", namespace, "jobs,pods")["items"])
    per_job = list(_per_job(used))
    print(f"{jobs} jobs in each round; for each job:")
    for round_of in per_job:
        print(
            "  {:.2f} calls of the API server, {:.0f} ms of CPU; resident {:.0f} MiB".format(
                *round_of
            )
        )
    first, last = per_job[0], per_job[-1]
    assert last[0] <= first[0] + 0.5
    assert last[1] <= first[1] * MORE_CPU
    assert last[2] <= per_job[-2][2] + MORE_MIB


def _round(server: Outside, number: int, jobs: int) -> Figures:
    """Have so many jobs done, and say what that took."""
    for each in range(number * jobs, (number + 1) * jobs):
        server.train(f"j{each}")
    wait_until(lambda: server.figures().ended == (number + 1) * jobs, ROUND_SECONDS)
    return server.figures()


def _per_job(used: list[Figures]) -> Iterator[tuple[float, float, float]]:
    """Give calls, milliseconds of CPU, and MiB in all, of each round."""
    for before, after in pairwise(used):
        jobs = after.ended - before.ended
        spent = 1e3 * (after.cpu_seconds - before.cpu_seconds) / jobs
        yield (after.calls - before.calls) / jobs, spent, after.resident_mib

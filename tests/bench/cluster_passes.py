# SPDX-License-Identifier: BSD-3-Clause
"""Passes over long queues while a cluster is watched: ``cluster_passes.py [--postgresql] [JOBS ...]``.

An orchestrator of this machine, with a cluster of 50 played nodes of 4 GPUs, begins with so many jobs: 200 run and are
followed, 100 wait in the cluster, the others in the store. Then each new job causes a pass over all of them; its time,
and how many decisions that makes a second, are read from the metrics. The store is SQLite, or a PostgreSQL that is
begun here.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

import postgresql  # noqa: E402
from cluster.cluster import Cluster, running  # noqa: E402
from cluster.installation import wait_until  # noqa: E402
from cluster.outside import ON_PLAYED_NODES, Outside, crowd, outside, priority_class  # noqa: E402
from cluster.played_nodes import CROWDED_ADDRESS, Crowded, NodeClient, PlayedNodes  # noqa: E402

from dl4mic.v1.job_pb2 import Job  # noqa: E402
from dl4mic_orchestrator.store import Store  # noqa: E402

SIZES = (1_000, 10_000, 50_000)
NODES = 50
GPUS = 4
NEW_JOBS = 20
START_SECONDS = 600.0
SETTLING_SECONDS = 10.0


def measure(cluster: Cluster, size: int, database: postgresql.Server | None) -> None:
    """Print a line of the table."""
    namespace = f"dl4mic-passes-{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:
        enter = stack.enter_context
        folder = Path(enter(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))) / "o"
        client = NodeClient(namespace, cluster.kubeconfig)
        enter(PlayedNodes(client, namespace, Crowded(), NODES, GPUS))
        classes = enter(priority_class(cluster, namespace))
        settings = {**ON_PLAYED_NODES, **classes}
        server = enter(outside(cluster, namespace, folder, settings, gpus=True))
        enter(crowd(server.workspace, f"{CROWDED_ADDRESS}:50051", START_SECONDS * 10))
        server.stop()
        place = database.new_url() if database else server.workspace / "store.sqlite"
        fill(place, server.workspace / "jobs", size)
        enter(mock.patch.dict(os.environ, {"KUBECONFIG": cluster.kubeconfig}))
        server.start(*server.flags, *(["--store", place] if database else []))
        wait_until(lambda: server.figures().running == NODES * GPUS, START_SECONDS)
        time.sleep(SETTLING_SECONDS)
        seconds = seconds_of_a_pass(server)
        memory = server.figures().resident_mib
        server.stop()
    print(f"{size:11} | {seconds:7.3f} | {size / seconds:11.0f} | {memory:13.0f}", flush=True)


def fill(place: Path | str, folder: Path, size: int) -> None:
    """Queue jobs that have been prepared, in ten projects."""
    store = Store(place)
    for number in range(size):
        job = Job(id=f"j{number}", network="blur", project=f"p{number % 10}")
        job.train.network, job.train.model = "blur", f"m{number}"
        job.train.data.source = "lab:train"
        store.jobs.create(job)
        store.jobs.mark_prepared(job.id, 1)
        (folder / job.id / "1").mkdir(parents=True)
    store.close()


def seconds_of_a_pass(server: Outside) -> float:
    """Send a few jobs; give the mean of the passes that were made meanwhile."""
    before = server.figures()
    for number in range(NEW_JOBS):
        server.train(f"new-{number}")
        time.sleep(1)
    after = server.figures()
    return (after.pass_seconds - before.pass_seconds) / (after.passes - before.passes)


def main(words: Sequence[str]) -> None:
    """Measure queues of the lengths that are named."""
    sizes = [int(word) for word in words if word.isdecimal()] or SIZES
    with ExitStack() as stack:
        cluster = stack.enter_context(running())
        asked = "--postgresql" in words
        database = stack.enter_context(postgresql.running()) if asked else None
        print("jobs queued | pass, s | decisions/s | resident, MiB")
        for size in sizes:
            measure(cluster, size, database)


if __name__ == "__main__":
    main(sys.argv[1:])

# SPDX-License-Identifier: BSD-3-Clause
"""A node that vanishes under a training: it goes on elsewhere, and what the lost one still does counts no more."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import FAKES, processes_with

from dl4mic.v1.job_pb2 import Job, JobError
from dl4mic.v1.model_pb2 import ListModelsRequest

from .cluster import Cluster
from .installation import wait_until
from .outside import ON_PLAYED_NODES, Outside, outside
from .played_nodes import NodeClient, PlayedNodes

Pod = dict[str, Any]


class Hosts:
    """Runs what pods are to run as processes of this machine, each at an address of its own."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._numbers = itertools.count(1)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, pod: Pod) -> str:
        address = f"127.77.1.{next(self._numbers)}"
        command = [
            _HERE.get(word, word).replace("0.0.0.0", address)
            for word in pod["spec"]["containers"][0]["command"]
        ]
        with self._log.open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        self._processes[pod["metadata"]["uid"]] = process
        return address

    def end(self, pod: Pod) -> None:
        process = self._processes.pop(pod["metadata"]["uid"], None)
        if process is not None:
            process.terminate()
            process.wait()

    def close(self) -> None:
        """End them all."""
        for process in self._processes.values():
            process.kill()
            process.wait()


_HERE = {"python": sys.executable, "/app/service": str(FAKES / "blur")}
"""What an image has elsewhere."""


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    made = Hosts(tmp_path / "hosts.log")
    yield made
    made.close()


@pytest.mark.parametrize("finds_out", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_node_that_vanishes(
    cluster: Cluster, tmp_path: Path, hosts: Hosts, finds_out: bool
) -> None:
    namespace = f"dl4mic-lost-{uuid.uuid4().hex[:8]}"
    client = NodeClient(namespace, cluster.kubeconfig)
    with (
        PlayedNodes(client, namespace, hosts, count=2, gpus=1) as nodes,
        outside(cluster, namespace, tmp_path, ON_PLAYED_NODES) as server,
    ):
        server.train("lost", epochs=40, step_seconds=0.05)
        server.wait_for("lost", "checkpoint")
        (pod,) = cluster.get("--namespace", namespace, "pods")["items"]
        frozen = processes_of(server, pod)
        send(signal.SIGSTOP, frozen)
        lost = pod["spec"]["nodeName"]
        if finds_out:
            nodes.fall_silent(lost)
        else:
            nodes.take_away(lost)
        wait_until(lambda: runs_again(server), 240)
        send(signal.SIGCONT, frozen)
        job = server.wait("lost")
        assert (job.state, job.attempt, job.model) == (Job.SUCCEEDED, 2, "spots:1"), job
        goes_on_from_its_checkpoint(server)
        folder = server.workspace / "jobs" / "lost"
        wait_until(lambda: '"SUCCEEDED"' in (folder / "1" / "events.jsonl").read_text(), 120)
        comes_too_late(server, folder)


def processes_of(server: Outside, pod: Pod) -> list[int]:
    """Name the host and the worker of the job's first attempt."""
    folder = server.workspace / "jobs"
    command = pod["spec"]["containers"][0]["command"]
    assert command[command.index("--attempt") + 1] == "1"
    host = [each for each in processes_with(f"--jobs {folder}") if each != server.process.pid]
    worker = processes_with(f"dl4mic_sdk.worker {folder}/lost/1")
    assert len(host) == len(worker) == 1
    return host + worker


def send(number: signal.Signals, processes: list[int]) -> None:
    for each in processes:
        os.kill(each, number)


def runs_again(server: Outside) -> bool:
    job = server.job("lost")
    return job.attempt == 2 and job.state == Job.RUNNING


def goes_on_from_its_checkpoint(server: Outside) -> None:
    events = server.events("lost")
    codes = {event.state.error.code for event in events if event.state.HasField("error")}
    assert codes == {JobError.NODE_LOST}
    steps = [event.checkpoint.step for event in events if event.HasField("checkpoint")]
    assert steps == sorted(set(steps))
    ends = [event for event in events if event.state.state == Job.SUCCEEDED]
    assert len(ends) == 1 and ends[0] == events[-1]


def comes_too_late(server: Outside, folder: Path) -> None:
    """The first attempt has made a model, too, which nobody took."""
    assert (folder / "1" / "artifacts" / "model").is_dir()
    assert not (folder / "2" / "artifacts").exists()
    (model,) = server.models.ListModels(ListModelsRequest()).models
    assert (model.name, model.version, model.job_id) == ("spots", 1, "lost")
    assert server.job("lost").state == Job.SUCCEEDED

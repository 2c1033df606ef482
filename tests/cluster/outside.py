# SPDX-License-Identifier: BSD-3-Clause
"""An orchestrator as a process of this machine, whose instances are pods of a cluster that sees its folders."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from integration.conftest import Orchestrator
from prometheus import free_port
from prometheus_client.parser import text_string_to_metric_families
from servers import FAKES, ROOT, needing_a_gpu, write_spots

from .cluster import Cluster, Object
from .played_nodes import LABELS, TOLERATION

IMAGE = "dl4mic-fakes:0.1.0"
LOOK_AHEAD = 100
ON_PLAYED_NODES = {"node_selector": LABELS, "tolerations": [TOLERATION]}
"""Settings of the backend."""


@dataclass(frozen=True)
class Figures:
    """What an orchestrator has used since its start.

    Attributes
    ----------
    running, ended
        Jobs.
    calls
        Of the cluster's API server.
    passes, pass_seconds
        Over the jobs.
    """

    running: int
    ended: int
    calls: int
    passes: int
    pass_seconds: float
    cpu_seconds: float
    resident_mib: float


class Outside(Orchestrator):
    """The orchestrator, and what it uses."""

    metrics_port: int

    def figures(self) -> Figures:
        """Ask it for its metrics."""
        with urllib.request.urlopen(f"http://localhost:{self.metrics_port}/metrics") as answer:
            text = answer.read().decode()
        samples = [
            each for family in text_string_to_metric_families(text) for each in family.samples
        ]

        def total(name: str, **labels: str) -> float:
            found = (each for each in samples if each.name == name)
            return sum(each.value for each in found if labels.items() <= each.labels.items())

        return Figures(
            running=int(total("dl4mic_open_jobs", state="RUNNING")),
            ended=int(total("dl4mic_jobs_ended_total")),
            calls=int(total("dl4mic_cluster_calls_total")),
            passes=int(total("dl4mic_pass_seconds_count")),
            pass_seconds=total("dl4mic_pass_seconds_sum"),
            cpu_seconds=total("process_cpu_seconds_total"),
            resident_mib=total("process_resident_memory_bytes") / 2**20,
        )


@contextmanager
def outside(
    cluster: Cluster,
    namespace: str,
    folder: Path,
    settings: Mapping[str, Any],
    *,
    gpus: bool = False,
) -> Iterator[Outside]:
    """Run an orchestrator over a folder.

    Parameters
    ----------
    namespace
        For its instances; it goes at the end.
    settings
        Of the backend, besides namespace and claims.
    gpus
        The fake network asks for a GPU.
    """
    for name in ("workspace", "services", "data"):
        (folder / name).mkdir(parents=True)
    write_spots(folder / "data" / "train", 6, seed=0)
    fakes = needing_a_gpu if gpus else _copied
    fakes("blur", folder / "services")
    with cluster.namespace(namespace), _volumes(cluster, namespace, folder):
        told = {
            "namespace": namespace,
            "workspace": {"claim": "workspace"},
            "data_roots": {"lab": {"claim": "data"}},
            "look_ahead": LOOK_AHEAD,
            "grace_seconds": 5,
            **settings,
        }
        (folder / "kubernetes.yaml").write_text(json.dumps(told))
        (folder / "images.yaml").write_text(json.dumps({"blur": {"cpu": IMAGE, "gpu": IMAGE}}))
        with _running(cluster, folder) as orchestrator:
            yield orchestrator


@contextmanager
def _running(cluster: Cluster, folder: Path) -> Iterator[Outside]:
    orchestrator = Outside(folder / "workspace", folder / "data")
    orchestrator.metrics_port = free_port()
    flags = (
        "--backend", "kubernetes", "--kubernetes", str(folder / "kubernetes.yaml"), "--images",
        str(folder / "images.yaml"), "--services", str(folder / "services"), "--metrics-port",
        str(orchestrator.metrics_port),
    )  # fmt: skip
    variables = {"KUBECONFIG": cluster.kubeconfig, "DL4MIC_SDK_PYTHON": sys.executable}
    # Pods write as a user of their own into folders that this process makes.
    mask = os.umask(0)
    try:
        with mock.patch.dict(os.environ, variables):
            orchestrator.start(*flags)
    finally:
        os.umask(mask)
    try:
        yield orchestrator
    finally:
        if orchestrator.process.poll() is None:
            orchestrator.stop()


@contextmanager
def crowd(workspace: Path, address: str, seconds: float) -> Iterator[None]:
    """Have played instances answer at an address; each trains for so long."""
    tests = ROOT / "tests"
    command = [sys.executable, str(tests / "cluster" / "crowd.py"), address]
    process = subprocess.Popen(
        [*command, str(workspace / "jobs"), str(seconds)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(tests)},
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline(), "no instance can be played"
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def priority_class(cluster: Cluster, name: str) -> Iterator[dict[str, Any]]:
    """Make the class of all jobs; give the settings that name it."""
    made = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 0}
    cluster.apply({**made, "metadata": {"name": name}})
    try:
        yield {"priority_classes": {"-100": name}}
    finally:
        cluster.kubectl("delete", "priorityclass", name, check=False)


@contextmanager
def _volumes(cluster: Cluster, namespace: str, folder: Path) -> Iterator[None]:
    names = ("workspace", "data")
    for name in names:
        cluster.apply(*_volume(namespace, name, folder / name))
    try:
        yield
    finally:
        made = [f"{namespace}-{name}" for name in names]
        cluster.kubectl("delete", "persistentvolume", "--wait=false", *made, check=False)


def _volume(namespace: str, name: str, folder: Path) -> tuple[Object, Object]:
    modes = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    place = {"hostPath": {"path": str(folder), "type": "Directory"}}
    of = {"claimRef": {"namespace": namespace, "name": name}}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{namespace}-{name}"},
        "spec": {**modes, **place, **of, "capacity": {"storage": "10Gi"}},
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**modes, "resources": {"requests": {"storage": "10Gi"}}},
    }
    return volume, claim


def _copied(fake: str, folder: Path) -> Path:
    return shutil.copytree(FAKES / fake, folder / fake)

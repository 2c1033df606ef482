# SPDX-License-Identifier: BSD-3-Clause
"""What is a cluster's own beside the chart: its storage, as an administrator's ``site.yaml`` says it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from .cluster import Cluster, Object

SITE = "TEST_CLUSTER_VALUES"
"""Variable that names such a file for a cluster of others; without it, its defaults must do."""

Values = dict[str, Any]

DATA_ROOT = "lab"
"""There is one only where volumes are folders of this machine."""

USER = 10001
SIZE = "10Gi"
_HOSTNAME = "kubernetes.io/hostname"


@contextmanager
def site(cluster: Cluster, namespace: str, release_name: str, folder: Path) -> Iterator[Values]:
    """Give the values for an installation, whose claims get volumes where nobody else makes them.

    Parameters
    ----------
    release_name
        What the names of the chart's claims begin with.
    folder
        Where the volumes are, if they are ours.
    """
    if not cluster.is_ours:
        named = os.environ.get(SITE)
        yield yaml.safe_load(Path(named).read_text()) if named else {}
        return
    workspace = _volume(
        folder / "workspace", "ReadWriteMany", namespace, f"{release_name}-workspace"
    )
    store = _volume(folder / "store", "ReadWriteOnce", namespace, f"{release_name}-store")
    with _there(cluster, workspace, store):
        none = {"storageClass": "-", "size": SIZE}
        yield {**_on_one_node(cluster), "workspace": none, "store": none}


@contextmanager
def data_root(cluster: Cluster, namespace: str, folder: Path) -> Iterator[Values]:
    """Give the values by which a folder of this machine is a data root, where pods can see it."""
    if not cluster.is_ours:
        yield {}
        return
    with _there(cluster, _volume(folder, "ReadOnlyMany", namespace, DATA_ROOT)):
        cluster.apply(_claim(namespace, DATA_ROOT, "ReadOnlyMany"))
        yield {"dataRoots": {DATA_ROOT: {"claim": DATA_ROOT}}}


def _on_one_node(cluster: Cluster) -> Values:
    """Let several jobs find a place on the one node that is real, with its two cores."""
    little = {"resources": {"requests": {"cpu": "100m"}}}
    # The network of `helm test` is no service of the chart's.
    blur = {"enabled": False, "image": {"repository": "dl4mic-fakes"}, **little}
    here = {"nodeSelector": {_HOSTNAME: cluster.node()["metadata"]["labels"][_HOSTNAME]}}
    return {"orchestrator": {**little, **here}, "jobs": here, "services": {"blur": blur}}


@contextmanager
def _there(cluster: Cluster, *volumes: Object) -> Iterator[None]:
    cluster.apply(*volumes)
    try:
        yield
    finally:
        names = [each["metadata"]["name"] for each in volumes]
        cluster.kubectl("delete", "persistentvolume", "--wait=false", *names, check=False)


def _volume(folder: Path, mode: str, namespace: str, claim: str) -> Object:
    """Describe a volume that is a folder of this machine, for one claim alone."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.chown(folder, USER, USER)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{namespace}-{claim}"},
        "spec": {
            "capacity": {"storage": SIZE},
            "accessModes": [mode],
            "storageClassName": "",
            "claimRef": {"namespace": namespace, "name": claim},
            "hostPath": {"path": str(folder), "type": "Directory"},
        },
    }


def _claim(namespace: str, name: str, mode: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "accessModes": [mode],
            "storageClassName": "",
            "resources": {"requests": {"storage": SIZE}},
        },
    }

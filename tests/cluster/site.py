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

USER = 10001
ROOT_NAME = "lab"
"""Of the data root, where the cluster is ours."""

Values = dict[str, Any]


@contextmanager
def site(cluster: Cluster, namespace: str, claims: str, folder: Path) -> Iterator[Values]:
    """Give the values for an installation, whose claims get volumes where nobody else makes them.

    Parameters
    ----------
    claims
        What the names of the chart's claims begin with.
    folder
        Of the volumes: its `data` is a data root, if it is there.
    """
    if not cluster.is_ours:
        named = os.environ.get(SITE)
        yield yaml.safe_load(Path(named).read_text()) if named else {}
        return
    volumes = {
        f"{claims}-workspace": _volume(folder / "workspace", "ReadWriteMany"),
        f"{claims}-store": _volume(folder / "store", "ReadWriteOnce"),
        ROOT_NAME: _volume(folder / "data", "ReadOnlyMany"),
    }
    for claim, volume in volumes.items():
        volume["metadata"] = {"name": f"{namespace}-{claim}"}
        volume["spec"]["claimRef"] = {"namespace": namespace, "name": claim}
    cluster.apply(*volumes.values(), _claim(namespace))
    try:
        none = {"storageClass": "-", "size": "10Gi"}
        yield {"workspace": none, "store": none, "dataRoots": {ROOT_NAME: {"claim": ROOT_NAME}}}
    finally:
        names = [volume["metadata"]["name"] for volume in volumes.values()]
        cluster.kubectl("delete", "persistentvolume", "--wait=false", *names, check=False)


def _volume(folder: Path, mode: str) -> Object:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.chown(folder, USER, USER)
    spec = {"capacity": {"storage": "10Gi"}, "accessModes": [mode], "storageClassName": ""}
    path = {"path": str(folder), "type": "Directory"}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "spec": {**spec, "hostPath": path}}


def _claim(namespace: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": ROOT_NAME, "namespace": namespace},
        "spec": {
            "accessModes": ["ReadOnlyMany"],
            "storageClassName": "",
            "resources": {"requests": {"storage": "10Gi"}},
        },
    }

# SPDX-License-Identifier: BSD-3-Clause
"""The cluster's API server takes each manifest there is: those of the chart, and those of instances."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
import yaml
from charts import FULL, HELM, OLDEST, OPEN, Manifest, manifests
from servers import ROOT

from .cluster import Cluster

OF_OTHERS = ("ServiceMonitor", "PrometheusRule")
"""Kinds of an operator that the cluster of the tests has not."""

INSTANCES = sorted((ROOT / "tests/unit/orchestrator/kubernetes/goldens").glob("*-on-1.20.yaml"))


def check(cluster: Cluster, manifest: Manifest) -> None:
    """Have the API server check a manifest with all that it checks, and make nothing."""
    text = json.dumps(manifest)
    cluster.run("kubectl", "create", "--dry-run=server", "--filename", "-", stdin=text)


@pytest.mark.skipif(not HELM.exists(), reason="Helm is not installed here")
def test_it_takes_the_chart(cluster: Cluster) -> None:
    with cluster.namespace(f"dl4mic-dry-{uuid.uuid4().hex[:8]}") as namespace:
        for values in (OPEN, FULL):
            for manifest in manifests(*values, version=OLDEST):
                if manifest["kind"] not in OF_OTHERS:
                    manifest["metadata"]["namespace"] = namespace
                    check(cluster, manifest)


@pytest.mark.parametrize("path", INSTANCES, ids=lambda path: path.stem)
def test_it_takes_instances(cluster: Cluster, path: Path) -> None:
    with cluster.namespace(f"dl4mic-dry-{uuid.uuid4().hex[:8]}") as namespace:
        for manifest in yaml.safe_load_all(path.read_text()):
            manifest["metadata"]["namespace"] = namespace
            check(cluster, manifest)


def test_it_would_say_what_it_does_not_take(cluster: Cluster) -> None:
    broken = yaml.safe_load(INSTANCES[0].read_text())
    broken["metadata"]["namespace"] = "default"
    broken["spec"]["template"]["spec"]["restartPolicy"] = "Sometimes"
    with pytest.raises(AssertionError, match="restartPolicy"):
        check(cluster, broken)

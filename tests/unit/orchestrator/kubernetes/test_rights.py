# SPDX-License-Identifier: BSD-3-Clause
"""The rights that the chart gives are those that the backend uses: none is missing, none is left over."""

from __future__ import annotations

from pathlib import Path

import pytest
from charts import HELM, OPEN, Manifest, manifests

from dl4mic_orchestrator.backends.base import LaunchSpec
from dl4mic_orchestrator.backends.kubernetes.client import DEPLOYMENTS

from .instances import settings, training, warm
from .scripted_cluster import ScriptedCluster, eventually
from .stage import backend_over

pytestmark = pytest.mark.skipif(not HELM.exists(), reason="Helm is not installed here")

FOR_ALL = {("get", "version")}
"""That everybody may who has a token of the cluster."""

Rights = set[tuple[str, str]]


def given(found: list[Manifest]) -> Rights:
    """Verb and kind of each right of the orchestrator."""
    roles = [each for each in found if each["kind"] in ("Role", "ClusterRole")]
    return {
        (verb, kind)
        for role in roles
        for rule in role["rules"]
        for verb in rule["verbs"]
        for kind in rule["resources"]
    }


def live(cluster: ScriptedCluster, folder: Path, spec: LaunchSpec) -> None:
    """Launch an instance twice, as after a call whose answer was lost; see it fail, and end it."""
    backend = backend_over(cluster, folder, settings(owner="imaging-dl4mic"))
    state = backend.launch(spec, lambda _: None)
    assert backend.launch(spec, lambda _: None) == state
    cluster.end(cluster.pod_of(state["name"]), 1)
    eventually(lambda: backend.probe([state])[0].fault is not None or spec.warm)
    backend.stop(state, 5.0)


def used(cluster: ScriptedCluster) -> Rights:
    """Verb and kind of each call that was made."""
    named = {"log": "get pods/log", "version": "get version"}
    calls = [named.get(call, call).split() for call in cluster.calls]
    return {(verb, kind) for verb, kind in calls}


def test_the_chart_gives_the_rights_that_are_used(tmp_path: Path) -> None:
    cluster = ScriptedCluster()
    cluster.set(DEPLOYMENTS, {"metadata": {"name": "imaging-dl4mic"}})
    for spec in (training(log=tmp_path / "host.log"), warm()):
        live(cluster, tmp_path, spec)
    assert used(cluster) - FOR_ALL == given(manifests(*OPEN))

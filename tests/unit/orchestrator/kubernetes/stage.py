# SPDX-License-Identifier: BSD-3-Clause
"""The backend over a scripted cluster, for tests of what it does there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dl4mic_orchestrator.backends.base import LaunchSpec, Probe, State
from dl4mic_orchestrator.backends.kubernetes.backend import Api, KubernetesBackend
from dl4mic_orchestrator.backends.kubernetes.instance_tokens import InstanceTokens
from dl4mic_orchestrator.backends.kubernetes.settings import KubernetesSettings, Volume

from .instances import IMAGES, VOLUMES, settings
from .scripted_cluster import ScriptedCluster, eventually


def backend_over(
    cluster: Api, folder: Path, how: KubernetesSettings | None = None
) -> KubernetesBackend:
    """Make a backend; the tokens of its instances lie in a folder of the test's own."""
    volumes = replace(VOLUMES, places={**VOLUMES.places, folder: Volume("workspace")})
    tokens = InstanceTokens(folder / "tokens")
    return KubernetesBackend(cluster, how or settings(), IMAGES, volumes, tokens)


class Stage:
    """A cluster with a GPU node, and a backend over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cluster = ScriptedCluster()
        self.cluster.node("gpu-1", gpus=2, memory="24576")
        self.backend = self.started()

    def started(self) -> KubernetesBackend:
        return backend_over(self.cluster, self.folder, settings(look_ahead=5))

    def launch(self, spec: LaunchSpec) -> tuple[State, dict]:
        """Launch, and have the cluster make the pod."""
        state = self.backend.launch(spec, lambda _: None)
        return state, self.cluster.pod_of(state["name"])

    def await_probe(self, state: State, holds: Callable[[Probe], object]) -> Probe:
        eventually(lambda: bool(holds(self.backend.probe([state])[0])))
        return self.backend.probe([state])[0]

# SPDX-License-Identifier: BSD-3-Clause
"""Settings and instances that the tests of the Kubernetes backend share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dl4mic_orchestrator.backends.base import LaunchSpec, ServiceSpec
from dl4mic_orchestrator.backends.images import ServiceImages
from dl4mic_orchestrator.backends.kubernetes.settings import KubernetesSettings, Volume, settings_of
from dl4mic_orchestrator.backends.kubernetes.volumes import Volumes
from dl4mic_orchestrator.records import GpuNeed, Grant

GIB = 1 << 30
WORKSPACE = Path("/workspace")
PLATES = Path("/data/plates")
SERVICE = ServiceSpec("segmenter", Path("/app/services/segmenter"), ("3.11",))
IMAGES = {"segmenter": ServiceImages("dl4mic-segmenter:1", "dl4mic-segmenter:1-gpu")}
VOLUMES = Volumes(
    {WORKSPACE: Volume("workspace"), PLATES: Volume("plate-store", "lab1")}, (SERVICE.folder,)
)


def settings(**more: Any) -> KubernetesSettings:
    """Read settings as a chart writes them."""
    labels = {"app.kubernetes.io/name": "dl4mic", "app.kubernetes.io/component": "job"}
    values = {"namespace": "imaging", "workspace": {"claim": "workspace"}, "labels": labels}
    return settings_of({**values, **more})


def training(job: str = "train-1", attempt: int = 1, **more: Any) -> LaunchSpec:
    """Ask for an instance that trains on plates."""
    folder = WORKSPACE / "jobs" / job
    values: dict[str, Any] = {
        "grant": Grant(4.0, 8 * GIB),
        "writes": (folder,),
        "reads": (PLATES / "p7/low", PLATES / "p7/high"),
        "labels": {"job": job, "network": "segmenter2d", "project": "default"},
        "log": folder / str(attempt) / "host.log",
        **more,
    }
    return LaunchSpec(
        instance_id=f"{job}-{attempt}",
        service=SERVICE,
        jobs=WORKSPACE / "jobs",
        attempt=attempt,
        silence_seconds=120.0,
        **values,
    )


def on_gpu(job: str = "train-1", **more: Any) -> LaunchSpec:
    """Ask for one with a GPU."""
    need = GpuNeed(12 * GIB, (7, 0), (9, 0))
    return training(job, **{"grant": Grant(4.0, 8 * GIB, (0,)), "gpu": need, **more})


def warm(instance_id: str = "warm-12ab") -> LaunchSpec:
    """Ask for one that holds a model."""
    return LaunchSpec(
        instance_id=instance_id,
        service=SERVICE,
        grant=Grant(2.0, 4 * GIB, (0,)),
        jobs=WORKSPACE / "jobs",
        attempt=0,
        log=WORKSPACE / "run" / "warm.log",
        silence_seconds=120.0,
        reads=(WORKSPACE / "models" / "nuclei" / "3",),
        labels={"network": "segmenter2d"},
    )

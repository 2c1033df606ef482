# SPDX-License-Identifier: BSD-3-Clause
"""Make the backend that the settings ask for; what only another one needs is not imported."""

from __future__ import annotations

from dl4mic_orchestrator.backends.base import Backend
from dl4mic_orchestrator.backends.local import LocalBackend, capacity_of_machine
from dl4mic_orchestrator.backends.nvml import find_gpus
from dl4mic_orchestrator.environments import Environments
from dl4mic_orchestrator.records import Gpu
from dl4mic_orchestrator.settings import BackendKind, Settings


def make_backend(settings: Settings, environments: Environments) -> Backend:
    """Make a backend.

    Raises
    ------
    ValueError
        The container engine is not installed.
    ConnectionError
        The cluster does not answer.
    """
    match settings.backend:
        case BackendKind.LOCAL:
            return _local(settings, environments)
        case BackendKind.CONTAINER:
            return _container(settings)
        case BackendKind.KUBERNETES:
            return _kubernetes(settings)


def _local(settings: Settings, environments: Environments) -> Backend:
    return LocalBackend(
        environments,
        settings.runtime,
        settings.environment,
        cpus=settings.cpus,
        memory_bytes=settings.memory_bytes,
        gpus=_gpus(),
    )


def _container(settings: Settings) -> Backend:
    from dl4mic_orchestrator.backends.container import ContainerBackend
    from dl4mic_orchestrator.backends.engine import Engine, find_engine

    engine = Engine(find_engine(settings.container_engine), settings.environment)
    capacity = capacity_of_machine(settings.cpus, settings.memory_bytes, _gpus())
    return ContainerBackend(engine, settings.images, settings.runtime, capacity, settings.workspace)


def _kubernetes(settings: Settings) -> Backend:
    from dl4mic_orchestrator.backends.kubernetes.backend import KubernetesBackend
    from dl4mic_orchestrator.backends.kubernetes.client import ClusterClient
    from dl4mic_orchestrator.backends.kubernetes.volumes import Volumes

    cluster = settings.kubernetes
    if cluster is None:
        raise ValueError("the backend kubernetes needs its settings")
    places = {settings.roots[name]: volume for name, volume in cluster.data_roots.items()}
    places[settings.workspace] = cluster.workspace
    volumes = Volumes(places, inside=(settings.services,))
    return KubernetesBackend(ClusterClient(cluster.namespace), cluster, settings.images, volumes)


def _gpus() -> tuple[Gpu, ...]:
    try:
        import pynvml
    except ImportError:
        return ()
    return find_gpus(pynvml)

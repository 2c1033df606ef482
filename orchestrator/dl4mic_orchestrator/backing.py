# SPDX-License-Identifier: BSD-3-Clause
"""Make the backend that the settings ask for; what only another one needs is not imported."""

from __future__ import annotations

from collections.abc import Callable

from dl4mic_orchestrator.backends.base import Backend
from dl4mic_orchestrator.backends.kubernetes.settings import KubernetesSettings
from dl4mic_orchestrator.backends.kubernetes.volumes import Volumes
from dl4mic_orchestrator.backends.local import LocalBackend, capacity_of_machine
from dl4mic_orchestrator.backends.nvml import find_gpus
from dl4mic_orchestrator.environments import Environments
from dl4mic_orchestrator.records import Gpu
from dl4mic_orchestrator.settings import BackendKind, Settings


def make_backend(
    settings: Settings, environments: Environments, asked_cluster: Callable[[str, str, int], None]
) -> Backend:
    """Make a backend.

    Parameters
    ----------
    asked_cluster
        Hears of each call of a cluster's API server: verb, kind, HTTP status.

    Raises
    ------
    ValueError
        The container engine is not installed, or a data root lies on no claim of the cluster.
    ConnectionError
        The cluster does not answer.
    """
    match settings.backend:
        case BackendKind.LOCAL:
            return _local(settings, environments)
        case BackendKind.CONTAINER:
            return _container(settings)
        case BackendKind.KUBERNETES:
            return _kubernetes(settings, asked_cluster)


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


def _kubernetes(settings: Settings, asked: Callable[[str, str, int], None]) -> Backend:
    from dl4mic_orchestrator.backends.kubernetes.backend import KubernetesBackend
    from dl4mic_orchestrator.backends.kubernetes.client import ClusterClient
    from dl4mic_orchestrator.backends.kubernetes.instance_tokens import InstanceTokens

    cluster = settings.kubernetes
    if cluster is None:
        raise ValueError("the backend kubernetes needs its settings")
    client = ClusterClient(cluster.namespace, asked)
    volumes, tokens = _volumes(settings, cluster), InstanceTokens(settings.workspace / "tokens")
    return KubernetesBackend(client, cluster, settings.images, volumes, tokens)


def _volumes(settings: Settings, cluster: KubernetesSettings) -> Volumes:
    """Join where the folders are with the claims that they lie on."""
    if set(settings.roots) != set(cluster.data_roots):
        raise ValueError(
            f"the data roots of --root ({', '.join(sorted(settings.roots)) or 'none'}) and of the file "
            f"of --kubernetes ({', '.join(sorted(cluster.data_roots)) or 'none'}) must be the same"
        )
    places = {settings.roots[name]: volume for name, volume in cluster.data_roots.items()}
    # Examples lie in the services' folders, which may be links; every image has its own at the same path.
    services = [manifest.parent.resolve() for manifest in settings.services.glob("*/service.yaml")]
    return Volumes({**places, settings.workspace: cluster.workspace}, inside=tuple(services))


def _gpus() -> tuple[Gpu, ...]:
    try:
        import pynvml
    except ImportError:
        return ()
    return find_gpus(pynvml)

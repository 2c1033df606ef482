# SPDX-License-Identifier: BSD-3-Clause
"""Write the manifests of instances: a Job for an attempt, a Deployment for a warm one. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dl4mic_orchestrator.backends.base import LaunchSpec
from dl4mic_orchestrator.backends.images import SERVICE_FOLDER
from dl4mic_orchestrator.backends.kubernetes.affinity import node_affinity
from dl4mic_orchestrator.backends.kubernetes.settings import KubernetesSettings
from dl4mic_orchestrator.backends.kubernetes.volumes import Volumes

Manifest = dict[str, Any]
Version = tuple[int, int]
"""Of the API server: what is newer is used where it is known."""

PORT = 50051
CONTAINER = "service"
INSTANCE = "dl4mic-instance"
"""Label with the instance's id."""

JOB = "job-name"
"""Label with a Job's name, which Kubernetes gives to its pods."""

ASKS = "dl4mic-asks"
"""Annotation with the words for the GPU that a pod asks for."""

MANAGER = {"app.kubernetes.io/managed-by": "dl4mic-orchestrator"}

_ANNOUNCEMENT = "address.json"
_WARM_IDLE_SECONDS = 3600
_LOST_SECONDS = 30
"""For how long a pod stays on a node that does not answer; without a word, Kubernetes waits for five minutes."""

_NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9_.-]+")


def name_of(instance_id: str, labels: Mapping[str, str]) -> str:
    """Name the object of an instance: the same at every time, readable, and unlike that of any other.

    Installations in one namespace, which `labels` tell apart, may have jobs of the same id.
    """
    slug = re.sub(r"[^a-z0-9-]+", "-", instance_id.lower())[:36].strip("-")
    whose = "".join(f"{name}={value}," for name, value in sorted(labels.items()))
    return f"dl4mic-{slug}-{hashlib.sha256(f'{whose}{instance_id}'.encode()).hexdigest()[:8]}"


def selector_of(settings: KubernetesSettings) -> dict[str, str]:
    """Give the labels by which our objects are found again."""
    return {**settings.labels, **MANAGER}


def announcement_beside(log: Path) -> Path:
    """Name the file into which the service of an attempt writes where it listens: the attempt's folder is its own."""
    return log.with_name(_ANNOUNCEMENT)


@dataclass(frozen=True, slots=True)
class Launch:
    """An instance to launch, with what a cluster needs besides.

    Attributes
    ----------
    token
        File with what calls of it must show.
    """

    spec: LaunchSpec
    image: str
    token: Path


def manifest_of(
    launch: Launch, settings: KubernetesSettings, volumes: Volumes, server: Version
) -> Manifest:
    """Write the manifest of an instance.

    Raises
    ------
    NotOnVolumeError
        A path that it needs lies on none of the claims.
    """
    spec = launch.spec
    labels = _labels(spec, settings)
    metadata = {
        "name": name_of(spec.instance_id, settings.labels),
        "namespace": settings.namespace,
        "labels": {**labels, **_queue(spec, settings)},
    }
    pod = {
        "metadata": {"labels": labels, "annotations": {**_ANNOTATIONS, **_asks(spec)}},
        "spec": _pod(launch, settings, volumes, server),
    }
    if spec.warm:
        return _deployment(metadata, pod)
    return _job(metadata, pod, settings, server)


_ANNOTATIONS = {
    # An autoscaler that clears a node would throw work away.
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}


def _asks(spec: LaunchSpec) -> dict[str, str]:
    if not spec.grant.gpus:
        return {}
    memory = f" with {spec.gpu.memory_bytes / 2**30:g} GiB" if spec.gpu.memory_bytes else ""
    return {ASKS: f"a GPU{memory}"}


def _job(
    metadata: Manifest, pod: Manifest, settings: KubernetesSettings, server: Version
) -> Manifest:
    spec: Manifest = {
        "backoffLimit": 0,
        "ttlSecondsAfterFinished": settings.ttl_seconds,
        "template": pod,
    }
    if server >= (1, 29):
        # Without it, a pod that is being evicted already has a successor beside it.
        spec["podReplacementPolicy"] = "Failed"
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _deployment(metadata: Manifest, pod: Manifest) -> Manifest:
    selector = {INSTANCE: metadata["labels"][INSTANCE]}
    spec = {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": selector},
        "template": pod,
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def _pod(
    launch: Launch, settings: KubernetesSettings, volumes: Volumes, server: Version
) -> Manifest:
    spec = launch.spec
    claims, mounts = volumes.mounts(spec.writes, (*spec.reads, launch.token))
    pod: Manifest = {
        "restartPolicy": "Always" if spec.warm else "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": settings.grace_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": settings.user,
            "runAsGroup": settings.group,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "tolerations": [*(dict(each) for each in settings.tolerations), *_LOST_NODE],
        "containers": [_container(launch, settings, mounts, server)],
        "volumes": [*claims, *_scratch(settings)],
    }
    return {**pod, **_where(spec, settings)}


def _where(spec: LaunchSpec, settings: KubernetesSettings) -> Manifest:
    """Say what is set about a pod only where there is something to set."""
    gpu = bool(spec.grant.gpus)
    secrets = [{"name": name} for name in settings.image_pull_secrets]
    wanted = {
        "serviceAccountName": settings.service_account,
        "priorityClassName": settings.priority_class(spec.priority, warm=spec.warm),
        "runtimeClassName": settings.runtime_class if gpu else "",
        "nodeSelector": dict(settings.node_selector),
        "affinity": node_affinity(spec.gpu, settings.gpu_labels) if gpu else {},
        "imagePullSecrets": secrets,
    }
    return {name: value for name, value in wanted.items() if value}


_LOST_NODE = [
    {
        "key": f"node.kubernetes.io/{state}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": _LOST_SECONDS,
    }
    for state in ("not-ready", "unreachable")
]


def _container(
    launch: Launch, settings: KubernetesSettings, mounts: list[Manifest], server: Version
) -> Manifest:
    spec = launch.spec
    container: Manifest = {
        "name": CONTAINER,
        "image": launch.image,
        "imagePullPolicy": "IfNotPresent",
        "command": _command(spec, launch.token),
        "env": [{"name": name, "value": value} for name, value in _environment(spec).items()],
        "ports": [{"name": "grpc", "containerPort": PORT}],
        "resources": _resources(spec, settings),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            *mounts,
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
        ],
    }
    return {**container, "readinessProbe": _readiness(server)} if spec.warm else container


def _command(spec: LaunchSpec, token: Path) -> list[str]:
    """Serve as on every backend; a warm instance has no jobs, and its folder is the container's own."""
    jobs = Path("/tmp/jobs") if spec.warm else spec.jobs  # noqa: S108
    command = ["python", "-m", "dl4mic_sdk", "serve", SERVICE_FOLDER, "--listen", f"0.0.0.0:{PORT}"]
    command += ["--jobs", str(jobs), "--silence", f"{spec.silence_seconds:g}"]
    command += ["--token", str(token)]
    if spec.warm:
        return [*command, "--warm", "--attempt", "1", "--idle-seconds", str(_WARM_IDLE_SECONDS)]
    announcement = str(announcement_beside(spec.log))
    return [*command, "--attempt", str(spec.attempt), "--announce", announcement]


def _environment(spec: LaunchSpec) -> dict[str, str]:
    home = {"HOME": "/tmp", "TMPDIR": "/tmp"}  # noqa: S108
    if spec.grant.gpus:
        return home
    # Images for GPUs ask for all of them; where every container gets what its image asks for, so would this one.
    return {**home, "NVIDIA_VISIBLE_DEVICES": "void", "CUDA_VISIBLE_DEVICES": ""}


def _resources(spec: LaunchSpec, settings: KubernetesSettings) -> Manifest:
    """Ask for what the network's manifest says; cores that nobody else uses may be used beyond that.

    Memory that is said by a request alone, or by a limit alone, holds for both: nodes that promise less than is used
    run out of it.
    """
    own = settings.resources.get(spec.service.name, {})
    requests, limits = _strings(own.get("requests")), _strings(own.get("limits"))
    gpus = {settings.gpu_resource: str(len(spec.grant.gpus))} if spec.grant.gpus else {}
    cores = {"cpu": f"{round(spec.grant.cpus * 1000)}m"}
    said = requests.get("memory") or limits.get("memory") or _memory(spec, settings)
    memory = {"memory": said} if said else {}
    return {
        "requests": {**cores, **memory, **requests, **gpus},
        "limits": {**memory, **limits, **gpus},
    }


def _memory(spec: LaunchSpec, settings: KubernetesSettings) -> str:
    """Add what frameworks hand images through to what the network asks for; empty where that is nothing."""
    shared = settings.shared_memory_mib << 20
    return str(spec.grant.memory_bytes + shared) if spec.grant.memory_bytes else ""


def _strings(quantities: Mapping[str, Any] | None) -> dict[str, str]:
    return {name: str(quantity) for name, quantity in (quantities or {}).items()}


def _scratch(settings: KubernetesSettings) -> list[Manifest]:
    shared = {"medium": "Memory", "sizeLimit": f"{settings.shared_memory_mib}Mi"}
    return [{"name": "tmp", "emptyDir": {}}, {"name": "shm", "emptyDir": shared}]


def _readiness(server: Version) -> Manifest:
    """Ask for health through the contract, where the server knows how (on by default since 1.24)."""
    how = {"grpc": {"port": PORT}} if server >= (1, 24) else {"tcpSocket": {"port": PORT}}
    return {**how, "periodSeconds": 2}


def _labels(spec: LaunchSpec, settings: KubernetesSettings) -> dict[str, str]:
    own = {f"dl4mic-{name}": _label(value) for name, value in spec.labels.items()}
    return {**own, INSTANCE: _label(spec.instance_id), **selector_of(settings)}


def _queue(spec: LaunchSpec, settings: KubernetesSettings) -> dict[str, str]:
    """Name Kueue's queue; warm instances are not queued: somebody sits before them."""
    if not settings.queue or spec.warm:
        return {}
    return {"kueue.x-k8s.io/queue-name": settings.queue}


def _label(text: str) -> str:
    """Make a label's value of a text: at most 63 characters, the first and last a letter or digit."""
    clean = _NOT_IN_LABELS.sub("-", text)
    if len(clean) > 63:
        clean = f"{clean[:54]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return clean.strip("-_.")

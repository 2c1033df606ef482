# SPDX-License-Identifier: BSD-3-Clause
"""Own what can be set about instances on Kubernetes, and read it from a YAML file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Volume:
    """A folder on a claim: the claim's name, and the path in it ("" for all of it)."""

    claim: str
    sub_path: str = ""


@dataclass(frozen=True)
class GpuLabels:
    """Labels by which nodes tell their GPUs, as GPU feature discovery writes them; memory in MiB."""

    product: str = "nvidia.com/gpu.product"
    memory: str = "nvidia.com/gpu.memory"
    compute_major: str = "nvidia.com/gpu.compute.major"
    compute_minor: str = "nvidia.com/gpu.compute.minor"


@dataclass(frozen=True)
class KubernetesSettings:
    """How instances are set up.

    Attributes
    ----------
    workspace
        Where the orchestrator's workspace lies; every node must be able to mount it.
    data_roots
        Where the data roots lie, by name.
    gpu_resource
        Name of the resource that a GPU, or a slice of one, is asked for by.
    runtime_class
        Of pods that get a GPU; empty for the cluster's own.
    priority_classes
        By the least priority of the jobs that get them: ``"10"``, or ``warm`` for single images.
    tolerations, node_selector, resources
        As in a pod's manifest; `resources` by service, in place of what its own manifest asks for.
    queue
        Of Kueue, in the namespace; empty for none.
    look_ahead
        Jobs that wait in the cluster at most; more wait in the store. Without priority classes or a queue, the cluster
        takes them as they came: then only one waits there for a GPU, so that the most urgent is the next.
    ttl_seconds
        For how long the cluster keeps a Job that has ended, should we not delete it.
    grace_seconds
        What a pod has for a checkpoint when it is to end.
    service_account
        Of the pods; it needs no right, and its token is not mounted.
    user, group
        Ids that the pods run as; the workspace must be writable for them.
    labels
        Of everything that is made; what carries them is taken for our own.
    owner
        Deployment with which all that is made goes, as when an installation is taken away; empty for none.
    shared_memory_mib
        Of each pod: what frameworks hand images through. It counts as the pod's memory.
    """

    namespace: str
    workspace: Volume
    data_roots: Mapping[str, Volume] = field(default_factory=dict)
    gpu_resource: str = "nvidia.com/gpu"
    gpu_labels: GpuLabels = field(default_factory=GpuLabels)
    runtime_class: str = ""
    priority_classes: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    queue: str = ""
    image_pull_secrets: tuple[str, ...] = ()
    look_ahead: int = 100
    ttl_seconds: int = 300
    grace_seconds: int = 60
    service_account: str = ""
    user: int = 10001
    group: int = 10001
    labels: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""
    shared_memory_mib: int = 1024

    def priority_class(self, priority: int, *, warm: bool) -> str:
        """Name the priority class of a job, or of a warm instance; empty for the cluster's default."""
        if warm:
            return self.priority_classes.get("warm", "")
        reached = [int(least) for least in self.priority_classes if least != "warm"]
        reached = [least for least in reached if least <= priority]
        return self.priority_classes[str(max(reached))] if reached else ""


def read_settings(path: Path) -> KubernetesSettings:
    """Read the settings from a file.

    Raises
    ------
    ValueError
        It is no such file; the message names the field, and what would be right.
    """
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"--kubernetes {path}: {error}") from error
    try:
        return settings_of(record)
    except ValueError as error:
        raise ValueError(f"--kubernetes {path}: {error}") from error


def settings_of(record: object) -> KubernetesSettings:
    """Make the settings of what a file holds.

    Raises
    ------
    ValueError
        A field is missing, unknown, or holds something else than it should.
    """
    found = _mapping(record, "the file")
    known = {each.name for each in fields(KubernetesSettings)}
    for name in found:
        if name not in known:
            raise ValueError(
                f"{name}: there is no such setting; there are {', '.join(sorted(known))}"
            )
    for name in ("namespace", "workspace"):
        if not found.get(name):
            raise ValueError(f"{name}: it must be set")
    return KubernetesSettings(
        **{name: _READERS[name](value, name) for name, value in found.items()}
    )


def _mapping(value: object, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name}: expected names with values, found {value!r}")
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name}: expected text, found {value!r}")
    return value


def _texts(value: object, name: str) -> dict[str, str]:
    return {key: _text(each, f"{name}.{key}") for key, each in _mapping(value, name).items()}


def _number(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}: expected a whole number from 1, found {value!r}")
    return value


def _volume(value: object, name: str) -> Volume:
    parts = _texts(value, name)
    if set(parts) - {"claim", "sub_path"} or not parts.get("claim"):
        raise ValueError(f"{name}: expected {{claim: NAME, sub_path: PATH}}, found {value!r}")
    sub_path = parts.get("sub_path", "").strip("/")
    if ".." in sub_path.split("/"):
        raise ValueError(f"{name}.sub_path: '..' may not be part of it, found {sub_path!r}")
    return Volume(parts["claim"], sub_path)


def _volumes(value: object, name: str) -> dict[str, Volume]:
    return {key: _volume(each, f"{name}.{key}") for key, each in _mapping(value, name).items()}


def _gpu_labels(value: object, name: str) -> GpuLabels:
    labels = _texts(value, name)
    known = [each.name for each in fields(GpuLabels)]
    for key in labels:
        if key not in known:
            raise ValueError(f"{name}.{key}: there is no such label; there are {', '.join(known)}")
    return GpuLabels(**labels)


def _classes(value: object, name: str) -> dict[str, str]:
    classes = _texts(value, name)
    for key in classes:
        if key != "warm" and not key.removeprefix("-").isdecimal():
            raise ValueError(f'{name}.{key}: expected the least priority of jobs, as "10", or warm')
    return classes


def _list_of(read: Callable[[object, str], Any]) -> Callable[[object, str], tuple[Any, ...]]:
    def read_list(value: object, name: str) -> tuple[Any, ...]:
        if value is not None and not isinstance(value, list):
            raise ValueError(f"{name}: expected a list, found {value!r}")
        return tuple(read(each, f"{name}[{number}]") for number, each in enumerate(value or ()))

    return read_list


def _resources(value: object, name: str) -> dict[str, dict[str, Any]]:
    found = {key: _mapping(each, f"{name}.{key}") for key, each in _mapping(value, name).items()}
    for service, parts in found.items():
        for part in parts:
            if part not in ("requests", "limits"):
                raise ValueError(f"{name}.{service}.{part}: expected requests or limits")
    return found


_READERS: Mapping[str, Callable[[object, str], Any]] = {
    "namespace": _text,
    "workspace": _volume,
    "data_roots": _volumes,
    "gpu_resource": _text,
    "gpu_labels": _gpu_labels,
    "runtime_class": _text,
    "priority_classes": _classes,
    "tolerations": _list_of(_mapping),
    "node_selector": _texts,
    "resources": _resources,
    "queue": _text,
    "image_pull_secrets": _list_of(_text),
    "look_ahead": _number,
    "ttl_seconds": _number,
    "grace_seconds": _number,
    "service_account": _text,
    "user": _number,
    "group": _number,
    "labels": _texts,
    "owner": _text,
    "shared_memory_mib": _number,
}

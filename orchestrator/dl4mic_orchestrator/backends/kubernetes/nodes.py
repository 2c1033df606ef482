# SPDX-License-Identifier: BSD-3-Clause
"""Read what the nodes of a cluster have. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from dl4mic_orchestrator.backends.kubernetes.settings import KubernetesSettings
from dl4mic_orchestrator.records import Capacity, Gpu

Object = Mapping[str, Any]

_FACTORS = {
    "m": 1e-3, "": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50,
}  # fmt: skip

_CONDITIONS = "node.kubernetes.io/"
"""Begins the keys of the taints by which a cluster says that a node is cordoned, lost, or short of something."""

_SILENT = timedelta(seconds=45)
"""A node that says nothing for longer is lost. The cluster itself says so after 40 s; it may be wrong when its own API
server was away, and is right again some seconds after that."""


def quantity(text: str) -> float:
    """Read a quantity as Kubernetes writes it: ``500m``, ``16Gi``, ``1e3``; 0 for what is none."""
    number = text.rstrip("".join({letter for factor in _FACTORS for letter in factor}))
    try:
        return float(number) * _FACTORS.get(text[len(number) :], 0)
    except ValueError:
        return 0.0


def capacity_of(nodes: Iterable[Object], settings: KubernetesSettings) -> Capacity:
    """Say what there is for instances in all; the cluster chooses among it.

    A node that is cordoned, or lost, counts: it comes back, and what needs it waits instead of never running.
    """
    nodes = [node for node in nodes if _may_be_used(node, settings)]
    resources = [node.get("status", {}).get("allocatable", {}) for node in nodes]
    return Capacity(
        cpus=sum(quantity(each.get("cpu", "")) for each in resources),
        memory_bytes=int(sum(quantity(each.get("memory", "")) for each in resources)),
        gpus=tuple(_gpus(nodes, settings)),
        look_ahead=settings.look_ahead,
        keeps_priority=bool(settings.priority_classes or settings.queue),
        where="the cluster",
    )


def _may_be_used(node: Object, settings: KubernetesSettings) -> bool:
    """Say whether selector and tolerations ever let an instance onto a node."""
    labels = node["metadata"].get("labels", {})
    taints = node.get("spec", {}).get("taints", ())
    return settings.node_selector.items() <= labels.items() and all(
        _passes(taint, settings) or any(_tolerates(each, taint) for each in settings.tolerations)
        for taint in taints
        if taint["effect"] != "PreferNoSchedule"
    )


def _passes(taint: Object, settings: KubernetesSettings) -> bool:
    """Say whether a taint need not be tolerated by the settings.

    What a cluster says of a node's condition passes by itself, and many clusters add a toleration for what is tainted
    by the name of its resource: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers
    """
    key = str(taint["key"])
    return key.startswith(_CONDITIONS) or key == settings.gpu_resource


def _tolerates(toleration: Object, taint: Object) -> bool:
    """Compare as https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration says it."""
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    same_value = toleration.get("value", "") == taint.get("value", "")
    return bool(toleration.get("key") == taint["key"] and same_value)


def _gpus(nodes: Iterable[Object], settings: KubernetesSettings) -> Iterator[Gpu]:
    index = 0
    names = settings.gpu_labels
    for node in nodes:
        labels = node["metadata"].get("labels", {})
        count = quantity(
            node.get("status", {}).get("allocatable", {}).get(settings.gpu_resource, "")
        )
        for _ in range(int(count)):
            yield Gpu(
                index=index,
                name=labels.get(names.product, settings.gpu_resource),
                memory_bytes=_number(labels.get(names.memory)) << 20,
                capability=(
                    _number(labels.get(names.compute_major)),
                    _number(labels.get(names.compute_minor)),
                ),
            )
            index += 1


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


def is_lost(node: Object | None, now: datetime) -> bool:
    """Say whether a node is gone, or has said nothing for too long; None is one that the cluster does not know."""
    if node is None:
        return True
    for condition in node.get("status", {}).get("conditions", ()):
        if condition["type"] == "Ready" and condition["status"] == "Unknown":
            return now - moment(condition.get("lastTransitionTime")) > _SILENT
    return False


def moment(text: str | None) -> datetime:
    """Read a time as Kubernetes writes it; one that is missing is long past."""
    return datetime.fromisoformat(text or "1970-01-01T00:00:00Z")

# SPDX-License-Identifier: BSD-3-Clause
"""Say in a cluster's words which nodes have a GPU that a network can use. Pure."""

from __future__ import annotations

from itertools import chain, product
from typing import Any

from dl4mic_orchestrator.backends.kubernetes.settings import GpuLabels
from dl4mic_orchestrator.records import GpuNeed

Expression = dict[str, Any]
Choices = list[list[Expression]]
"""Any of the lists will do; all the expressions of a list must hold."""


def node_affinity(need: GpuNeed, labels: GpuLabels) -> dict[str, Any]:
    """Ask for nodes whose labels say that the GPU will do, or say nothing about it; empty when any GPU will do.

    Terms of a node selector are alternatives, and the expressions within one must all hold: so the alternatives for
    memory, least and greatest capability are multiplied out.
    """
    demands = [
        *([_memory(need, labels)] if need.memory_bytes and labels.memory else []),
        *([_capability(need, labels)] if labels.compute_major and labels.compute_minor else []),
    ]
    choices = [demand for demand in demands if demand]
    if not choices:
        return {}
    terms = [{"matchExpressions": list(chain(*chosen))} for chosen in product(*choices)]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"nodeAffinity": required}


def _memory(need: GpuNeed, labels: GpuLabels) -> Choices:
    """Compare in MiB, as the label counts them; `Gt` is strict."""
    mebibytes = -(-need.memory_bytes >> 20)
    return [[_expression(labels.memory, "Gt", mebibytes - 1)], [_absent(labels.memory)]]


def _capability(need: GpuNeed, labels: GpuLabels) -> Choices:
    least, greatest = need.minimum_capability, need.maximum_capability
    bounds: list[Choices] = []
    if least is not None:
        bounds.append(_beyond(labels, "Gt", least, least[1] - 1))
    if greatest is not None:
        bounds.append(_beyond(labels, "Lt", greatest, greatest[1] + 1))
    if not bounds:
        return []
    known: Choices = [list(chain(*chosen)) for chosen in product(*bounds)]
    return [*known, [_absent(labels.compute_major)]]


def _beyond(labels: GpuLabels, operator: str, bound: tuple[int, int], strict_minor: int) -> Choices:
    major = bound[0]
    same = [_expression(labels.compute_major, "In", major)]
    if strict_minor >= 0:  # a minor version is never below 0
        same.append(_expression(labels.compute_minor, operator, strict_minor))
    return [[_expression(labels.compute_major, operator, major)], same]


def _expression(key: str, operator: str, value: int) -> Expression:
    return {"key": key, "operator": operator, "values": [str(value)]}


def _absent(key: str) -> Expression:
    return {"key": key, "operator": "DoesNotExist"}

# SPDX-License-Identifier: BSD-3-Clause
"""Values that a request gives beside others that leave them without effect: told before work starts. Pure.

A manifest declares with a parameter how it goes with others: see `manifest.NEEDS`.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Sequence

from dl4mic.check import Refused, Request, Violation, verb_of
from dl4mic.manifest import ASCENDING, EXCLUDES, LESS_TWICE, MULTIPLE_OF, NEEDS
from dl4mic.parameters import complete_parameters
from dl4mic.plain import plain_value
from dl4mic.v1.network_pb2 import Network
from dl4mic.v1.request_pb2 import TrainRequest

_OF_THE_SPLIT = ("validation_fraction", "split", "split_strip")
"""Shared parameters that say what is kept apart of the training images, where no validation images are given."""

Declared = Mapping[str, Mapping[str, Any]]


def check_contradictions(request: Request, network: Network, declared: Declared) -> None:
    """Raise `Refused` when a given value has no effect or no sense beside the others.

    Parameters
    ----------
    request
        One that `check.check_request` has passed.
    declared
        The network's parameters as its manifest has them: name -> plain values.

    Notes
    -----
    Only what the caller gives is refused, and only where it differs from preset or default: a form that sends every
    value back as it was shown contradicts nothing.
    """
    preset = request.preset if isinstance(request, TrainRequest) else ""
    usual = _plain(complete_parameters(network, verb_of(request), preset, {}))
    force = dict(usual, **_plain(request.parameters))
    changed = [name for name in sorted(request.parameters) if force[name] != usual[name]]
    found = [
        Violation("parameters.{}".format(name), problem)
        for name in changed
        for problem in _problems(name, declared[name], force)
    ]
    if isinstance(request, TrainRequest) and request.HasField("validation"):
        found += _of_validation(changed, force)
    if not (isinstance(request, TrainRequest) and request.HasField("parent")):
        found += _of_multiples(changed, declared, force)  # else the parent's structure holds
    if found:
        raise Refused(found)


def _plain(values: Mapping[str, Any]) -> Dict[str, Any]:
    return {name: plain_value(value) for name, value in values.items()}


def _problems(name: str, declared: Mapping[str, Any], force: Mapping[str, Any]) -> Iterator[str]:
    said = _said(force[name])
    for other, wanted in (declared.get(NEEDS) or {}).items():
        if not _fulfilled(force.get(other), wanted):
            text = "{} has no effect while {} is {}: {}, or leave {} out"
            yield text.format(said, other, _said(force[other]), _better(other, wanted), name)
    for other in declared.get(EXCLUDES) or ():
        if force.get(other) is not None:
            text = "{} has no effect beside {}, which is {}: give one of them"
            yield text.format(said, other, _said(force[other]))
    if declared.get(ASCENDING) and force[name] != sorted(force[name]):
        yield "{} is not in ascending order: use {}".format(said, _said(sorted(force[name])))


def _fulfilled(value: Any, wanted: Any) -> bool:
    """Whether a value is what another one needs; one that is left to the network is."""
    if value is None:
        return True
    return bool(value) if wanted is None else value == wanted


def _better(other: str, wanted: Any) -> str:
    return "switch {} on".format(other) if wanted is None else "use {}={}".format(other, wanted)


def _of_multiples(
    changed: Sequence[str], declared: Declared, force: Mapping[str, Any]
) -> Iterator[Violation]:
    for name, parameter in declared.items():
        factors, margin = parameter.get(MULTIPLE_OF) or {}, parameter.get(LESS_TWICE, "")
        concerned = {name, margin, *factors, *map(str, factors.values())} & set(changed)
        used = [each for each in factors if _has_effect(each, declared, force)]
        if used and concerned and force.get(name) is not None:
            less = 2 * force[margin] if margin and _has_effect(margin, declared, force) else 0
            better = _better_multiple(force[name], _product(factors, used, force), less)
            if better != force[name]:
                text = "{} does not go with {}: {}use {}"
                about = "less twice {}, ".format(margin) if less else ""
                words = _of_factors(factors, used, force)
                said = text.format(_said(force[name]), words, about, _said(better))
                yield Violation("parameters.{}".format(name), said)


def _better_multiple(given: Sequence[int], steps: Sequence[int], less: int) -> List[int]:
    """Return the nearest smaller multiples of the steps, at least one of each, with the margin added."""
    return [max((each - less) // step, 1) * step + less for each, step in zip(given, steps)]


def _has_effect(name: str, declared: Declared, force: Mapping[str, Any]) -> bool:
    needs = declared[name].get(NEEDS) or {}
    met = all(_fulfilled(force.get(other), wanted) for other, wanted in needs.items())
    return met and force.get(name) is not None


def _product(
    factors: Mapping[str, Any], used: Sequence[str], force: Mapping[str, Any]
) -> List[int]:
    """Multiply the factors that are used, each to its power, element by element."""
    powers = [
        [each ** force.get(factors[name], factors[name]) for each in force[name]] for name in used
    ]
    return [_multiplied(each) for each in zip(*powers)]


def _multiplied(numbers: Sequence[int]) -> int:
    product = 1
    for each in numbers:
        product *= each
    return product


def _of_factors(factors: Mapping[str, Any], used: Sequence[str], force: Mapping[str, Any]) -> str:
    """Say what a value is to be a multiple of: "a multiple of grid [2, 2] x unet_pool [2, 2] ** unet_n_depth 3"."""
    words = []
    for name in used:
        power = factors[name]
        raised = " ** {} {}".format(power, force[power]) if power in force else ""
        words.append("{} {}{}".format(name, _said(force[name]), raised))
    return "a multiple of " + " x ".join(words)


def _of_validation(changed: Sequence[str], force: Mapping[str, Any]) -> Iterator[Violation]:
    for name in _OF_THE_SPLIT:
        if name in changed:
            text = (
                "{} has no effect beside validation, whose images are used: leave one of them out"
            )
            yield Violation("parameters.{}".format(name), text.format(_said(force[name])))


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[{}]".format(", ".join(_said(each) for each in value))
    return "{:.15g}".format(value) if isinstance(value, float) else str(value)

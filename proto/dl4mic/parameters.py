# SPDX-License-Identifier: BSD-3-Clause
"""Values of parameters: whether a network declares them so, which are in force, how they are written. Pure."""

from __future__ import annotations

import math
from typing import Dict, List, Mapping, Optional

from dl4mic.v1.network_pb2 import Network
from dl4mic.v1.parameter_pb2 import Parameter, ParameterValue

_KIND = {
    "boolean": Parameter.BOOLEAN,
    "integer": Parameter.INTEGER,
    "number": Parameter.NUMBER,
    "text": Parameter.TEXT,
    "list": Parameter.LIST,
}


def complete_parameters(
    network: Network, verb: Parameter.Verb, preset: str, given: Mapping[str, ParameterValue]
) -> Dict[str, Optional[ParameterValue]]:
    """Put default, preset and given values together.

    Returns
    -------
    dict
        Every parameter that the verb reads, in the manifest's order; None where the network chooses.
    """
    presets = {each.name: each.parameters for each in network.presets}
    chosen: Mapping[str, ParameterValue] = presets.get(preset or "default", {})
    complete: Dict[str, Optional[ParameterValue]] = {}
    for parameter in network.parameters:
        if verb in parameter.verbs:
            complete[parameter.name] = _first_value(parameter, given, chosen)
    return complete


def _first_value(
    parameter: Parameter, given: Mapping[str, ParameterValue], preset: Mapping[str, ParameterValue]
) -> Optional[ParameterValue]:
    for values in (given, preset):
        if parameter.name in values:
            return values[parameter.name]
    return parameter.default_value if parameter.HasField("default_value") else None


def problem_of_value(parameter: Parameter, value: ParameterValue) -> str:
    """Say what is wrong with a value of a parameter, and what would be right; empty when nothing is."""
    if parameter.type == Parameter.LIST:
        return _problem_of_list(parameter, value)
    return _problem_of_scalar(parameter, parameter.type, value)


def allowed_range(parameter: Parameter) -> str:
    """Words for the values that a parameter takes: "an integer from 1 to 100"."""
    words = _type_words(parameter)
    if parameter.choices:
        return words + ", one of " + ", ".join(show(each) for each in parameter.choices)
    low = parameter.HasField("minimum")
    high = parameter.HasField("maximum")
    if low and high:
        words += " from {} to {}".format(_number(parameter.minimum), _number(parameter.maximum))
    elif low:
        words += " of at least {}".format(_number(parameter.minimum))
    elif high:
        words += " of at most {}".format(_number(parameter.maximum))
    if parameter.HasField("multiple_of"):
        words += ", a multiple of {}".format(_number(parameter.multiple_of))
    return words


def show(value: ParameterValue) -> str:
    """Write a value as a person would type it."""
    kind = value.WhichOneof("kind")
    if kind is None:
        return "nothing"
    if kind == "list":
        return "[" + ", ".join(show(each) for each in value.list.values) + "]"
    if kind == "boolean":
        return "true" if value.boolean else "false"
    return _number(value.number) if kind == "number" else str(getattr(value, kind))


def _problem_of_list(parameter: Parameter, value: ParameterValue) -> str:
    if value.WhichOneof("kind") != "list":
        return _expected(parameter, value)
    elements = value.list.values
    shortest = parameter.minimum_length if parameter.HasField("minimum_length") else 0
    longest = parameter.maximum_length if parameter.HasField("maximum_length") else len(elements)
    if not shortest <= len(elements) <= longest:
        return "{} has {} values; expected {}".format(
            show(value), len(elements), allowed_range(parameter)
        )
    problems: List[str] = [
        _problem_of_scalar(parameter, parameter.element_type, each) for each in elements
    ]
    return next((each for each in problems if each), "")


def _problem_of_scalar(parameter: Parameter, wanted: Parameter.Type, value: ParameterValue) -> str:
    kind = value.WhichOneof("kind")
    number_from_integer = wanted == Parameter.NUMBER and kind == "integer"
    if kind is None or (_KIND[kind] != wanted and not number_from_integer):
        return _expected(parameter, value)
    if kind in ("integer", "number") and not _in_bounds(parameter, getattr(value, kind)):
        return _expected(parameter, value)
    if parameter.choices and value not in parameter.choices:
        return _expected(parameter, value)
    return ""


def _in_bounds(parameter: Parameter, number: float) -> bool:
    if not math.isfinite(number):
        return False
    if parameter.HasField("minimum") and number < parameter.minimum:
        return False
    if parameter.HasField("maximum") and number > parameter.maximum:
        return False
    return not parameter.HasField("multiple_of") or number % parameter.multiple_of == 0


def _expected(parameter: Parameter, value: ParameterValue) -> str:
    return "{} is not allowed: expected {}".format(show(value), allowed_range(parameter))


def _type_words(parameter: Parameter) -> str:
    words = {
        Parameter.BOOLEAN: "true or false",
        Parameter.INTEGER: "an integer",
        Parameter.NUMBER: "a number",
        Parameter.TEXT: "a text",
    }
    if parameter.type != Parameter.LIST:
        return words[parameter.type]
    return "a list of {}, each {}".format(_length_words(parameter), words[parameter.element_type])


def _length_words(parameter: Parameter) -> str:
    shortest, longest = parameter.minimum_length, parameter.maximum_length
    if parameter.HasField("maximum_length"):
        return str(longest) if shortest == longest else "{} to {}".format(shortest, longest)
    return "at least {}".format(shortest) if shortest else "values"


def _number(number: float) -> str:
    return "{:.15g}".format(number)

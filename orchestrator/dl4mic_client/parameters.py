# SPDX-License-Identifier: BSD-3-Clause
"""Turns values of parameters, typed in Python or written as text, into the contract's own."""

from __future__ import annotations

import difflib
import json
import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from dl4mic.parameters import allowed_range
from dl4mic.v1.network_pb2 import Network
from dl4mic.v1.parameter_pb2 import Parameter, ParameterList, ParameterValue
from dl4mic_client.errors import FieldFault, Refused

Plain = bool | int | float | str | Sequence[Any] | ParameterValue

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


def from_python(values: Mapping[str, Plain]) -> dict[str, ParameterValue]:
    """Turn Python values into typed values.

    Parameters
    ----------
    values : mapping
        Value by name: bool, int, float, str, or a sequence of one of these (NumPy's scalars and
        arrays too); what is typed already stays as it is.

    Raises
    ------
    Refused
        A value is of another type.
    """
    return {name: _from_python(name, value) for name, value in values.items()}


def _from_python(name: str, value: object) -> ParameterValue:
    if isinstance(value, ParameterValue):
        return value
    if hasattr(value, "tolist"):  # a NumPy scalar or array; NumPy itself need not be there
        value = value.tolist()
    if isinstance(value, bool):
        return ParameterValue(boolean=value)
    if isinstance(value, numbers.Integral):
        return ParameterValue(integer=int(value))
    if isinstance(value, numbers.Real):
        return ParameterValue(number=float(value))
    if isinstance(value, str):
        return ParameterValue(text=value)
    if isinstance(value, Sequence):
        return _list(_from_python(name, each) for each in value)
    raise _fault(name, f"a {type(value).__name__} is no value of a parameter")


def _list(values: Iterable[ParameterValue]) -> ParameterValue:
    return ParameterValue(list=ParameterList(values=values))


def by_verb(
    values: Mapping[str, Plain], network: Network, verbs: Sequence[str]
) -> dict[str, dict[str, Plain]]:
    """Give each verb the values that it reads; one that none of them reads goes to the first, which refuses it."""
    readers = {each.name: _verbs_of(each) & set(verbs) for each in network.parameters}
    return {
        verb: {
            name: value
            for name, value in values.items()
            if verb in (readers.get(name) or {verbs[0]})
        }
        for verb in verbs
    }


def _verbs_of(parameter: Parameter) -> set[str]:
    return {Parameter.Verb.Name(each).lower() for each in parameter.verbs}


def from_text(
    assignments: Iterable[str], network: Network, *verbs: str
) -> dict[str, ParameterValue]:
    """Read ``key=value`` texts with the types that a network declares.

    Parameters
    ----------
    assignments : iterable of str
        E.g. ``["epochs=100", "grid=2,2", "augmentation=false"]``. A list is written with commas,
        with or without brackets.
    network : Network
        Whose parameters they are.
    *verbs : {"train", "qc", "predict", ...}
        What is to be done; only the parameters that one of them reads are known.

    Returns
    -------
    dict
        Typed value by name. Bounds are the server's to check.

    Raises
    ------
    Refused
        A text has no "=", a name is unknown (near ones are named), a value is not of its type.
    """
    declared = {each.name: each for each in network.parameters if _verbs_of(each) & set(verbs)}
    pairs = [_split(text) for text in assignments]
    for name, _ in pairs:
        if name not in declared:
            raise _fault(name, _unknown(name, network.name, declared))
    return {name: _read(declared[name], text) for name, text in pairs}


def _split(assignment: str) -> tuple[str, str]:
    name, equals, text = assignment.partition("=")
    if not equals or not name.strip():
        raise Refused(
            f"{assignment!r} is not of the form key=value.", "Write, for example, --set epochs=100."
        )
    return name.strip().replace("-", "_"), text.strip()


def _unknown(name: str, network: str, declared: Mapping[str, Parameter]) -> str:
    near = difflib.get_close_matches(name, declared, n=3)
    if near:
        return f"is no parameter of {network}; did you mean {' or '.join(near)}?"
    return f"is no parameter of {network}; `dl4mic networks {network}` lists them"


def _read(parameter: Parameter, text: str) -> ParameterValue:
    try:
        if parameter.type != Parameter.LIST:
            return _SCALARS[parameter.type](text)
        read = _SCALARS[parameter.element_type]
        return _list(read(each) for each in _elements(text))
    except ValueError:
        raise _fault(
            parameter.name, f"{text!r} is not allowed: expected {allowed_range(parameter)}"
        ) from None


def _elements(text: str) -> list[str]:
    inner = text.strip().removeprefix("[").removesuffix("]").strip()
    if '"' in inner:  # texts that hold commas are written as JSON
        return [str(each) for each in json.loads(f"[{inner}]")]
    return [each.strip() for each in inner.split(",")] if inner else []


def _boolean(text: str) -> ParameterValue:
    if text.lower() not in _TRUE | _FALSE:
        raise ValueError(text)
    return ParameterValue(boolean=text.lower() in _TRUE)


def _number(text: str) -> ParameterValue:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return ParameterValue(number=number)


_SCALARS: dict[int, Callable[[str], ParameterValue]] = {
    Parameter.BOOLEAN: _boolean,
    Parameter.INTEGER: lambda text: ParameterValue(integer=int(text)),
    Parameter.NUMBER: _number,
    Parameter.TEXT: lambda text: ParameterValue(text=text),
}


def _fault(name: str, problem: str) -> Refused:
    field = f"parameters.{name}"
    return Refused(
        f"The request was refused.\n  {field}: {problem}",
        faults=(FieldFault(field, problem),),
    )

# SPDX-License-Identifier: BSD-3-Clause
"""The tables of parameters in a service's README, made from its manifest.

``python tests/services/parameter_table.py services/NAME`` prints them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dl4mic.manifest import read_service

Networks = Mapping[str, Mapping[str, Any]]
"""Parameters of each network of a service, by what tells it from the others: ``2D``."""


def tables(folder: Path) -> Iterator[str]:
    """Yield basic, advanced and prediction parameters of a service, each as lines of a table."""
    records = read_service(folder).records
    networks = {name[-2:].upper(): record["parameters"] for name, record in records.items()}
    names = dict.fromkeys(name for declared in networks.values() for name in declared)
    training = [name for name in names if "train" in _any(networks, name)["verbs"]]
    basic = [name for name in training if not _any(networks, name).get("advanced")]
    advanced = [name for name in training if name not in basic]
    for chosen in (basic, advanced, [name for name in names if name not in training]):
        rows = [_row(networks, name) for name in chosen]
        yield "\n".join(["| parameter | default | what it does |\n|---|---|---|", *rows])


def _any(networks: Networks, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(each[name] for each in networks.values() if name in each)
    return found


def _row(networks: Networks, name: str) -> str:
    text = " ".join(_any(networks, name)["help"].split())
    return f"| `{name}` | {_default(networks, name)} | {text} |"


def _default(networks: Networks, name: str) -> str:
    values = {
        label: _said(declared[name].get("default"))
        for label, declared in networks.items()
        if name in declared
    }
    if len(values) == 1 < len(networks):
        ((label, value),) = values.items()
        return f"{value} ({label} only)"
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    return ", ".join(f"{value} ({label})" for label, value in values.items())


def _said(value: Any) -> str:
    if value is None:
        return "chosen"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return " x ".join(_said(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    print("\n\n".join(tables(Path(sys.argv[1]))))

# SPDX-License-Identifier: BSD-3-Clause
"""The tables of parameters in the README, made from the manifest: ``python tests/parameter_table.py`` prints them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dl4mic.manifest import read_service

RECORDS = read_service(Path(__file__).resolve().parents[1]).records
DECLARED = {key: record["parameters"] for key, record in RECORDS.items()}
FIRST, SECOND = "n2v2d", "n2v3d"


def tables() -> Iterator[str]:
    """Yield basic, advanced and prediction parameters, each as lines of a table."""
    names = dict.fromkeys([*DECLARED[FIRST], *DECLARED[SECOND]])
    training = [name for name in names if "train" in _any(name)["verbs"]]
    basic = [name for name in training if not _any(name).get("advanced")]
    advanced = [name for name in training if _any(name).get("advanced")]
    for chosen in (basic, advanced, [name for name in names if name not in training]):
        yield "| parameter | default | what it does |\n|---|---|---|\n" + "\n".join(
            map(_row, chosen)
        )


def _any(name: str) -> Mapping[str, Any]:
    declared: Mapping[str, Any] = DECLARED[FIRST].get(name) or DECLARED[SECOND][name]
    return declared


def _row(name: str) -> str:
    return f"| `{name}` | {_default(name)} | {' '.join(_any(name)['help'].split())} |"


def _default(name: str) -> str:
    values = {
        label: _said(DECLARED[network][name].get("default"))
        for network, label in ((FIRST, "2D"), (SECOND, "3D"))
        if name in DECLARED[network]
    }
    if len(values) == 1:
        ((label, value),) = values.items()
        return f"{value} ({label} only)"
    if len(set(values.values())) == 1:
        return values["2D"]
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
    print("\n\n".join(tables()))

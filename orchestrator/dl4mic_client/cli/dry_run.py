# SPDX-License-Identifier: BSD-3-Clause
"""What a dry run found, for people: what would be trained, and what it would take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from dl4mic_client import words
from dl4mic_client.cli import output

CHOSEN = "network"
"""Origin of a parameter that was left to the network."""


def describe(found: Mapping[str, Any]) -> None:
    """Print the content of a job's "dry-run.json"."""
    device = found["device"]
    click.echo(f"Nothing was trained; {found['network']} would be, on {device['name']}:")
    output.facts(_length(found["schedule"]))
    output.facts(_takes(found))
    click.echo("On these images:")
    output.facts(found["data"].items())
    click.echo("With these parameters (the others have their defaults):")
    output.facts(_settings(found["parameters"]))


def _length(schedule: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    epochs = words.counted(schedule["epochs"], "epochs")
    steps = words.counted(schedule["steps_per_epoch"], "steps")
    batch = words.counted(schedule["batch_size"], "patches")
    yield "length", f"{epochs} of {steps} with {batch}: {schedule['patches']} patches in all"


def _takes(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    estimate, measured = found["estimate"], found["measured"]
    seconds, low, high = (
        words.duration(estimate[name])
        for name in ("seconds", "shortest_seconds", "longest_seconds")
    )
    step = f"{measured['seconds_per_step']:.3g} s a step, over {measured['steps']} steps"
    yield "time", f"about {seconds}, between {low} and {high} ({step})"
    yield "memory", f"{words.size(estimate['memory_bytes'])} of main memory"
    device = estimate["device_memory_bytes"]
    yield "", "" if device is None else f"{words.size(device)} of the GPU's memory"


def _settings(settings: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the parameters that are not the defaults."""
    for each in settings:
        if each["origin"] != "default" and each["value"] is not None:
            origin = "chosen from the data" if each["origin"] == CHOSEN else each["origin"]
            yield each["name"], f"{_value(each['value'])} {each['unit']}".strip() + f" ({origin})"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return " x ".join(map(str, value))
    return str(value)

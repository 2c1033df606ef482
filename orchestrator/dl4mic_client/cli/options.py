# SPDX-License-Identifier: BSD-3-Clause
"""Options that `train`, `qc` and `predict` have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from dl4mic_client import words

if TYPE_CHECKING:
    from dl4mic_client.requests import JobOptions

Function = Callable[..., Any]
Decorator = Callable[[Function], Function]

_JOB_FIELDS = ("job", "title", "project", "priority", "device")


@dataclass(frozen=True)
class Order:
    """How a job is to be sent and followed.

    Attributes
    ----------
    options : JobOptions
        What every job may say.
    assignments : tuple of str
        ``key=value`` texts of --set.
    weights : str
        Weights of the model to use.
    detach : bool
        Do not wait for the job.
    out : str
        Folder to put the results into; empty for none.
    """

    options: JobOptions
    assignments: tuple[str, ...]
    weights: str
    detach: bool
    out: str


def pairs(ctx: click.Context, option: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    """Turn ``KEY=VALUE`` texts into a dict, for a repeatable option."""
    found = {}
    for text in value:
        key, equals, word = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text!r} is not of the form KEY=VALUE.", ctx, option)
        found[key] = word
    return found


def job_options(function: Function) -> Function:
    """Add the options of every job; the function gets them as one `Order` named `order`."""

    @wraps(function)
    def wrapped(*arguments: Any, **values: Any) -> Any:
        return function(*arguments, order=_order(values), **values)

    for option in reversed(_JOB_OPTIONS):
        option(wrapped)
    return wrapped


def image_options(function: Function) -> Function:
    """Add the options that say which images; the function gets `source` and `axes`."""
    for option in reversed(_images(required=True)):
        option(function)
    return function


def optional_image_options(function: Function) -> Function:
    """Add the same, where there need not be images: `source` may be None."""
    for option in reversed(_images(required=False)):
        option(function)
    return function


def _order(values: dict[str, Any]) -> Order:
    from dl4mic_client.requests import JobOptions  # protobuf: a help text must not wait for it

    given = {name: values.pop(name) for name in _JOB_FIELDS}
    options = JobOptions(
        **given, labels=values.pop("label"), deadline_seconds=values.pop("deadline")
    )
    return Order(
        options=options,
        assignments=values.pop("assignments"),
        weights=values.pop("weights"),
        detach=values.pop("detach"),
        out=values.pop("out"),
    )


def seconds(ctx: click.Context, option: click.Parameter, value: str | None) -> float | None:
    """Read the duration of an option: 90m, 2h30m, 1d."""
    if value is None:
        return None
    try:
        return words.parse_duration(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no duration; write 90m, 2h30m or 1d.") from None


def _images(required: bool) -> tuple[Decorator, ...]:
    where = "Images: a folder or file here, or a location on the server."
    return (
        click.option("--source", required=required, metavar="DIR", help=where),
        click.option("--axes", default="", help="Axes of every file, slowest first: YX, ZYX."),
    )


_JOB_OPTIONS = (
    click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="KEY=VALUE",
        help="A parameter of the network; repeatable. `dl4mic networks NAME` lists them.",
    ),
    click.option(
        "--weights",
        default="",
        metavar="best|last|EPOCH",
        help="Weights of the model; `qc` takes all, too, and ranks every kept set.",
    ),
    click.option("--out", default="", metavar="DIR", help="Folder to put the results into."),
    click.option("--detach", is_flag=True, help="Do not wait for the job."),
    click.option(
        "--device",
        default="auto",
        type=click.Choice(["auto", "cpu", "gpu"]),
        help="With gpu it never falls back to the CPU.",
    ),
    click.option("--job", default="", metavar="ID", help="Id of the job; else one is made up."),
    click.option("--title", default="", help="What it is, for people."),
    click.option("--project", default="", help="Project that it belongs to."),
    click.option("--priority", default=0, help="Higher goes first, -1000 to 1000."),
    click.option("--label", multiple=True, metavar="KEY=VALUE", callback=pairs, help="Repeatable."),
    click.option(
        "--deadline",
        metavar="TIME",
        callback=seconds,
        help="The job fails if it has not ended in this time: 90m, 2h30m, 1d.",
    ),
)

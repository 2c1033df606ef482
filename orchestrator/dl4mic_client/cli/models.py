# SPDX-License-Identifier: BSD-3-Clause
"""`dl4mic models` and `dl4mic model`: the models that the server keeps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from dl4mic_client import words
from dl4mic_client.cli import output
from dl4mic_client.cli.complete import model_names
from dl4mic_client.cli.program import Command, Group, Session, pass_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dl4mic.v1 import model_pb2

_TELLING = ("f1@", "ssim", "iou", "accuracy")
"""Parts of the ids of the scores that sum a model up, the best first."""


@click.command(cls=Command)
@click.option("--name", default="", help="Only versions of this model.")
@click.option("--network", default="", help="Only models of this network.")
@click.option("--project", default="", help="Only models of this project.")
@pass_session
def models(session: Session, name: str, network: str, project: str) -> None:
    """List the models: by name, newest version first."""
    found = session.client.models(name=name, network=network, project=project)
    if session.as_json:
        output.document({"models": [output.plain(each) for each in found]})
        return
    if not found:
        click.echo("There are no models. `dl4mic train` makes one.")
    heads = ("MODEL", "ALIASES", "NETWORK", "MADE", "SIZE", "QC")
    output.table(heads, map(_row, found))


def _row(model: model_pb2.Model) -> tuple[str, ...]:
    return (
        _tag(model),
        ", ".join(model.aliases),
        model.network,
        output.when(model.create_time),
        words.size(model.size),
        _headline(model),
    )


def _tag(model: model_pb2.Model) -> str:
    return f"{model.name}:{model.version}"


def _headline(model: model_pb2.Model) -> str:
    """Give the most telling score of the newest QC, and how many there are where none is known."""
    if not model.quality_controls:
        return ""
    scores = model.quality_controls[0].scores
    for telling in _TELLING:
        for name in sorted(scores):
            if telling in name:
                return f"{name} {scores[name]:.3f}"
    return f"{len(scores)} scores"


@click.group(cls=Group)
def model() -> None:
    """Show, rename, delete, import and export a model."""


@model.command()
@click.argument("name", metavar="NAME[:VERSION]", shell_complete=model_names)
@pass_session
def show(session: Session, name: str) -> None:
    """Show a model: where it comes from and how well it did."""
    found = session.client.model(name)
    if session.as_json:
        output.document(output.plain(found))
        return
    click.echo(_tag(found))
    output.facts(_facts(found))
    for control in found.quality_controls:
        click.echo(f"\nQC by job {control.job_id}, {output.when(control.time)}")
        output.facts((name, f"{value:.4g}") for name, value in sorted(control.scores.items()))


def _facts(model: model_pb2.Model) -> Iterator[tuple[str, str]]:
    from dl4mic.parameters import show as show_value

    yield "network", model.network
    yield "project", model.project
    yield "aliases", ", ".join(model.aliases)
    yield "made", output.when(model.create_time)
    yield "origin", _origin(model.record)
    yield "by job", model.job_id
    yield "from", model.parent
    yield "weights", ", ".join(model.weights)
    yield "size", words.size(model.size)
    yield "digest", model.digest
    for name, value in sorted(model.parameters.items()):
        yield name, show_value(value)


def _origin(record: str) -> str:
    """Say what an imported model came in as; nothing of one that was trained here."""
    known = json.loads(record or "{}").get("origin", {})
    return "{file}, imported as {format}".format(**known) if known else ""


@model.command()
@click.argument("name", metavar="NAME:VERSION", shell_complete=model_names)
@click.argument("new_name", metavar="ALIAS")
@pass_session
def alias(session: Session, name: str, new_name: str) -> None:
    """Make ALIAS name this version: NAME:ALIAS, wherever it pointed before."""
    found = session.client.set_alias(name, new_name)
    if session.as_json:
        output.document(output.plain(found))
    else:
        click.echo(f"{found.name}:{new_name} is now {_tag(found)}")


@model.command()
@click.argument("name", metavar="NAME:VERSION", shell_complete=model_names)
@pass_session
def delete(session: Session, name: str) -> None:
    """Delete one version of a model."""
    freed = session.client.delete_model(name)
    if session.as_json:
        output.document({"freed_bytes": freed})
    else:
        click.echo(f"{name} is deleted, {words.size(freed)} freed")

# SPDX-License-Identifier: BSD-3-Clause
"""`dl4mic model import` and `dl4mic model export`: models from other programs, and for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dl4mic_client.cli import output, summary
from dl4mic_client.cli.complete import model_names
from dl4mic_client.cli.follow import conclude, follow, showing_transfers
from dl4mic_client.cli.program import Command, Session, pass_session

if TYPE_CHECKING:
    from dl4mic.v1.parameter_pb2 import ParameterValue
    from dl4mic_client.job import Job

_EXPORT = "export"
"""The part of the job's results that holds the archive."""


@click.command("import", cls=Command)
@click.argument("source", metavar="PATH")
@click.option("--name", required=True, help="Name to give it; its version is the next free one.")
@click.option("--network", default="", help="Needed only where the model does not tell it.")
@click.option("--format", "kind", default="", help="Else the one that it is recognised as.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Repeatable.")
@pass_session
def import_(
    session: Session,
    source: str,
    name: str,
    network: str,
    kind: str,
    assignments: tuple[str, ...],
) -> None:
    """Take in the model that is the folder or ZIP archive PATH, whoever trained it.

    `dl4mic networks NETWORK` lists the formats that a network takes.
    """
    with showing_transfers(session):
        known = network
        if assignments:
            known = session.client.network_to_import(source, network=network, format=kind)
        job = session.client.import_model(
            source,
            model=name,
            network=known,
            format=kind,
            parameters=_parameters(session, assignments, known, "import_model"),
        )
    _see_through(session, job, None)


@click.command(cls=Command)
@click.argument("name", metavar="NAME[:VERSION]", shell_complete=model_names)
@click.option("--out", default=".", metavar="DIR", help="Folder to put the archive into.")
@click.option("--format", "kind", default="", help="Else the model's own folder as it is.")
@click.option("--weights", default="", metavar="best|last|EPOCH", help="Weights of the model.")
@pass_session
def export(session: Session, name: str, out: str, kind: str, weights: str) -> None:
    """Write a model for another program, as a ZIP archive.

    `dl4mic networks NETWORK` lists the formats that a network writes.
    """
    with showing_transfers(session):
        job = session.client.export_model(name, format=kind, weights=weights)
    _see_through(session, job, out)


def _parameters(
    session: Session, assignments: tuple[str, ...], network: str, verb: str
) -> dict[str, ParameterValue]:
    if not assignments:
        return {}
    from dl4mic_client.parameters import from_text

    return from_text(assignments, session.client.network(network), verb)


def _see_through(session: Session, job: Job, out: str | None) -> None:
    follow(session, job)
    job.refresh()
    written: list[Path] = []
    if out is not None and job.state == "SUCCEEDED":
        with showing_transfers(session) as report:
            written = job.download(out, _EXPORT, report)
    if session.as_json:
        job.result()
        files = {"files": [str(each) for each in written]} if written else {}
        output.document({**summary.record(job), **files})
    else:
        summary.conclusion(session, job, written[0] if written else None)
    conclude(job)

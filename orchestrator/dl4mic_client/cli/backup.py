# SPDX-License-Identifier: BSD-3-Clause
"""`dl4mic backup` and `dl4mic restore`: become the administrator's commands of the orchestrator."""

from __future__ import annotations

import click

from dl4mic_client.cli.program import Command, Session, pass_session
from dl4mic_client.cli.serve import become_orchestrator

_workspace = click.option(
    "--workspace", metavar="DIR", envvar="DL4MIC_WORKSPACE", help="Of the server, on this machine."
)

_store = click.option(
    "--store", metavar="URL", help="Its database, where that is no file in the workspace."
)


@click.command(cls=Command)
@click.argument("target", metavar="FILE.tar|DIR")
@_workspace
@_store
@click.option("--with-artifacts", is_flag=True, help="What finished jobs made, too.")
@pass_session
def backup(
    session: Session, target: str, workspace: str | None, store: str | None, with_artifacts: bool
) -> None:
    """Copy jobs' records and models of a server on this machine, while it runs.

    Into a DIR that holds a backup, only models are copied that it does not have yet.
    """
    flags = ["--with-artifacts"] if with_artifacts else []
    become_orchestrator(["backup", target, *flags, *_shared(session, workspace, store)])


@click.command(cls=Command)
@click.argument("source", metavar="FILE.tar|DIR")
@_workspace
@_store
@pass_session
def restore(session: Session, source: str, workspace: str | None, store: str | None) -> None:
    """Make a new workspace of a backup; start a server on it after that.

    Every model is verified. Jobs that were under way go on from their next attempt.
    """
    become_orchestrator(["restore", source, *_shared(session, workspace, store)])


def _shared(session: Session, workspace: str | None, store: str | None) -> list[str]:
    named = {"--workspace": workspace, "--store": store}
    flags = [word for name, value in named.items() if value for word in (name, value)]
    return flags + ["--json"] * session.as_json

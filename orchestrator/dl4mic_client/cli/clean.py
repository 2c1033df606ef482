# SPDX-License-Identifier: BSD-3-Clause
"""`dl4mic clean`: shows what nobody needs any more, asks, and deletes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dl4mic_client import words
from dl4mic_client.cli import output
from dl4mic_client.cli.options import seconds
from dl4mic_client.cli.program import Command, Session, pass_session

if TYPE_CHECKING:
    from dl4mic.v1 import maintenance_pb2
    from dl4mic_client.maintenance_calls import Kind

_KINDS = ("job", "upload", "environment", "leftover")
_MOST_SHOWN = 50


@click.command(cls=Command)
@click.option("--dry-run", is_flag=True, help="Only show what would go.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(_KINDS), help="Only; repeatable.")
@click.option(
    "--older-than",
    metavar="TIME",
    callback=seconds,
    help="Spare what was used since: 12h, 30d; else as the server's retention says.",
)
@pass_session
def clean(
    session: Session, dry_run: bool, yes: bool, kinds: tuple[Kind, ...], older_than: float | None
) -> None:
    """Delete old jobs, uploads, environments and leftovers that nobody needs any more.

    What an open job or a model's lineage needs stays.
    """
    if session.as_json and not (dry_run or yes):
        raise click.UsageError("With --json, say --dry-run or --yes: there is nobody to ask.")
    found = session.client.clean(
        dry_run=not yes or dry_run, kinds=kinds, older_than_seconds=older_than
    )
    if session.as_json:
        output.document(output.plain(found))
        return
    _show(found)
    if dry_run or not found.removal_count:
        return
    if not yes:
        click.confirm("Delete all this?", abort=True)
        found = session.client.clean(kinds=kinds, older_than_seconds=older_than)
    click.echo(f"Deleted {_count(found)}, {words.size(found.freed_bytes)} freed.")


def _show(found: maintenance_pb2.CleanResponse) -> None:
    if not found.removal_count:
        click.echo("There is nothing that nobody needs.")
        return
    output.table(("KIND", "NAME", "SIZE", "LAST USED"), map(_row, found.removals[:_MOST_SHOWN]))
    more = found.removal_count - _MOST_SHOWN
    if more > 0:
        click.echo(f"and {more} more")
    click.echo(f"{_count(found)}, {words.size(found.freed_bytes)} in all")


def _row(removal: maintenance_pb2.Removal) -> tuple[str, ...]:
    from dl4mic.v1.maintenance_pb2 import Removal

    kind = Removal.Kind.Name(removal.kind).lower()
    return (kind, removal.name, words.size(removal.size), output.when(removal.last_use_time))


def _count(found: maintenance_pb2.CleanResponse) -> str:
    return "1 thing" if found.removal_count == 1 else f"{found.removal_count} things"

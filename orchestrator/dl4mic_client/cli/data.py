# SPDX-License-Identifier: BSD-3-Clause
"""`dl4mic data`: files on the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dl4mic_client import words
from dl4mic_client.cli import output
from dl4mic_client.cli.follow import showing_transfers
from dl4mic_client.cli.program import Group, Session, pass_session

if TYPE_CHECKING:
    from dl4mic.v1 import data_pb2
    from dl4mic_client.uses import Use


@click.group(cls=Group)
def data() -> None:
    """Send, fetch, list and delete files on the server."""


@data.command()
@click.argument("folder")
@click.option("--name", default="", help="Name to give it; else it is named after its content.")
@pass_session
def push(session: Session, folder: str, name: str) -> None:
    """Send a folder (or file) and print its location, to be used as --source or --target."""
    with showing_transfers(session):
        location = session.client.push(folder, name)
    if session.as_json:
        output.document({"location": location})
    else:
        click.echo(location)


@data.command()
@click.argument("location")
@click.argument("folder")
@pass_session
def pull(session: Session, location: str, folder: str) -> None:
    """Fetch the files below a location into a folder."""
    with showing_transfers(session):
        written = session.client.pull(location, folder)
    if session.as_json:
        output.document({"files": [str(path) for path in written]})
    else:
        click.echo(f"{words.counted(len(written), 'files')} in {folder}")


@data.command("list")
@click.argument("location", default="uploads:")
@click.option("--sha256", is_flag=True, help="Show each file's checksum (reads every file).")
@pass_session
def list_(session: Session, location: str, sha256: bool) -> None:
    """List the files below a location (all uploads where none is given), and who uses them."""
    from dl4mic_client.uses import uses_of_data

    entries = session.client.list_data(location, with_sha256=sha256)
    uses = uses_of_data(session.client)
    listed = [(each, _users(uses, each.location)) for each in entries]
    if session.as_json:
        output.document(
            {"entries": [{**output.plain(each), "used_by": users} for each, users in listed]}
        )
        return
    heads = ("LOCATION", "SIZE", "CHANGED", "USED BY", "SHA-256" if sha256 else "")
    output.table(heads, (_row(each, users) for each, users in listed))
    if entries:
        total = words.size(sum(each.size for each in entries))
        click.echo(f"{words.counted(len(entries), 'files')}, {total} in all")


def _row(entry: data_pb2.DataEntry, users: list[str]) -> tuple[str, ...]:
    size = words.size(entry.size) + ("" if entry.complete else ", unfinished")
    changed = output.when(entry.modify_time)
    return (entry.location, size, changed, ", ".join(users), entry.sha256)


def _users(uses: list[Use], location: str) -> list[str]:
    return list(dict.fromkeys(use.user for use in uses if use.concerns(location)))


@data.command()
@click.argument("location")
@pass_session
def delete(session: Session, location: str) -> None:
    """Delete an uploaded file or folder that no open job reads.

    Models that were trained on it stay, and keep the fingerprints of its files in their record.
    """
    from dl4mic_client.uses import uses_of_data

    users = _users(uses_of_data(session.client), location)
    answer = session.client.delete_data(location)
    models = [user.removeprefix("model ") for user in users if user.startswith("model ")]
    if session.as_json:
        output.document({**output.plain(answer), "models": models})
        return
    files = words.counted(answer.deleted_files, "files")
    click.echo(f"{files}, {words.size(answer.freed_bytes)} freed")
    if models:
        click.echo(f"Trained on it, and still there: {', '.join(models)}")

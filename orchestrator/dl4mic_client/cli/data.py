# SPDX-License-Identifier: BSD-3-Clause
"""`dl4mic data`: files on the server."""

from __future__ import annotations

import click

from dl4mic_client import words
from dl4mic_client.cli import output
from dl4mic_client.cli.follow import showing_transfers
from dl4mic_client.cli.program import Group, Session, pass_session


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
    """List the files below a location (all uploads where none is given)."""
    entries = session.client.list_data(location, with_sha256=sha256)
    if session.as_json:
        output.document({"entries": [output.plain(each) for each in entries]})
        return
    rows = (
        (
            each.location,
            words.size(each.size) + ("" if each.complete else ", unfinished"),
            output.when(each.modify_time),
            each.sha256,
        )
        for each in entries
    )
    output.table(("LOCATION", "SIZE", "CHANGED", "SHA-256" if sha256 else ""), rows)


@data.command()
@click.argument("location")
@pass_session
def delete(session: Session, location: str) -> None:
    """Delete an uploaded file or folder."""
    answer = session.client.delete_data(location)
    if session.as_json:
        output.document(output.plain(answer))
    else:
        files = words.counted(answer.deleted_files, "files")
        click.echo(f"{files}, {words.size(answer.freed_bytes)} freed")

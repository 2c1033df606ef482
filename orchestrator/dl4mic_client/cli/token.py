# SPDX-License-Identifier: BSD-3-Clause
"""`dl4mic token`: makes a token for somebody, and the line by which a server knows it."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

import click

from dl4mic_client.cli import output
from dl4mic_client.cli.program import Command, Session, pass_session
from dl4mic_client.errors import Refused, TransferFault

_BYTES = 32
_MINE_ALONE = 0o600


@click.command(cls=Command)
@click.argument("name")
@click.option("--project", default="*", help="The only one that it is for; else it is for any.")
@click.option("--tokens", metavar="FILE", help="Add the line to this file of a server's tokens.")
@pass_session
def token(session: Session, name: str, project: str, tokens: str | None) -> None:
    """Make a token by which a server knows NAME.

    It is shown once and kept nowhere: a server is given the line with its hash, in the FILE of
    `dl4mic serve --tokens FILE`. NAME sets DL4MIC_TOKEN, or DL4MIC_TOKEN_FILE, to the token.
    """
    _check(name, "NAME")
    if project != "*":
        _check(project, "--project")
    made = secrets.token_urlsafe(_BYTES)
    line = f"{name} {project} sha256:{hashlib.sha256(made.encode()).hexdigest()}"
    if tokens:
        _add(Path(tokens), line)
    if session.as_json:
        output.document({"token": made, "line": line})
        return
    click.echo(made)
    if not tokens:
        click.echo(f"The line for the server's file of tokens:\n{line}", err=True)


def _check(text: str, field: str) -> None:
    from dl4mic.check import NAME, NAME_FORM  # protobuf: a help text must not wait for it

    if not NAME.fullmatch(text):
        raise Refused(f"{field} {text!r} is no name.", f"Write {NAME_FORM}.")


def _add(path: Path, line: str) -> None:
    try:
        known = path.read_text(encoding="utf-8") if path.exists() else ""
        gap = "\n" if known and not known.endswith("\n") else ""
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, _MINE_ALONE)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(f"{gap}{line}\n")
    except OSError as error:
        raise TransferFault(f"{path} cannot be written: {error.strerror}.") from error

# SPDX-License-Identifier: BSD-3-Clause
"""`dl4mic doctor`: looks at this machine and the server, and says what to do."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dl4mic_client import words
from dl4mic_client.cli import output
from dl4mic_client.cli.exit_codes import ExitCode
from dl4mic_client.cli.program import Command, Session, pass_session
from dl4mic_client.errors import ClientError, Unsupported

if TYPE_CHECKING:
    from dl4mic.v1.maintenance_pb2 import Finding

_LEAST_FREE_BYTES = 5 << 30
"""A network's environment takes 1 to 3 GB, its training about as much."""


@click.command(cls=Command)
@pass_session
@click.pass_context
def doctor(ctx: click.Context, session: Session) -> None:
    """Look for what keeps jobs from running, here and at the server, and say what to do."""
    found = [*_here(session), *_there(session)]
    if session.as_json:
        output.document({"findings": [output.plain(each) for each in found]})
    else:
        _show(found)
    if any(each.level == each.FAULT for each in found):
        ctx.exit(ExitCode.FAULT_FOUND)


def _show(found: list[Finding]) -> None:
    marks = {1: "ok", 2: "caution", 3: "FAULT"}
    width = max(len(each.subject) for each in found)
    for each in found:
        click.echo(f"{marks[each.level]:8}{each.subject.ljust(width)}  {each.message}")
        if each.hint:
            click.echo(f"{'':8}{'':{width}}  {each.hint}")


def _finding(subject: str, message: str, level: str = "GOOD", hint: str = "") -> Finding:
    from dl4mic.v1.maintenance_pb2 import Finding

    return Finding(subject=subject, level=level, message=message, hint=hint)


def _here(session: Session) -> Iterator[Finding]:
    """Look at what the client itself needs; with an embedded server, at what that one needs to start."""
    yield _finding("client", f"dl4mic on Python {platform.python_version()}, {platform.platform()}")
    if session.server or os.environ.get("DL4MIC_SERVER"):
        return
    from dl4mic_client.embedded import workspace_folder

    workspace = workspace_folder()
    yield _workspace(workspace)
    if importlib.util.find_spec("dl4mic_orchestrator") is None:
        message = "no server is named, and none is installed here to be started"
        hint = "Install dl4mic[server], or name a server with --server or DL4MIC_SERVER."
        yield _finding("embedded server", message, "FAULT", hint)


def _workspace(workspace: Path) -> Finding:
    place = next(each for each in (workspace, *workspace.parents) if each.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        hint = "Set DL4MIC_WORKSPACE to a folder that you may write to."
        return _finding("workspace", f"{place} cannot be written to", "FAULT", hint)
    free = shutil.disk_usage(place).free
    message = f"{workspace}, {words.size(free)} free"
    if free < _LEAST_FREE_BYTES:
        hint = "A network and its training take several GB: free some space."
        return _finding("workspace", message, "CAUTION", hint)
    return _finding("workspace", message)


def _there(session: Session) -> Iterator[Finding]:
    """Reach the server, and ask it."""
    try:
        client = session.client
        found = client.diagnose()
    except Unsupported:
        hint = "Look at its machine there, or use an orchestrator (dl4mic serve)."
        message = "a single service answers; it does not look at itself"
        yield _finding("server", message, "CAUTION", hint)
    except ClientError as error:
        yield _finding("server", error.message, "FAULT", error.hint)
    else:
        yield _finding("server", f"{client.server} answers")
        yield from found

# SPDX-License-Identifier: BSD-3-Clause
"""`dl4mic serve`: becomes the orchestrator."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from dl4mic_client.errors import Unreachable


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.option("--listen", metavar="HOST:PORT", help="Listen on TCP, e.g. localhost:50051.")
@click.option("--socket", metavar="PATH", help="Listen on a Unix socket instead.")
@click.option("--workspace", metavar="DIR", envvar="DL4MIC_WORKSPACE", help="Where its files lie.")
@click.option("--services", metavar="DIR", envvar="DL4MIC_SERVICES", help="Where the networks lie.")
@click.pass_context
def serve(ctx: click.Context, /, **options: str | None) -> None:
    """Serve the orchestrator here until it is interrupted.

    Further options are those of `python -m dl4mic_orchestrator --help`.
    """
    flags = [word for name, value in options.items() if value for word in (f"--{name}", value)]
    become_orchestrator([*flags, *ctx.args])


def become_orchestrator(arguments: Sequence[str]) -> NoReturn:
    """Replace this process by the orchestrator's program."""
    if importlib.util.find_spec("dl4mic_orchestrator") is None:
        raise Unreachable("The orchestrator is not installed here.", "Install dl4mic[server].")
    command = [sys.executable, "-m", "dl4mic_orchestrator", *arguments]
    os.execv(sys.executable, command)  # noqa: S606  # no shell is what we want

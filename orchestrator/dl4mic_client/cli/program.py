# SPDX-License-Identifier: BSD-3-Clause
"""The program: which server a command talks to, how it answers, and how errors reach the user."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from dl4mic_client.cli import output
from dl4mic_client.cli.exit_codes import ExitCode, code_of, epilog
from dl4mic_client.errors import ClientError

if TYPE_CHECKING:
    from dl4mic_client.client import Client


@dataclass
class Session:
    """What holds for one run of the program.

    Attributes
    ----------
    server : str
        As given by --server; empty where the environment decides.
    as_json : bool
        Answers are JSON.
    """

    server: str = ""
    as_json: bool = False

    @cached_property
    def client(self) -> Client:
        """The client, connected at first use."""
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # its notes would break up the bar
        from dl4mic_client.client import connect  # gRPC: a help text must not wait for it

        return connect(self.server or None)

    @property
    def again(self) -> str:
        """What to add to a suggested command so that it talks to the same server."""
        return f" --server {self.server}" if self.server else ""


class Command(click.Command):
    """A command with the options that all have: --server and --json."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params += [_server_option(), _json_option()]


class Group(click.Group):
    """A group whose commands have the options that all have."""

    command_class = Command


class Program(Group):
    """The outermost group: it alone turns errors into words and exit codes."""

    group_class = Group

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params += [_server_option(), _json_option()]

    def make_context(self, *arguments: Any, **settings: Any) -> click.Context:
        """Begin a run with a session of its own."""
        return super().make_context(*arguments, obj=Session(), **settings)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except ClientError as error:
            output.error(error, as_json=ctx.obj.as_json)
            ctx.exit(code_of(error))
        except KeyboardInterrupt:
            ctx.exit(ExitCode.INTERRUPTED)


def _server_option() -> click.Option:
    return click.Option(
        ["--server"],
        metavar="ADDRESS",
        expose_value=False,
        callback=_set_server,
        help="HOST:PORT or unix:///path; else DL4MIC_SERVER, else your own embedded server.",
    )


def _json_option() -> click.Option:
    return click.Option(
        ["--json"],
        is_flag=True,
        expose_value=False,
        callback=_set_json,
        help="Answer in JSON (the contract's messages in protobuf's JSON form).",
    )


def _set_server(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
    if value:
        ctx.ensure_object(Session).server = value


def _set_json(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    ctx.ensure_object(Session).as_json |= value


def _print_version(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import PackageNotFoundError, version

        try:
            click.echo(f"dl4mic {version('dl4mic')}")
        except PackageNotFoundError:
            click.echo("dl4mic, not installed as a package")
        ctx.exit()


@click.group(
    name="dl4mic",
    cls=Program,
    epilog=epilog(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version and exit.",
)
def program() -> None:
    """Train, score and apply deep-learning networks for microscopy.

    \b
      dl4mic train NETWORK --source IMAGES --target MASKS --model nuclei
      dl4mic qc nuclei --source TEST_IMAGES --target TEST_MASKS
      dl4mic predict nuclei --source IMAGES --out RESULTS

    To try a network on its example data: dl4mic example NETWORK DIR

    Without a server being named, commands use your own embedded one, which starts when it is
    needed and ends a minute after its last job.
    """  # noqa: D301  # click reads the real character: keep these lines as they are


pass_session = click.make_pass_decorator(Session)
"""Gives a command's function the `Session` as its first argument."""

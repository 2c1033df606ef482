# SPDX-License-Identifier: BSD-3-Clause
"""Completion in the shell: the scripts, and the names that the server knows, quickly or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

from dl4mic_client.cli.program import Command, Session, program

if TYPE_CHECKING:
    from dl4mic_client.address import Address
    from dl4mic_client.connection import Connection

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

_TIMEOUT_SECONDS = 1.0
"""A person who pressed the tabulator does not wait for longer."""

_MOST = 100
_VARIABLE = "_DL4MIC_COMPLETE"


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh"]))
def completion(shell: str) -> None:
    """Print the script that completes commands, options, networks, models and jobs in SHELL.

    \b
      eval "$(dl4mic completion bash)"     in ~/.bashrc
      eval "$(dl4mic completion zsh)"      in ~/.zshrc, below compinit
    """  # noqa: D301  # click reads the real character: keep these lines as they are
    kind = get_completion_class(shell)
    if kind is not None:
        click.echo(kind(program, {}, "dl4mic", _VARIABLE).source())


def _networks(connection: Connection) -> Iterable[tuple[str, str]]:
    from dl4mic.v1.catalog_pb2 import ListNetworksRequest

    request = ListNetworksRequest(page_size=_MOST)
    answer = connection.call(connection.catalog.ListNetworks, request, _TIMEOUT_SECONDS)
    return [(each.name, each.title) for each in answer.networks]


def _models(connection: Connection) -> Iterable[tuple[str, str]]:
    from dl4mic.v1.model_pb2 import ListModelsRequest

    request = ListModelsRequest(page_size=_MOST)
    answer = connection.call(connection.models.ListModels, request, _TIMEOUT_SECONDS)
    versions = [(f"{each.name}:{each.version}", each.network) for each in answer.models]
    return [*{each.name: (each.name, each.network) for each in answer.models}.values(), *versions]


def _jobs(connection: Connection) -> Iterable[tuple[str, str]]:
    from dl4mic.v1.job_pb2 import Job, ListJobsRequest

    request = ListJobsRequest(page_size=_MOST)
    answer = connection.call(connection.jobs.ListJobs, request, _TIMEOUT_SECONDS)
    return [(each.id, Job.State.Name(each.state).lower()) for each in answer.jobs]


def _completer(listed: Callable[[Connection], Iterable[tuple[str, str]]]) -> Completer:
    def complete(
        ctx: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        try:
            found = _ask(ctx.ensure_object(Session).server, listed)
        except Exception:  # no words of ours may come between a person and the line being typed
            return []
        return [
            CompletionItem(name, help=about) for name, about in found if name.startswith(incomplete)
        ]

    return complete


def _ask(
    server: str, listed: Callable[[Connection], Iterable[tuple[str, str]]]
) -> Iterable[tuple[str, str]]:
    """Ask a server that runs; the embedded one is not started for this."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from dl4mic_client import address as addresses
    from dl4mic_client.connection import Connection

    text = server or os.environ.get("DL4MIC_SERVER", "")
    connection = Connection(addresses.parse(text) if text else _embedded())
    try:
        return listed(connection)
    finally:
        connection.close()


def _embedded() -> Address:
    from dl4mic_client.embedded import Embedded

    return Embedded.of_environment().address


network_names = _completer(_networks)
model_names = _completer(_models)
job_ids = _completer(_jobs)

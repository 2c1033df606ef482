# SPDX-License-Identifier: BSD-3-Clause
"""`dl4mic example`: a network's example data, and the commands to try it with."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dl4mic_client import words
from dl4mic_client.cli import output
from dl4mic_client.cli.complete import network_names
from dl4mic_client.cli.follow import showing_transfers
from dl4mic_client.cli.program import Command, Session, pass_session

if TYPE_CHECKING:
    from dl4mic.v1.network_pb2 import Network

_MODEL = "example"
_QUICK = "quick"


@click.command(cls=Command)
@click.argument("network", shell_complete=network_names)
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False))
@pass_session
def example(session: Session, network: str, folder: str) -> None:
    """Write NETWORK's example data into the new folder DIR, and print the commands to try it with."""
    with showing_transfers(session):
        written = session.client.example(network, folder)
    commands = list(_commands(session, session.client.network(network), Path(folder)))
    if session.as_json:
        output.document({"files": [str(path) for path in written], "commands": commands})
        return
    click.echo(f"{words.counted(len(written), 'files')} in {folder}. Try:")
    for command in commands:
        click.echo(f"  {command}")
    click.echo("The last one alone does what the others do.")


def _commands(session: Session, network: Network, folder: Path) -> Iterator[str]:
    """Yield commands that train, score and apply the network on what its example has."""
    train, test = (_options(folder / part, "") for part in ("train", "test"))
    preset = ["--preset", _QUICK] if any(each.name == _QUICK for each in network.presets) else []
    begin = [network.name, *train, "--model", _MODEL, *preset]
    images = folder / "predict"
    yield _line(session, "train", *begin)
    if test:
        yield _line(session, "qc", _MODEL, *test, "--out", str(folder / "qc"))
    if images.exists():
        found = ["--source", str(images), "--out", str(folder / "predictions")]
        yield _line(session, "predict", _MODEL, *found)
    apply = ["--predict", str(images)] if images.exists() else []
    tested = _options(folder / "test", "test-")
    yield _line(session, "run", *begin, *tested, *apply, "--out", str(folder / "results"))


def _options(folder: Path, prefix: str) -> list[str]:
    """Name the images and the targets that there are."""
    there = [name for name in ("source", "target") if (folder / name).exists()]
    return [part for name in there for part in (f"--{prefix}{name}", str(folder / name))]


def _line(session: Session, *parts: str) -> str:
    return shlex.join(["dl4mic", *parts]) + session.again

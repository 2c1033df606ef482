# SPDX-License-Identifier: BSD-3-Clause
"""`dl4mic networks` and `dl4mic nodes`: what the server has."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import click

from dl4mic_client.cli import output
from dl4mic_client.cli.complete import network_names
from dl4mic_client.cli.program import Command, Session, pass_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dl4mic.v1 import catalog_pb2, network_pb2, parameter_pb2

_WIDTH = 96
_INDENT = "      "
_GIB = 1 << 30


@click.command(cls=Command)
@click.argument("name", required=False, shell_complete=network_names)
@click.option("--advanced", is_flag=True, help="Show the advanced parameters too.")
@pass_session
def networks(session: Session, name: str | None, advanced: bool) -> None:
    """List the networks, or describe one: its parameters, presets and citation."""
    if name:
        _one(session, name, advanced)
        return
    found = session.client.networks()
    if session.as_json:
        output.document({"networks": [output.plain(each) for each in found]})
        return
    rows = ((each.name, each.task, "/".join(each.axes), each.title) for each in found)
    output.table(("NETWORK", "TASK", "AXES", "TITLE"), rows)
    click.echo(f"\nMore about one: dl4mic networks NAME{session.again}")


def _one(session: Session, name: str, advanced: bool) -> None:
    network = session.client.network(name)
    if session.as_json:
        output.document(output.plain(network))
        return
    click.echo(f"{network.name}: {network.title}\n")
    click.echo(textwrap.fill(network.summary, _WIDTH) + "\n")
    output.facts(_facts(network))
    _presets(network)
    _parameters(network, advanced)
    for citation in network.citations:
        click.echo(textwrap.fill(f"Cite: {citation.text} {citation.doi}".strip(), _WIDTH))


def _facts(network: network_pb2.Network) -> Iterator[tuple[str, str]]:
    from dl4mic.check import words_of
    from dl4mic.v1.network_pb2 import Resources

    needs = network.resources
    yield "task", network.task
    yield "learns from", words_of(network.supervision) if network.supervision else ""
    yield "axes", ", ".join(network.axes)
    yield "GPU", Resources.Gpu.Name(needs.gpu).lower() if needs.gpu else ""
    yield "memory", f"{needs.memory_bytes / _GIB:.3g} GiB" if needs.memory_bytes else ""
    yield "service", f"{network.service} {network.version}".strip()
    yield "imports", ", ".join(["dl4mic", *(e.name for e in network.model_formats if e.imported)])
    yield "exports", ", ".join(["dl4mic", *(e.name for e in network.model_formats if e.exported)])
    yield "licence", network.licence


def _presets(network: network_pb2.Network) -> None:
    if network.presets:
        click.echo("\nPresets (--preset NAME)")
    for preset in network.presets:
        click.echo(f"  {preset.name}")
        _paragraph(preset.help)


def _parameters(network: network_pb2.Network, advanced: bool) -> None:
    shown = [each for each in network.parameters if advanced or not each.advanced]
    click.echo("\nParameters (--set NAME=VALUE)")
    for parameter in shown:
        _parameter(parameter)
    hidden = len(network.parameters) - len(shown)
    if hidden:
        click.echo(f"\n{hidden} advanced parameters are not shown; --advanced shows them.")
    click.echo()


def _parameter(parameter: parameter_pb2.Parameter) -> None:
    from dl4mic.parameters import allowed_range, show
    from dl4mic.v1.parameter_pb2 import Parameter

    default = "chosen from the data"
    if parameter.HasField("default_value"):
        default = f"{show(parameter.default_value)} {parameter.unit}".strip()
    verbs = ", ".join(Parameter.Verb.Name(verb).lower() for verb in parameter.verbs)
    click.echo(f"  {parameter.name}  [{default}]  ({verbs})")
    _paragraph(f"{parameter.help} Takes {allowed_range(parameter)}.".strip())


def _paragraph(text: str) -> None:
    if text:
        click.echo(textwrap.fill(text, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT))


@click.command(cls=Command)
@pass_session
def nodes(session: Session) -> None:
    """List what jobs run on, and the services that run now."""
    places, running = session.client.nodes(), session.client.instances()
    if session.as_json:
        output.document(
            {
                "nodes": [output.plain(each) for each in places],
                "instances": [output.plain(each) for each in running],
            }
        )
        return
    output.table(("NODE", "GPUS FREE", "CPUS FREE", "MEMORY FREE"), map(_node, places))
    if running:
        click.echo()
    heads = ("INSTANCE", "SERVICE", "STATE", "JOB", "DEVICES", "PLACE")
    output.table(heads, map(_instance, running))


def _node(node: catalog_pb2.Node) -> tuple[str, ...]:
    free, whole = node.free_memory_bytes / _GIB, node.memory_bytes / _GIB
    return (
        node.name,
        f"{node.free_gpus} of {node.gpus}",
        f"{node.free_cpus:g} of {node.cpus:g}",
        f"{free:.3g} of {whole:.3g} GiB",
    )


def _instance(instance: catalog_pb2.Instance) -> tuple[str, ...]:
    from dl4mic.v1.catalog_pb2 import Instance

    state = Instance.State.Name(instance.state).lower()
    devices = ", ".join(instance.devices)
    return (instance.id, instance.service, state, instance.job_id, devices, instance.place)

# SPDX-License-Identifier: BSD-3-Clause
"""`dl4mic run`: a training, the control of its quality and a prediction, sent and followed as one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dl4mic_client.cli import output, summary
from dl4mic_client.cli.complete import model_names, network_names
from dl4mic_client.cli.exit_codes import ExitCode, code_of
from dl4mic_client.cli.follow import follow_all, showing_transfers
from dl4mic_client.cli.options import Order, image_options, job_options
from dl4mic_client.cli.program import Command, Session, pass_session
from dl4mic_client.cli.submit import refuse_overwriting
from dl4mic_client.errors import JobEnded, NotFound

if TYPE_CHECKING:
    from dl4mic_client.job import Job
    from dl4mic_client.run import Run

_OF_TRAINING = ("report.pdf", "training.csv", "training.json")
"""What is fetched of a training: the model stays on the server, where predictions use it."""

_FOLDERS = {"train": "training", "qc": "qc", "predict": "predictions"}


@click.command(cls=Command)
@click.argument("network", shell_complete=network_names)
@image_options
@click.option("--target", metavar="DIR", help="What the network shall learn from the images.")
@click.option("--test-source", metavar="DIR", help="Images to score the model on.")
@click.option("--test-target", metavar="DIR", help="The truth for these images.")
@click.option("--predict", "images", metavar="DIR", help="Images to apply the model to.")
@click.option("--model", default="", metavar="NAME", help="Name of the model; else the network's.")
@click.option("--preset", default="", help="Named set of parameters of the network.")
@click.option(
    "--from",
    "parent",
    metavar="MODEL",
    shell_complete=model_names,
    help="Start from this model's weights.",
)
@job_options
@pass_session
def run(
    session: Session,
    network: str,
    source: str,
    axes: str,
    target: str | None,
    test_source: str | None,
    test_target: str | None,
    images: str | None,
    model: str,
    preset: str,
    parent: str | None,
    order: Order,
) -> None:
    """Train NETWORK, score the model on test images, and apply it to others, in one go."""
    refuse_overwriting(order.out, source, target, test_source, test_target, images)
    with showing_transfers(session):
        sent = session.client.run(
            network,
            source=source,
            target=target,
            test_source=test_source,
            test_target=test_target,
            predict=images,
            model=model,
            axes=axes,
            preset=preset,
            parent=parent,
            weights=order.weights,
            options=order.options,
            parameters=_parameters(session, order, network),
        )
    if order.detach:
        _announce(session, sent)
        return
    follow_all(session, sent.jobs)
    _conclude(session, sent, order.out)


def _parameters(session: Session, order: Order, network: str) -> dict[str, Any]:
    if not order.assignments:
        return {}
    from dl4mic_client.parameters import from_text

    described = session.client.network(network)
    return dict(from_text(order.assignments, described, "train", "qc", "predict"))


def _announce(session: Session, sent: Run) -> None:
    if session.as_json:
        output.document({verb: output.plain(job.record) for verb, job in _named(sent)})
        return
    for verb, job in _named(sent):
        click.echo(f"Job {job.id} is accepted: {verb}.")
    click.echo(f"Watch one:         dl4mic job watch {sent.train.id}{session.again}")
    last = sent.jobs[-1].id
    click.echo(f"Fetch its results: dl4mic job download {last} --out DIR{session.again}")


def _conclude(session: Session, sent: Run, out: str) -> None:
    """Fetch what has succeeded, say what came of each job, and end with the first failure's code."""
    for job in sent.jobs:
        job.refresh()
    places = {verb: _fetch(session, verb, job, out) for verb, job in _named(sent)}
    fault = _first_fault(sent)
    if session.as_json:
        document = {verb: summary.record(job) for verb, job in _named(sent)}
        output.document(document if fault is None else document | output.plain_error(fault))
    else:
        for verb, job in _named(sent):
            summary.conclusion(session, job, places[verb], hints=False)
        if fault is not None:
            output.error(fault, as_json=False)
    code = ExitCode.OK if fault is None else code_of(fault)
    if code == ExitCode.OK and sent.predict and sent.predict.record.progress.failed:
        code = ExitCode.SOME_FILES_FAILED
    click.get_current_context().exit(code)


def _named(sent: Run) -> list[tuple[str, Job]]:
    return [(job.record.WhichOneof("request") or "", job) for job in sent.jobs]


def _first_fault(sent: Run) -> JobEnded | None:
    for job in sent.jobs:
        try:
            job.result()
        except JobEnded as fault:
            return fault
    return None


def _fetch(session: Session, verb: str, job: Job, out: str) -> Path | None:
    if not out or job.state != "SUCCEEDED":
        return None
    folder = Path(out, _FOLDERS[verb])
    parts = {"train": _OF_TRAINING, "predict": ("predictions",)}.get(verb, ("",))
    with showing_transfers(session) as report:
        for part in parts:
            with suppress(NotFound):  # a network may leave less
                job.download(folder, part, report)
    return folder

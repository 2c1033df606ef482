# SPDX-License-Identifier: BSD-3-Clause
"""`dl4mic train`, `qc` and `predict`: send a job, follow it, and say what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dl4mic_client.cli import output, summary
from dl4mic_client.cli.complete import model_names, network_names
from dl4mic_client.cli.follow import conclude, follow, showing_transfers
from dl4mic_client.cli.options import (
    Order,
    image_options,
    job_options,
    optional_image_options,
)
from dl4mic_client.cli.program import Command, Session, pass_session
from dl4mic_client.errors import Refused

if TYPE_CHECKING:
    from dl4mic.v1.parameter_pb2 import ParameterValue
    from dl4mic_client.job import Job

_UNNAMED = "dry-run"
"""Stands for the name of a model that a dry run will not make."""


@click.command(cls=Command)
@click.argument("network", shell_complete=network_names)
@image_options
@click.option("--target", metavar="DIR", help="What the network shall learn from the images.")
@click.option("--validation-source", metavar="DIR", help="Images to validate on; else a part.")
@click.option("--validation-target", metavar="DIR", help="Their targets.")
@click.option("--class-name", multiple=True, help="Name of a class, in order; repeatable.")
@click.option("--model", default="", metavar="NAME", help="Name of the model to make.")
@click.option("--preset", default="", help="Named set of parameters of the network.")
@click.option(
    "--from",
    "parent",
    metavar="MODEL",
    shell_complete=model_names,
    help="Start from this model's weights.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be trained, and what it takes.")
@job_options
@pass_session
def train(
    session: Session,
    network: str,
    source: str,
    axes: str,
    target: str | None,
    validation_source: str | None,
    validation_target: str | None,
    class_name: tuple[str, ...],
    model: str,
    preset: str,
    parent: str | None,
    dry_run: bool,
    order: Order,
) -> None:
    """Train NETWORK on images (and targets) and make a model."""
    if not (model or dry_run):
        raise click.UsageError("Missing option '--model': name the model to make.")
    refuse_overwriting(order.out, source, target)
    with showing_transfers(session):
        job = session.client.train(
            network,
            source=source,
            target=target,
            validation_source=validation_source,
            validation_target=validation_target,
            axes=axes,
            class_names=class_name,
            model=model or _UNNAMED,
            preset=preset,
            parent=parent,
            weights=order.weights,
            dry_run=dry_run,
            options=order.options,
            parameters=_parameters(session, order, network, "train"),
        )
    _see_through(session, job, order)


@click.command(cls=Command)
@click.argument("models", nargs=-1, metavar="[MODEL]...", shell_complete=model_names)
@optional_image_options
@click.option("--target", metavar="DIR", help="The truth for these images.")
@click.option("--prediction", metavar="DIR", help="Score these, made by whatever, and no model.")
@click.option("--task", default="", help="What they are: 'instance segmentation'.")
@click.option("--class-name", multiple=True, help="Name of a class, in order; repeatable.")
@click.option("--network", default="", help="Needed only where the model does not tell it.")
@job_options
@pass_session
def qc(
    session: Session,
    models: tuple[str, ...],
    source: str | None,
    axes: str,
    target: str | None,
    prediction: str | None,
    task: str,
    class_name: tuple[str, ...],
    network: str,
    order: Order,
) -> None:
    """Score MODELs on images whose truth is known and that they never saw, and rank them.

    \b
      dl4mic qc nuclei --source IMAGES --target MASKS
      dl4mic qc nuclei:1 nuclei:2 --source IMAGES --target MASKS
      dl4mic qc nuclei --weights all --source IMAGES --target MASKS
      dl4mic qc --prediction LABELS --target MASKS --task "instance segmentation"
    """  # noqa: D301  # click reads the real character: keep these lines as they are
    _refuse_unclear(models, source, target, prediction, task, order)
    refuse_overwriting(order.out, source, target, prediction)
    with showing_transfers(session):
        if prediction:
            job = session.client.qc_predictions(
                prediction,
                target=target or "",
                source=source,
                task=task,
                network=network,
                axes=axes,
                options=order.options,
            )
        else:
            job = session.client.qc(
                *models,
                source=source or "",
                target=target,
                network=network,
                axes=axes,
                class_names=class_name,
                weights=order.weights,
                options=order.options,
                parameters=_parameters_of_model(session, order, network, models[0], "qc"),
            )
    _see_through(session, job, order)


@click.command(cls=Command)
@click.argument("model", shell_complete=model_names)
@image_options
@click.option("--network", default="", help="Needed only where the model does not tell it.")
@job_options
@pass_session
def predict(
    session: Session, model: str, source: str, axes: str, network: str, order: Order
) -> None:
    """Apply MODEL to a folder of images."""
    refuse_overwriting(order.out, source, None)
    with showing_transfers(session):
        job = session.client.predict(
            model,
            source=source,
            network=network,
            axes=axes,
            weights=order.weights,
            options=order.options,
            parameters=_parameters_of_model(session, order, network, model, "predict"),
        )
    _see_through(session, job, order)


def _refuse_unclear(
    models: tuple[str, ...],
    source: str | None,
    target: str | None,
    prediction: str | None,
    task: str,
    order: Order,
) -> None:
    """Refuse what does not go together before anything is sent."""
    if bool(models) == bool(prediction):
        raise click.UsageError("Name the models to score, or finished predictions by --prediction.")
    if models and not source:
        raise click.UsageError("Missing option '--source': the images to score on.")
    if prediction and not target:
        raise click.UsageError("Missing option '--target': the truth for the predictions.")
    if models and task:
        raise click.UsageError("--task goes with --prediction; a model knows its task.")
    if prediction and (order.assignments or order.weights):
        raise click.UsageError("--set and --weights go with a model, not with --prediction.")


def _parameters(
    session: Session, order: Order, network: str, verb: str
) -> dict[str, ParameterValue]:
    if not order.assignments:
        return {}
    from dl4mic_client.parameters import from_text

    described = session.client.network(network)
    return from_text(order.assignments, described, verb)


def _parameters_of_model(
    session: Session, order: Order, network: str, model: str, verb: str
) -> dict[str, ParameterValue]:
    if not order.assignments:
        return {}
    return _parameters(session, order, network or session.client.network_of(model), verb)


def refuse_overwriting(out: str, *inputs: str | None) -> None:
    """Refuse to write results over the images: they are named like those that they are made from."""
    for place in inputs:
        if out and place and Path(out).absolute() == Path(place).absolute():
            raise Refused(
                f"--out: the results would be written over {place!r}.", "Name another folder."
            )


def _see_through(session: Session, job: Job, order: Order) -> None:
    if order.detach:
        _announce(session, job)
        return
    follow(session, job)
    written = _fetch(session, job.refresh(), order.out)
    if session.as_json:
        job.result()
        output.document(summary.record(job))
    else:
        summary.conclusion(session, job, written)
    conclude(job)


def _announce(session: Session, job: Job) -> None:
    if session.as_json:
        output.document({"job": output.plain(job.record)})
        return
    click.echo(f"Job {job.id} is accepted.")
    click.echo(f"Watch it:          dl4mic job watch {job.id}{session.again}")
    click.echo(f"Fetch its results: dl4mic job download {job.id} --out DIR{session.again}")


def _fetch(session: Session, job: Job, out: str) -> Path | None:
    """Put an ended job's results into the folder; of a prediction, the images directly."""
    if not out or job.state != "SUCCEEDED":
        return None
    part = "predictions" if job.record.WhichOneof("request") == "predict" else ""
    with showing_transfers(session) as report:
        job.download(out, part, report)
    return Path(out)

# SPDX-License-Identifier: BSD-3-Clause
"""What a job is, and what came of it: where the results lie, the scores, what to do next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dl4mic_client import words
from dl4mic_client.cli import dry_run, output, scores
from dl4mic_client.cli.program import Session
from dl4mic_client.errors import Unsupported

if TYPE_CHECKING:
    from dl4mic.v1 import job_pb2
    from dl4mic_client.job import Job

_SCORES = "qc.json"
_TRIAL = "dry-run.json"
_MOST_WARNINGS = 10
_LONGEST = 60
_KINDS = {
    "model": "model files",
    "report.pdf": "report",
    "qc.csv": "scores",
    "panels": "pictures",
    "predictions": "results",
    "examples.png": "examples",
}


def about(job: Job) -> str:
    """Say in a few words what is to be said of a job in a list."""
    record = job.record
    if record.state == record.FAILED:
        return words.clip(record.error.message, _LONGEST)
    if not job.has_ended and record.waiting_reason:
        return words.clip(record.waiting_reason, _LONGEST)
    if record.state == record.RUNNING and record.progress.total:
        progress = record.progress
        return f"{progress.phase} {progress.done:.12g}/{progress.total:.12g} {progress.unit}"
    return record.model or record.title or _models_of(record)


def _models_of(record: job_pb2.Job) -> str:
    used = [*record.qc.models, record.predict.model, record.export_model.model]
    return ", ".join(each.name for each in used if each.name)


def describe(job: Job) -> None:
    """Print all that a person wants to know of a job."""
    click.echo(f"{job.id}: {job.state.lower()}")
    output.facts(_facts(job.record))
    if job.state == "PENDING":
        output.facts(_queue(job))
    for artifact in job.artifacts:
        click.echo(f"  made     {artifact.path}  {artifact.title}, {words.size(artifact.size)}")
    _print_warnings(job)
    if job.record.error.message:
        click.echo(f"\n{job.record.error.message}")
        for each in job.record.error.files:
            click.echo(f"  {each.path}: {each.message}")
        click.echo(job.record.error.hint)


def _facts(record: job_pb2.Job) -> Iterator[tuple[str, str]]:
    yield "title", record.title
    does = (record.WhichOneof("request") or "").replace("_", " ")
    yield "does", f"{does} with {record.network}"
    yield "project", record.project
    yield "labels", ", ".join(f"{key}={value}" for key, value in sorted(record.labels.items()))
    yield "attempt", str(record.attempt)
    yield "waits", record.waiting_reason
    yield "made", output.when(record.create_time)
    yield "began", output.when(record.start_time)
    yield "ended", output.when(record.end_time)
    yield "took", _took(record)
    yield "model", record.model
    for metric in record.metrics:
        yield metric.name, f"{metric.value:.4g} {metric.unit}".strip()


def _queue(job: Job) -> Iterator[tuple[str, str]]:
    try:
        explained = job.explain()
    except Unsupported:  # a service by itself: one job after the other
        return
    if explained.reason != job.record.waiting_reason:
        yield "waits", explained.reason
    yield "ahead", words.counted(explained.jobs_ahead, "jobs") if explained.jobs_ahead else ""
    yield "waits for", ", ".join(explained.waits_for)


def conclusion(session: Session, job: Job, out: Path | None, *, hints: bool = True) -> None:
    """Print what came of a job that has ended well, and what to do next; else nothing.

    Its warnings were shown as they came.

    Parameters
    ----------
    session : Session
        Of this command.
    job : Job
        The job, as it is now.
    out : Path or None
        Folder that its results were put into.
    hints : bool
        Say what to do next.
    """
    if job.state != "SUCCEEDED":
        return
    verb = job.record.WhichOneof("request")
    if verb == "train" and job.record.train.dry_run:
        _tried(session, job, out)
    elif verb == "train":
        _trained(session, job, out)
    elif verb == "qc":
        _scored(session, job, out)
    elif verb == "import_model":
        click.echo(f"Imported {job.model} in {_took(job.record)}.")
    elif verb == "export_model":
        _exported(session, job, out)
    else:
        _predicted(session, job, out)
    if hints and not job.record.train.dry_run:
        _print_next(session, job, verb or "")


def _print_next(session: Session, job: Job, verb: str) -> None:
    made = verb in ("train", "import_model")
    model = job.model if made else _applicable(job)
    score = f"  dl4mic qc {model} --source IMAGES --target TARGETS{session.again}"
    apply = f"  dl4mic predict {model} --source IMAGES --out RESULTS{session.again}"
    if made:
        click.echo("Next, score it on images that it never saw, or apply it:")
        click.echo(score)
        click.echo(apply)
    elif verb == "qc" and model:
        click.echo("Next, apply it:")
        click.echo(apply)


def _applicable(job: Job) -> str:
    """Name the model to go on with: the one that was scored, or the best of several."""
    found = _content(job, _SCORES) if job.record.qc.models else {}
    several = len(found.get("models", ())) > 1
    return scores.best_model(found) if several else _models_of(job.record)


def record(job: Job) -> dict[str, Any]:
    """Return an ended job, with its scores or what its dry run found, as JSON values."""
    found: dict[str, Any] = {"job": output.plain(job.record)}
    if job.state != "SUCCEEDED":
        return found
    if job.record.WhichOneof("request") == "qc":
        found.update(scores.plain(_content(job, _SCORES)))
    elif job.record.train.dry_run:
        found["dry_run"] = _content(job, _TRIAL)
    return found


def _trained(session: Session, job: Job, out: Path | None) -> None:
    click.echo(f"Trained {job.model} in {_took(job.record)}.")
    output.facts([("model", job.model), *_places(session, job, out, "report.pdf", "model")])


def _tried(session: Session, job: Job, out: Path | None) -> None:
    dry_run.describe(_content(job, _TRIAL))
    output.facts(_places(session, job, out, "report.pdf", "examples.png"))
    click.echo("The same command without --dry-run (and with --model NAME) trains it.")


def _scored(session: Session, job: Job, out: Path | None) -> None:
    what = _models_of(job.record) or "the predictions"
    click.echo(f"Scored {what} in {_took(job.record)}.")
    scores.show(_content(job, _SCORES))
    output.facts(_places(session, job, out, "report.pdf", "qc.csv", "panels"))


def _predicted(session: Session, job: Job, out: Path | None) -> None:
    progress = job.record.progress
    done = words.counted(progress.done - progress.failed, progress.unit or "images")
    click.echo(f"Done: {done} in {_took(job.record)}.")
    if progress.failed:
        click.echo(f"{progress.failed} failed; the warnings above and the log say why:")
        click.echo(f"  dl4mic job logs {job.id}{session.again}")
    if out:
        output.facts([("results", str(out))])
    else:
        output.facts(_places(session, job, None, "predictions"))


def _exported(session: Session, job: Job, out: Path | None) -> None:
    click.echo(f"Exported {_models_of(job.record)} in {_took(job.record)}.")
    fetch = f"dl4mic job download {job.id} --only export --out DIR{session.again}"
    output.facts([("archive", str(out) if out else fetch)])


def _content(job: Job, name: str) -> dict[str, Any]:
    """Read a JSON file that a job has made."""
    found = json.loads(job.read(name))
    return found if isinstance(found, dict) else {}


def _places(session: Session, job: Job, out: Path | None, *names: str) -> Iterator[tuple[str, str]]:
    """Yield where results lie on this machine, or else how to fetch them."""
    folder = out or _folder_of(session, job)
    there = [name for name in names if folder and (folder / name).exists()]
    for name in there:
        yield _KINDS[name], str(Path(folder or "", name))
    if not there:
        yield "results", f"dl4mic job download {job.id} --out DIR{session.again}"


def _folder_of(session: Session, job: Job) -> Path | None:
    """Return the folder of a job's results, where the server is this user's own."""
    workspace = session.client.workspace
    return workspace / "jobs" / job.id / "artifacts" if workspace else None


def _took(record: job_pb2.Job) -> str:
    if not (record.start_time.seconds and record.end_time.seconds):
        return ""
    begun, ended = record.start_time.ToNanoseconds(), record.end_time.ToNanoseconds()
    return words.duration((ended - begun) / 1e9)


def _print_warnings(job: Job) -> None:
    warnings: Any = job.record.warnings  # mypy takes the message named Warning for Python's own
    for warning in warnings[:_MOST_WARNINGS]:
        click.echo(f"warning: {warning.message}")
    if len(warnings) > _MOST_WARNINGS:
        click.echo(
            f"and {len(warnings) - _MOST_WARNINGS} more warnings; see dl4mic job show {job.id}"
        )

# SPDX-License-Identifier: BSD-3-Clause
"""`dl4mic jobs` and `dl4mic job`: work that was sent before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dl4mic_client import words
from dl4mic_client.cli import output, summary
from dl4mic_client.cli.complete import job_ids
from dl4mic_client.cli.follow import conclude, follow, print_events, showing_transfers
from dl4mic_client.cli.options import pairs
from dl4mic_client.cli.program import Command, Group, Session, pass_session

if TYPE_CHECKING:
    from dl4mic_client.job import Job

_STATES = ("pending", "starting", "running", "succeeded", "failed", "cancelled")
_MOST_JOBS = 50


@click.command(cls=Command)
@click.option("--state", multiple=True, type=click.Choice(_STATES), help="Only these; repeatable.")
@click.option("--network", default="", help="Only jobs of this network.")
@click.option("--project", default="", help="Only jobs of this project.")
@click.option("--label", multiple=True, metavar="KEY=VALUE", callback=pairs, help="Repeatable.")
@click.option("--limit", default=_MOST_JOBS, show_default=True, help="Show at most so many.")
@pass_session
def jobs(
    session: Session,
    state: tuple[str, ...],
    network: str,
    project: str,
    label: dict[str, str],
    limit: int,
) -> None:
    """List the jobs, newest first."""
    found = session.client.jobs(
        states=state, network=network, project=project, labels=label, limit=limit
    )
    if session.as_json:
        output.document({"jobs": [output.plain(each.record) for each in found]})
        return
    if not found:
        click.echo("There are no jobs.")
    output.table(("JOB", "DOES", "NETWORK", "STATE", "MADE", "ABOUT"), map(_row, found))


def _row(job: Job) -> tuple[str, ...]:
    record = job.record
    does = record.WhichOneof("request") or ""
    made = output.when(record.create_time)
    return (job.id, does, record.network, job.state.lower(), made, summary.about(job))


@click.group(cls=Group)
def job() -> None:
    """Look at a job, cancel or retry it, fetch its results."""


@job.command()
@click.argument("job_id", metavar="JOB", shell_complete=job_ids)
@pass_session
def show(session: Session, job_id: str) -> None:
    """Show a job: its state, why it waits or failed, what it has made."""
    found = session.client.job(job_id)
    if session.as_json:
        output.document(output.plain(found.record))
    else:
        summary.describe(found)


@job.command()
@click.argument("job_id", metavar="JOB", shell_complete=job_ids)
@click.option("--after", default=0, metavar="SEQUENCE", help="Only the events after this one.")
@pass_session
def watch(session: Session, job_id: str, after: int) -> None:
    """Watch a job until it ends; with --json, one event a line."""
    found = session.client.job(job_id)
    if session.as_json:
        print_events(found, after)
    else:
        follow(session, found, after)
        summary.conclusion(session, found.refresh(), None)
        conclude(found)


@job.command()
@click.argument("job_id", metavar="JOB", shell_complete=job_ids)
@pass_session
def cancel(session: Session, job_id: str) -> None:
    """Cancel a job; it may write a checkpoint before it ends."""
    found = session.client.job(job_id).cancel()
    if session.as_json:
        output.document(output.plain(found.record))
    elif found.has_ended:
        click.echo(f"Job {found.id} has ended: {found.state.lower()}.")
    else:
        click.echo(f"Job {found.id} is being cancelled.")


@job.command()
@click.argument("job_id", metavar="JOB", shell_complete=job_ids)
@pass_session
def retry(session: Session, job_id: str) -> None:
    """Try a failed or cancelled job again, from its last checkpoint."""
    found = session.client.job(job_id).retry()
    if session.as_json:
        output.document(output.plain(found.record))
        return
    click.echo(f"Job {found.id} is tried again, attempt {found.record.attempt}.")
    click.echo(f"Watch it: dl4mic job watch {found.id}{session.again}")


@job.command()
@click.argument("job_id", metavar="JOB", shell_complete=job_ids)
@click.option("--attempt", default=0, help="Of this attempt; else of the newest.")
@click.option("--follow", "-f", "keep_on", is_flag=True, help="Go on until the job ends.")
@pass_session
def logs(session: Session, job_id: str, attempt: int, keep_on: bool) -> None:
    """Print what a job's process wrote."""
    parts = session.client.job(job_id).log(attempt, follow=keep_on)
    if session.as_json:
        output.document({"job": job_id, "log": "".join(parts)})
        return
    for part in parts:
        click.echo(part, nl=False)


@job.command()
@click.argument("job_id", metavar="JOB", shell_complete=job_ids)
@click.option("--out", required=True, metavar="DIR", help="Folder to put the results into.")
@click.option("--only", default="", metavar="PATH", help="Only this artifact: predictions, model.")
@pass_session
def download(session: Session, job_id: str, out: str, only: str) -> None:
    """Fetch what a job has published."""
    found = session.client.job(job_id)
    with showing_transfers(session) as report:
        written = found.download(out, only, report)
    if session.as_json:
        output.document({"files": [str(path) for path in written]})
    else:
        click.echo(f"{words.counted(len(written), 'files')} in {out}")


@job.command()
@click.argument("job_id", metavar="JOB", shell_complete=job_ids)
@pass_session
def delete(session: Session, job_id: str) -> None:
    """Delete an ended job and its results; models that it published stay."""
    found = session.client.job(job_id)
    freed = found.delete()
    if session.as_json:
        output.document({"freed_bytes": freed, "model": found.record.model})
        return
    click.echo(f"Job {job_id} is deleted, {words.size(freed)} freed")
    if found.record.model and not found.record.model.startswith("job:"):
        click.echo(f"Its model {found.record.model} stays.")

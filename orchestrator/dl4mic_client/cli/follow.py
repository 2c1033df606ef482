# SPDX-License-Identifier: BSD-3-Clause
"""Follows a job at the terminal: its progress, Ctrl-C, and the exit code at its end."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from dl4mic_client.cli import output
from dl4mic_client.cli.exit_codes import ExitCode, code_of
from dl4mic_client.cli.program import Session
from dl4mic_client.errors import JobEnded

if TYPE_CHECKING:
    from dl4mic_client.job import Job
    from dl4mic_client.transfer import Report


@contextmanager
def showing_transfers(session: Session) -> Iterator[Report]:
    """Show how far files are on their way, in and out of the server."""
    from dl4mic_client import progress

    shown = progress.display(sys.stderr, quiet=session.as_json)
    session.client.report = shown.show_transfer
    try:
        yield shown.show_transfer
    finally:
        shown.close()


def follow(session: Session, job: Job, after: int = 0) -> None:
    """Show a job's progress until it has ended, or the user has had enough."""
    _watch(session, job, [job], after)


def follow_all(session: Session, jobs: Sequence[Job]) -> None:
    """Show the progress of jobs that were sent in one go, one after the other, until all have ended."""
    for number, job in enumerate(jobs, start=1):
        if not session.as_json:
            verb = job.record.WhichOneof("request")
            click.echo(f"{number} of {len(jobs)}, {verb}: job {job.id}", err=True)
        _watch(session, job, jobs[number - 1 :], 0)


def _watch(session: Session, job: Job, together: Sequence[Job], after: int) -> None:
    from dl4mic_client import progress

    shown = progress.display(sys.stderr, quiet=session.as_json)
    last = after
    while True:
        try:
            for event in job.watch(last):
                last = event.sequence
                shown.show(event)
            return
        except KeyboardInterrupt:
            shown.close()
            _ask(session, together)
        finally:
            shown.close()


def print_events(job: Job, after: int = 0) -> None:
    """Print every event as a line of JSON until the job has ended; end with its exit code."""
    for event in job.watch(after):
        output.line(output.plain(event))
    try:
        conclude(job)
    except JobEnded as error:  # the last line has said it
        click.get_current_context().exit(code_of(error))


def conclude(job: Job) -> None:
    """End the command with the exit code that the ended job calls for."""
    job.result()
    if job.record.progress.failed:
        click.get_current_context().exit(ExitCode.SOME_FILES_FAILED)


def _ask(session: Session, jobs: Sequence[Job]) -> None:
    """Cancel the jobs, after which they are watched to their end, or leave them and end the command."""
    named = ", ".join(job.id for job in jobs)
    title = f"Job {named}" if len(jobs) == 1 else f"Jobs {named}"
    if session.as_json or not sys.stdin.isatty() or not _wants_cancel(title):
        click.echo(
            f"{title} {'goes' if len(jobs) == 1 else 'go'} on. Watch again: ", err=True, nl=False
        )
        click.echo(f"dl4mic job watch {jobs[0].id}{session.again}", err=True)
        click.get_current_context().exit(ExitCode.INTERRUPTED)
    click.echo(f"Cancelling {title[0].lower()}{title[1:]} ...", err=True)
    for job in reversed(jobs):  # those that need the first one would else fail for lack of it
        job.cancel()


def _wants_cancel(title: str) -> bool:
    question = f"\n{title}: cancel it, or leave it running? (cancel/leave) [leave] "
    try:
        while True:
            click.echo(question, err=True, nl=False)
            # Not click.prompt: readline may miss a Ctrl-C or an answer that comes at once.
            answer = sys.stdin.readline().strip().lower()
            if any(word.startswith(answer) for word in ("leave", "cancel")):
                return answer.startswith("c")
    except KeyboardInterrupt:  # a second one
        click.echo(err=True)
        return False

# SPDX-License-Identifier: BSD-3-Clause
"""Write events: numbered 1, 2, 3 ... for each job, folded into its message in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, bindparam, func, insert, select, update

from dl4mic import fold
from dl4mic.v1.job_pb2 import Job as JobMessage
from dl4mic.v1.job_pb2 import JobEvent
from dl4mic_orchestrator.records import JobState
from dl4mic_orchestrator.store import rows, tables

_OF_EVENTS = ("message", "state", "attempt", "progressed")


def append(
    connection: Connection, job_id: str, events: Iterable[tuple[int | None, JobEvent]]
) -> None:
    """Number events anew, fold them into the job's message and write both.

    Parameters
    ----------
    events
        With the number that the instance gave each, rising; None for what the orchestrator says. What was written
        already is left out.
    """
    columns = [tables.jobs.c[name] for name in _OF_EVENTS]
    row = connection.execute(select(*columns).where(tables.jobs.c.id == job_id)).one()
    message = JobMessage.FromString(row.message)
    progressed = row.progressed
    known = last_source(connection, job_id, row.attempt)
    new = []
    for source_sequence, event in events:
        if source_sequence is not None:
            if source_sequence <= known:
                continue
            known = source_sequence
        numbered = JobEvent()
        numbered.CopyFrom(event)
        numbered.sequence = message.last_sequence + 1
        fold.apply(message, numbered)
        progressed = progressed or rows.is_progress(message, numbered)
        new.append(rows.event_row(job_id, source_sequence, numbered))
    if new:
        connection.execute(insert(tables.events), new)
    values = {
        "message": message.SerializeToString(),
        "state": message.state,
        "attempt": message.attempt,
        "progressed": progressed,
    }
    connection.execute(update(tables.jobs).where(tables.jobs.c.id == job_id).values(values))


def last_source(connection: Connection, job_id: str, attempt: int) -> int:
    """Tell the last number of an instance's own that was written for an attempt."""
    query = select(func.max(tables.events.c.source_sequence)).where(
        tables.events.c.job_id == job_id, tables.events.c.attempt == attempt
    )
    return connection.execute(query).scalar() or 0


def explain(connection: Connection, reasons: Mapping[str, str]) -> None:
    """Write down why jobs wait, for those that are PENDING and say something else; a few statements for them all."""
    columns = tables.jobs.c
    pending = (columns.id.in_(list(reasons))) & (columns.state == int(JobState.PENDING))
    events, messages = [], []
    for row in connection.execute(select(columns.id, columns.message).where(pending)):
        message = JobMessage.FromString(row.message)
        event = rows.state_event(message.attempt, JobState.PENDING, reasons[row.id])
        rows.keep_error(message, event)
        if rows.says_the_same(message, event.state):
            continue
        event.sequence = message.last_sequence + 1
        fold.apply(message, event)
        events.append(rows.event_row(row.id, None, event))
        messages.append({"of": row.id, "message": message.SerializeToString()})
    if events:
        connection.execute(insert(tables.events), events)
        change = update(tables.jobs).where(columns.id == bindparam("of"))
        connection.execute(change, messages)

# SPDX-License-Identifier: BSD-3-Clause
"""Read all jobs at once, for those who ask what is still needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from dl4mic import references
from dl4mic.v1.job_pb2 import Job as JobMessage
from dl4mic.v1.job_pb2 import JobEvent
from dl4mic_orchestrator.dependents import JobFacts
from dl4mic_orchestrator.records import JobState
from dl4mic_orchestrator.store import tables
from dl4mic_orchestrator.store.database import Database, batched

PathOf = Callable[[str], Path | None]
"""Location -> where it lies; None for what is no location, or of a data root that is no more."""

_AT_ONCE = 1000
_OF_QUEUE = 100
"""Jobs of the queue that are looked at in one go: among the first is nearly always one that says enough."""

_OPEN = [int(state) for state in JobState if not state.ended]


class Census:
    """What every job uses and made."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def jobs(self, path_of: PathOf, *, open_only: bool = False) -> Iterator[JobFacts]:
        """Iterate over the jobs, the oldest first, a page in memory at a time."""
        columns = tables.jobs.c
        after = 0
        while True:
            query = select(tables.jobs).where(columns.order > after)
            if open_only:
                query = query.where(columns.state.in_(_OPEN))
            with self._database.read() as connection:
                rows = connection.execute(query.order_by(columns.order).limit(_AT_ONCE)).all()
            for row in rows:
                yield _facts(row, path_of)
            if len(rows) < _AT_ONCE:
                return
            after = rows[-1].order

    def open_counts(self) -> dict[tuple[str, JobState], int]:
        """Count the jobs that have not ended: network and state -> number."""
        columns = tables.jobs.c
        query = select(columns.network, columns.state, func.count().label("jobs"))
        query = query.where(columns.state.in_(_OPEN)).group_by(columns.network, columns.state)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return {(row.network, JobState(row.state)): row.jobs for row in rows}

    def oldest_waiting(self) -> float | None:
        """Tell since when the job waits that has waited longest, seconds since 1970; None without one.

        A job waits since its present attempt was opened, or since the last of the jobs ended whose results it needs.
        As long as one of those is open, it waits for that alone, and does not count.
        """
        oldest, after = math.inf, 0
        while True:
            with self._database.read() as connection:
                rows = connection.execute(_pending(after)).all()
                ends = _ends(connection, {other for row in rows for other in row.depends_on})
            for row in rows:
                opened = JobEvent.FromString(row.message).time.ToNanoseconds() / 1e9
                oldest = min(oldest, max([opened, *(ends.get(of, 0.0) for of in row.depends_on)]))
                if row.attempt == 1 and not row.depends_on:
                    return oldest  # all others were accepted later
            if len(rows) < _OF_QUEUE:
                return None if math.isinf(oldest) else oldest
            after = rows[-1].order

    def ids(self, project: str = "") -> set[str]:
        """Get the ids of all jobs, or of a project's."""
        query = select(tables.jobs.c.id)
        if project:
            query = query.where(tables.jobs.c.project == project)
        with self._database.read() as connection:
            return set(connection.execute(query).scalars())


def _pending(after: int) -> Select[Any]:
    """Ask for the next of the jobs that are PENDING, each with the event that opened its present attempt."""
    jobs, events, others = tables.jobs.c, tables.events.c, tables.events.alias().c
    first = (
        select(func.min(others.sequence))
        .where(others.job_id == jobs.id, others.attempt == jobs.attempt)
        .correlate(tables.jobs)
        .scalar_subquery()
    )
    opening = (events.job_id == jobs.id) & (events.sequence == first)
    query = select(jobs.order, jobs.attempt, jobs.depends_on, events.message)
    query = query.select_from(tables.jobs.join(tables.events, opening))
    query = query.where(jobs.state == int(JobState.PENDING), jobs.order > after)
    return query.order_by(jobs.order).limit(_OF_QUEUE)


def _ends(connection: Connection, job_ids: Iterable[str]) -> dict[str, float]:
    """Tell when jobs have ended; those that are open never have."""
    columns = tables.jobs.c
    ends: dict[str, float] = {}
    for some in batched(job_ids):
        query = select(columns.id, columns.state, columns.message).where(columns.id.in_(some))
        for row in connection.execute(query):
            message = JobMessage.FromString(row.message)
            ended = JobState(row.state).ended
            ends[row.id] = message.end_time.ToNanoseconds() / 1e9 if ended else math.inf
    return ends


def _facts(row: Row[Any], path_of: PathOf) -> JobFacts:
    message = JobMessage.FromString(row.message)
    paths = (path_of(location) for location in _locations(message))
    last = message.end_time if message.HasField("end_time") else message.create_time
    return JobFacts(
        id=row.id,
        state=JobState(row.state),
        last_use=last.ToNanoseconds() / 1e9,
        depends_on=tuple(row.depends_on),
        models=tuple(row.pinned_models.values()),
        places=tuple(path for path in paths if path is not None),
        made=message.model,
    )


def _locations(job: JobMessage) -> Iterator[str]:
    """Yield every text of a request that may be a location; models may lie in folders, too."""
    request = references.request_of(job)
    for _, data in references.datasets(request):
        yield from (text for text in (data.source, data.target) if text)
    for _, location in references.folders(request):
        yield location
    for _, model in references.models(request):
        yield model.name

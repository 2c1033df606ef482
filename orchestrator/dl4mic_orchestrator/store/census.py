# SPDX-License-Identifier: BSD-3-Clause
"""Read all jobs at once, for those who ask what is still needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Row, func, select

from dl4mic import references
from dl4mic.v1.job_pb2 import Job as JobMessage
from dl4mic_orchestrator.dependents import JobFacts
from dl4mic_orchestrator.records import JobState
from dl4mic_orchestrator.store import tables
from dl4mic_orchestrator.store.database import Database

PathOf = Callable[[str], Path | None]
"""Location -> where it lies; None for what is no location, or of a data root that is no more."""

_AT_ONCE = 1000
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

    def oldest(self, state: JobState) -> float | None:
        """Tell when the oldest job of a state was accepted, seconds since 1970; None without one."""
        columns = tables.jobs.c
        query = select(columns.message).where(columns.state == int(state))
        with self._database.read() as connection:
            row = connection.execute(query.order_by(columns.order).limit(1)).first()
        if row is None:
            return None
        return JobMessage.FromString(row.message).create_time.ToNanoseconds() / 1e9

    def ids(self, project: str = "") -> set[str]:
        """Get the ids of all jobs, or of a project's."""
        query = select(tables.jobs.c.id)
        if project:
            query = query.where(tables.jobs.c.project == project)
        with self._database.read() as connection:
            return set(connection.execute(query).scalars())


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

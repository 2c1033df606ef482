# SPDX-License-Identifier: BSD-3-Clause
"""Own the rows of jobs and their events. A job's message is the fold of its events, written with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from dl4mic.v1.job_pb2 import Job as JobMessage
from dl4mic.v1.job_pb2 import JobError, JobEvent
from dl4mic_orchestrator.records import Failure, Job, JobState, may_follow
from dl4mic_orchestrator.store import rows, tables
from dl4mic_orchestrator.store.append import append, explain, last_source
from dl4mic_orchestrator.store.database import Database, batched
from dl4mic_orchestrator.store.feed import Feed, Feeds

_ENDED = [int(state) for state in JobState if state.ended]


class JobNotFoundError(LookupError):
    """There is no job of the id."""


class JobExistsError(Exception):
    """There is a job of the id already, with another request."""


class ProjectFullError(Exception):
    """The project has as many open jobs as it may."""


class JobStateError(Exception):
    """The job is not in a state in which that can be done; the message says why."""


@dataclass(frozen=True)
class Filter:
    """Which jobs to list; what is empty does not narrow."""

    states: Sequence[int] = ()
    network: str = ""
    project: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


class JobStore:
    """Jobs and events.

    Every method is one transaction; whoever waits for events of a job is told after each.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._feeds = Feeds(self.events)

    def create(
        self,
        job: JobMessage,
        depends_on: Sequence[str] = (),
        pinned: Mapping[str, str] | None = None,
        most_open: int | None = None,
    ) -> JobMessage:
        """Record a job with its first event, PENDING, or find that it was recorded before.

        Parameters
        ----------
        job
            Without state and times.
        depends_on
            Jobs that must succeed first.
        pinned
            Model reference as the caller wrote it -> ``NAME:VERSION`` that it meant then.
        most_open
            Jobs that the project may have at once; None for any number.

        Raises
        ------
        JobExistsError
            The id is taken by another request.
        ProjectFullError
            The project has so many already.
        """
        created, event = rows.born(job)
        row = rows.new_row(created, rows.request_digest(job), depends_on, pinned or {})
        labels = [
            {"job_id": job.id, "key": key, "value": value} for key, value in job.labels.items()
        ]
        try:
            with self._database.write() as connection:
                _check_open(connection, job.project, most_open)
                connection.execute(insert(tables.jobs), row)
                if labels:
                    connection.execute(insert(tables.job_labels), labels)
                connection.execute(insert(tables.events), rows.event_row(job.id, None, event))
        except (IntegrityError, ProjectFullError):
            # Most jobs are new: whether one was recorded before is asked only where it cannot be recorded.
            if not self.knows(job.id):
                raise
            return self._recorded(row)
        self._feeds.tell(created.id)
        return created

    def _recorded(self, row: Mapping[str, Any]) -> JobMessage:
        known = self._row(row["id"])
        if known.request_digest != row["request_digest"]:
            words = f"job {known.id} exists already, with another request; choose another id"
            raise JobExistsError(words)
        return JobMessage.FromString(known.message)

    def message(self, job_id: str) -> JobMessage:
        """Get a job as callers see it."""
        return JobMessage.FromString(self._row(job_id).message)

    def get(self, job_id: str) -> Job:
        """Get a job as the plan sees it."""
        return rows.planned(self._row(job_id))

    def pinned_models(self, job_id: str) -> dict[str, str]:
        """Tell which version each model reference of the job's request meant when it was accepted."""
        return dict(self._row(job_id).pinned_models)

    def open_jobs(self) -> list[Job]:
        """Get the jobs that have not ended, the oldest first."""
        query = (
            select(*rows.PLANNED)
            .where(tables.jobs.c.state.not_in(_ENDED))
            .order_by(tables.jobs.c.order)
        )
        return [rows.planned(row) for row in self._database.fetch(query)]

    def knows(self, job_id: str) -> bool:
        """Say whether there is a job of the id."""
        query = select(tables.jobs.c.order).where(tables.jobs.c.id == job_id)
        return bool(self._database.fetch(query))

    @contextmanager
    def absent(self, job_id: str) -> Iterator[bool]:
        """Say whether there is no job of the id; none is recorded as long as the context lasts."""
        with self._database.write() as connection:
            yield not connection.execute(_by_id(job_id)).all()

    def states(self, job_ids: Iterable[str]) -> dict[str, JobState]:
        """Get the state of those jobs that there are."""
        wanted = list(job_ids)
        if not wanted:
            return {}
        found: dict[str, JobState] = {}
        with self._database.read() as connection:
            for some in batched(wanted):
                query = select(tables.jobs.c.id, tables.jobs.c.state)
                query = query.where(tables.jobs.c.id.in_(some))
                found.update((row.id, JobState(row.state)) for row in connection.execute(query))
        return found

    def newest(
        self, wanted: Filter, before: int | None, limit: int
    ) -> list[tuple[int, JobMessage]]:
        """List jobs with their order, the newest first, of an order below `before`."""
        query = _narrow(select(tables.jobs.c.order, tables.jobs.c.message), wanted)
        if before is not None:
            query = query.where(tables.jobs.c.order < before)
        query = query.order_by(tables.jobs.c.order.desc()).limit(limit)
        with self._database.read() as connection:
            return [
                (row.order, JobMessage.FromString(row.message)) for row in connection.execute(query)
            ]

    def events(self, job_id: str, after: int, limit: int = 500) -> list[JobEvent]:
        """Get events of a job behind a sequence number."""
        query = (
            select(tables.events.c.message)
            .where(tables.events.c.job_id == job_id, tables.events.c.sequence > after)
            .order_by(tables.events.c.sequence)
            .limit(limit)
        )
        return [JobEvent.FromString(row.message) for row in self._database.fetch(query)]

    def watched(self, job_id: str) -> AbstractContextManager[Feed]:
        """Watch a job's events as long as the context lasts."""
        job = self.message(job_id)
        return self._feeds.watched(job_id, job.last_sequence, JobState(job.state).ended)

    def source_sequence(self, job_id: str, attempt: int) -> int:
        """Tell the last number of the instance's own that was copied for an attempt."""
        with self._database.read() as connection:
            return last_source(connection, job_id, attempt)

    def copy(self, job_id: str, attempt: int, events: Sequence[JobEvent]) -> None:
        """Add an instance's events under new numbers; what is there already, or of another attempt, adds nothing."""
        with self._database.write() as connection:
            columns = tables.jobs.c
            row = connection.execute(
                select(columns.attempt, columns.state).where(columns.id == job_id)
            ).first()
            if row is None or row.attempt != attempt or JobState(row.state).ended:
                return
            append(connection, job_id, [(event.sequence, event) for event in events])
        self._feeds.tell(job_id)

    def change_state(
        self,
        job_id: str,
        attempt: int,
        state: JobState,
        *,
        waiting_reason: str = "",
        error: JobError | None = None,
        model: str = "",
    ) -> bool:
        """Bring a job to a state, if the attempt is still its present one and the change is a legal one.

        Returns
        -------
        bool
            False when a later attempt, or an end, has overtaken the caller.
        """
        event = rows.state_event(attempt, state, waiting_reason, error, model)
        with self._database.write() as connection:
            row = connection.execute(select(tables.jobs).where(tables.jobs.c.id == job_id)).first()
            if row is None or row.attempt != attempt or not may_follow(state, JobState(row.state)):
                return False
            message = JobMessage.FromString(row.message)
            if state is JobState.PENDING:
                rows.keep_error(message, event)
            if rows.says_the_same(message, event.state):
                return True
            append(connection, job_id, [(None, event)])
        self._feeds.tell(job_id)
        return True

    def explain(self, reasons: Mapping[str, str]) -> None:
        """Write down why jobs wait, for those that are PENDING: job id -> reason."""
        for some in batched(reasons):
            with self._database.write() as connection:
                explain(connection, {job_id: reasons[job_id] for job_id in some})
            for job_id in some:
                self._feeds.tell(job_id)

    def mark_prepared(self, job_id: str, attempt: int) -> None:
        """Note that the data check passed and the environment is there."""
        self._set(job_id, tables.jobs.c.attempt == attempt, prepared_attempt=attempt)

    def failures(self, job_id: str) -> list[Failure]:
        """Get how the attempts ended since the job was made or opened anew by hand."""
        return [Failure(**failure) for failure in self._row(job_id).failures]

    def progressed(self, job_id: str) -> bool:
        """Tell whether the present attempt left a checkpoint or a finished item."""
        return bool(self._row(job_id).progressed)

    def open_attempt(
        self,
        job_id: str,
        attempt: int,
        failed: Failure,
        retry_time: float,
        error: JobError,
        reason: str,
    ) -> bool:
        """Put a job back to PENDING with its next attempt, because the present one failed.

        Returns
        -------
        bool
            False when it was to be cancelled, has ended, or has another attempt; nothing has changed then.
        """
        event = rows.state_event(attempt + 1, JobState.PENDING, reason, error)
        with self._database.write() as connection:
            row = _row(connection, job_id)
            if row.attempt != attempt or row.cancel_requested or JobState(row.state).ended:
                return False
            failures = [*row.failures, asdict(failed)]
            _reopen(connection, job_id, event, failures=failures, retry_time=retry_time)
        self._feeds.tell(job_id)
        return True

    def open_by_hand(self, job_id: str, most_open: int | None = None) -> JobMessage:
        """Put a failed or cancelled job back to PENDING with its next attempt, and no deadline.

        Raises
        ------
        JobStateError
            The job has not ended, or has succeeded.
        ProjectFullError
            Its project has `most_open` open jobs already.
        """
        with self._database.write() as connection:
            row = _row(connection, job_id)
            if row.state not in (JobState.FAILED, JobState.CANCELLED):
                words = JobState(row.state).name
                raise JobStateError(
                    f"job {job_id} is {words}; only a FAILED or CANCELLED job can be tried again"
                )
            _check_open(connection, row.project, most_open)
            event = rows.state_event(row.attempt + 1, JobState.PENDING)
            message = JobMessage.FromString(row.message)
            message.ClearField("deadline_time")
            values = {"message": message.SerializeToString(), "deadline_time": None}
            connection.execute(update(tables.jobs).where(tables.jobs.c.id == job_id).values(values))
            _reopen(connection, job_id, event, failures=[], retry_time=None)
        self._feeds.tell(job_id)
        return self.message(job_id)

    def request_cancel(self, job_id: str) -> JobMessage:
        """Note that a job shall be cancelled, if it has not ended."""
        with self._database.write() as connection:
            row = _row(connection, job_id)
            message = JobMessage.FromString(row.message)
            if not JobState(row.state).ended:
                message.cancel_requested = True
                values = {"message": message.SerializeToString(), "cancel_requested": True}
                connection.execute(
                    update(tables.jobs).where(tables.jobs.c.id == job_id).values(values)
                )
        return message

    def delete(self, job_id: str) -> None:
        """Delete an ended job's record; its id is free for another job, which has nothing of this one.

        Raises
        ------
        JobStateError
            The job has not ended, or an open one depends on it.
        """
        dependents = [job.id for job in self.open_jobs() if job_id in job.depends_on]
        if dependents:
            raise JobStateError(
                f"job {job_id} is needed by job {', '.join(dependents)}; cancel that first"
            )
        with self._database.write() as connection:
            state = JobState(_row(connection, job_id).state)
            if not state.ended:
                raise JobStateError(f"job {job_id} is {state.name}; cancel it before deleting it")
            connection.execute(delete(tables.jobs).where(tables.jobs.c.id == job_id))
            # What it published stays, and is not what the next job of this id has published.
            published = update(tables.models).where(tables.models.c.job_id == job_id)
            connection.execute(published.values(job_id=None))
        self._feeds.forget(job_id)

    def _set(self, job_id: str, condition: Any, **values: Any) -> None:
        with self._database.write() as connection:
            connection.execute(
                update(tables.jobs).where(tables.jobs.c.id == job_id, condition).values(values)
            )

    def _row(self, job_id: str) -> Row[Any]:
        return _only(job_id, self._database.fetch(_by_id(job_id)))


def _check_open(connection: Connection, project: str, most: int | None) -> None:
    columns = tables.jobs.c
    query = select(func.count()).where(columns.project == project, columns.state.not_in(_ENDED))
    if most is not None and connection.execute(query).scalar_one() >= most:
        raise ProjectFullError(
            f"project {project} has {most} jobs that have not ended, as many as it may; "
            "try again when one of them has"
        )


def _row(connection: Connection, job_id: str) -> Row[Any]:
    return _only(job_id, connection.execute(_by_id(job_id)).all())


def _by_id(job_id: str) -> Select[Any]:
    return select(tables.jobs).where(tables.jobs.c.id == job_id)


def _only(job_id: str, found: Sequence[Row[Any]]) -> Row[Any]:
    if not found:
        raise JobNotFoundError(f"there is no job {job_id!r}")
    return found[0]


def _reopen(connection: Connection, job_id: str, event: JobEvent, **values: Any) -> None:
    append(connection, job_id, [(None, event)])
    query = update(tables.jobs).where(tables.jobs.c.id == job_id)
    connection.execute(query.values(progressed=False, cancel_requested=False, **values))


def _narrow(query: Select[Any], wanted: Filter) -> Select[Any]:
    if wanted.states:
        query = query.where(tables.jobs.c.state.in_(list(wanted.states)))
    if wanted.network:
        query = query.where(tables.jobs.c.network == wanted.network)
    if wanted.project:
        query = query.where(tables.jobs.c.project == wanted.project)
    labels = tables.job_labels.c
    for key, value in wanted.labels.items():
        matching = exists().where(
            labels.job_id == tables.jobs.c.id, labels.key == key, labels.value == value
        )
        query = query.where(matching)
    return query

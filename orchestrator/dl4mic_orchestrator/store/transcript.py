# SPDX-License-Identifier: BSD-3-Clause
"""Carry all rows of a store from one kind of database to the other: for back-ups, and for those who move."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine, func, insert, select, text
from sqlalchemy.exc import OperationalError

from dl4mic_orchestrator.store import tables
from dl4mic_orchestrator.store.database import Database
from dl4mic_orchestrator.store.engines import POSTGRESQL, StoreError, open_database, url_of
from dl4mic_orchestrator.store.tables import metadata

_AT_ONCE = 1000
_VERSION = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"


def save(source: str, target: Path) -> None:
    """Write a database's rows, as they are at one moment while others write to it, into a new file of SQLite.

    Parameters
    ----------
    source
        URL.

    Raises
    ------
    StoreError
        The database cannot be reached.
    ValueError
        The URL is of another kind.
    """
    target.unlink(missing_ok=True)
    file = create_engine(url_of(target))
    with _reading(source) as ours, file.begin() as copy:
        revision = ours.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        metadata.create_all(copy)
        copy.execute(text(_VERSION))
        copy.execute(text("INSERT INTO alembic_version VALUES (:new)"), {"new": revision})
        _copy(ours, copy)
    file.dispose()


def load(source: Path, target: str) -> None:
    """Put the rows of a file of SQLite, which has the newest schema, into an empty database: all of them or none.

    Raises
    ------
    StoreError
        An orchestrator works on the database, it holds records, or it cannot be reached.
    """
    file = create_engine(url_of(source))
    with closing(Database(target)) as database, file.begin() as ours, database.write() as copy:
        for table in metadata.sorted_tables:
            if copy.execute(select(table).limit(1)).first() is not None:
                raise StoreError("the database holds records already; name an empty one")
        _copy(ours, copy)
        _count_on(copy)
    file.dispose()


def published(place: str) -> dict[str, str]:
    """Read the published models of a database: ``NAME:VERSION`` -> digest. Errors as of `save`."""
    columns = tables.models.c
    query = select(columns.name, columns.version, columns.digest).where(columns.digest != "")
    with _reading(place) as connection:
        return {f"{row.name}:{row.version}": row.digest for row in connection.execute(query)}


@contextmanager
def _reading(place: str) -> Iterator[Connection]:
    """Read a database beside the orchestrator that works on it."""
    with closing(open_database(place)) as engines:
        try:
            connection = engines.read.connect()
        except OperationalError as error:
            raise StoreError(f"the store cannot be reached: {error.orig}") from error
        with connection, connection.begin():
            yield connection


def _copy(ours: Connection, copy: Connection) -> None:
    for table in metadata.sorted_tables:
        rows = ours.execute(select(table), execution_options={"yield_per": _AT_ONCE})
        for some in rows.mappings().partitions():
            copy.execute(insert(table), [dict(row) for row in some])


def _count_on(connection: Connection) -> None:
    """Let new jobs be numbered behind those that are there; SQLite does so by itself."""
    highest = connection.execute(select(func.max(tables.jobs.c.order))).scalar()
    if highest is not None and connection.dialect.name == POSTGRESQL:
        statement = "SELECT setval(pg_get_serial_sequence('jobs', 'order'), :highest)"
        connection.execute(text(statement), {"highest": highest})

# SPDX-License-Identifier: BSD-3-Clause
"""Own the connections to SQLite: write-ahead log, foreign keys, one writer at a time, migrations."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event, inspect, text
from sqlalchemy.pool import ConnectionPoolEntry

from dl4mic_orchestrator.store.reserve import Reserve

MIGRATIONS = Path(__file__).parent / "migrations"
_AT_ONCE = 500
HEAD = "0001"
"""The newest migration; a database that has it is not migrated, which spares the import of Alembic."""


class Database:
    """One SQLite file, brought to the newest schema.

    Parameters
    ----------
    path
        Of the file; its folder exists. Never on a network file system: SQLite's locks do not hold there.
    """

    def __init__(self, path: Path) -> None:
        self._reserve = Reserve(path.with_name(path.name + "-reserve"))
        self._engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 30})
        event.listen(self._engine, "connect", _configure)
        event.listen(self._engine, "begin", _begin)
        self._migrate()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that sees one state of the database."""
        with self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that is alone in writing from its first statement on, so that it can never deadlock."""
        self._reserve.look()
        with (
            self._engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
        ):
            yield connection

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def _migrate(self) -> None:
        with self.write() as connection:
            if _revision(connection) == HEAD:
                return
            from alembic import command
            from alembic.config import Config

            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS))
            config.attributes["connection"] = connection
            command.upgrade(config, HEAD)


def batched(items: Iterable[str]) -> Iterator[list[str]]:
    """Part many items: a statement of SQLite takes a bounded number, and a long transaction keeps others waiting."""
    left = iter(items)
    while some := list(islice(left, _AT_ONCE)):
        yield some


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _configure(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    # Python's sqlite3 opens transactions by itself, and late; ours begin where `_begin` says.
    connection.isolation_level = None
    # FULL: what Train has answered survives a power cut, too.
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writes: Any = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

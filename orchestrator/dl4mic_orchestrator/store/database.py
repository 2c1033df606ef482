# SPDX-License-Identifier: BSD-3-Clause
"""Own the transactions on the store's database, and bring it to the newest schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, RootTransaction, Row, Select, inspect, text
from sqlalchemy.exc import DBAPIError, OperationalError

from dl4mic_orchestrator.store.engines import StoreAwayError, StoreError, open_database

MIGRATIONS = Path(__file__).parent / "migrations"
_AT_ONCE = 500
HEAD = "0001"
"""The newest migration; a database that has it is not migrated, which spares the import of Alembic."""


class Database:
    """One database, brought to the newest schema. Each use of it raises `StoreAwayError` while it cannot be used.

    Parameters
    ----------
    place
        File of SQLite, or URL; errors as of `engines.open_database`.

    Raises
    ------
    StoreError
        It cannot be reached, or read.
    """

    def __init__(self, place: Path | str) -> None:
        self._engines = open_database(place)
        self.lost = self._engines.lost
        try:
            self._migrate()
        except OperationalError as error:
            raise StoreError(f"the store cannot be opened: {error.orig}") from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that sees one state of the database."""
        with self._told():
            connection, transaction = _begin(self._engines.read)
            with connection, transaction:
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that is alone in writing from its first statement on, so that it can never deadlock."""
        self._engines.look()
        with self._told():
            connection, transaction = _begin(self._engines.write)
            with connection, transaction:
                yield connection

    def fetch(self, query: Select[Any]) -> Sequence[Row[Any]]:
        """Read by one statement, which sees one state of the database without a transaction around it."""
        with self._told():
            try:
                return _fetch(self._engines.read, query)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            return _fetch(self._engines.read, query)

    def close(self) -> None:
        """Let go of the database."""
        self._engines.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except self._engines.away as error:
            raise StoreAwayError(f"the store cannot be reached: {_words(error)}") from error

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


def _words(error: Exception) -> object:
    """Say what the database said, without the statement."""
    return error.orig if isinstance(error, DBAPIError) else error


def _begin(engine: Engine) -> tuple[Connection, RootTransaction]:
    """Begin a transaction, on a new connection where the pool's has broken: the first statement tells."""
    try:
        return _try_to_begin(engine)
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
    return _try_to_begin(engine)


def _try_to_begin(engine: Engine) -> tuple[Connection, RootTransaction]:
    connection = engine.connect()
    try:
        return connection, connection.begin()
    except BaseException:
        connection.close()
        raise


def _fetch(engine: Engine, query: Select[Any]) -> Sequence[Row[Any]]:
    with engine.connect().execution_options(alone=True) as connection:
        return connection.execute(query).all()


def batched(items: Iterable[str]) -> Iterator[list[str]]:
    """Part many items: a statement takes a bounded number, and a long transaction keeps others waiting."""
    left = iter(items)
    while some := list(islice(left, _AT_ONCE)):
        yield some


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()

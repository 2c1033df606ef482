# SPDX-License-Identifier: BSD-3-Clause
"""Own the connections to a database: SQLite in a file, or PostgreSQL. Both have one writer at a time."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.pool import ConnectionPoolEntry

from dl4mic_orchestrator.store.reserve import Reserve

SQLITE, POSTGRESQL = "sqlite", "postgresql"
_WAIT_SECONDS = 30
_READERS = 32
_ONE: dict[str, Any] = {"pool_size": 1, "max_overflow": 0, "pool_timeout": _WAIT_SECONDS}

_LOCK = 0x646C346D  # "dl4m"
_LOCK_SECONDS = 30.0
"""Until the server has noticed that a connection has ended, another orchestrator's or a broken one of our own."""

_BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_TAKE_LOCK = "SELECT pg_try_advisory_lock(%s, hashtext(current_schema()))"
# A server learns in half a minute that the machine of an orchestrator is gone, and lets go of its lock;
# by itself it would wait for two hours. Over a Unix socket it ignores all of them.
_SESSION = (
    "SET tcp_keepalives_idle = 10",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 3",
    "SET tcp_user_timeout = 25000",
    f"SET lock_timeout = '{_WAIT_SECONDS}s'",
)
_CLIENT = {
    "application_name": "dl4mic",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25000,  # what is sent to a machine that is gone is not kept alive, but sent again for minutes
}


class StoreError(Exception):
    """The store cannot be used; the message says why, without a password."""


class StoreBusyError(StoreError):
    """Another orchestrator works on the database."""


class StoreAwayError(StoreError):
    """The server of the database does not answer, or takes nothing; it may again at any time."""


@dataclass(frozen=True)
class Engines:
    """How a database is reached.

    Attributes
    ----------
    read
        Its transactions see one state of the database from beginning to end.
    write
        Its transactions are alone in writing from their first statement on, so that they can never deadlock.
    look
        Called before each of these.
    lost
        Set when another orchestrator was found to have the lock.
    away
        Errors of a server that is away for a while; a file is there or not.
    """

    read: Engine
    write: Engine
    look: Callable[[], None]
    lost: threading.Event
    away: tuple[type[Exception], ...] = ()

    def close(self) -> None:
        """Let go of the database."""
        self.read.dispose()
        self.write.dispose()


def open_database(place: Path | str) -> Engines:
    """Reach a database: a file of SQLite, or the URL of either kind.

    Raises
    ------
    ValueError
        The URL is of another kind.
    StoreBusyError
        Another orchestrator works on a database of PostgreSQL.
    """
    url = url_of(place)
    return _sqlite(url) if url.get_backend_name() == SQLITE else _postgresql(url)


def url_of(place: Path | str) -> URL:
    """Read where a database is; errors as of `open_database`, and none of them shows a password."""
    if isinstance(place, Path):
        return URL.create(SQLITE, database=str(place))
    expected = "expected sqlite:////FOLDER/FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
    try:
        url = make_url(place)
    except exc.ArgumentError:
        raise ValueError(f"the store's URL is none: {expected}") from None
    kind = url.get_backend_name()
    if kind == POSTGRESQL:
        return url.set(drivername="postgresql+psycopg")
    if kind == SQLITE and url.database and Path(url.database).is_absolute():
        return url.set(drivername=SQLITE)
    raise ValueError(f"the store cannot be at {url.render_as_string()}: {expected}")


def file_of(place: Path | str) -> Path | None:
    """Name the file of a database; None for one on a server. Errors as of `open_database`."""
    url = url_of(place)
    return Path(url.database or "") if url.get_backend_name() == SQLITE else None


def _sqlite(url: URL) -> Engines:
    """Open a file, whose folder exists. Never on a network file system: SQLite's locks do not hold there."""
    path = Path(url.database or "")
    read = create_engine(url, connect_args={"timeout": _WAIT_SECONDS})
    # Writers queue up for the one connection: SQLite's own way, to sleep and try again, lets some wait for seconds.
    write = create_engine(url, connect_args={"timeout": _WAIT_SECONDS}, **_ONE)
    for engine, statement in ((read, "BEGIN"), (write, "BEGIN IMMEDIATE")):
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", partial(_begin, statement))
    reserve = Reserve(path.with_name(path.name + "-reserve"))
    return Engines(read, write, reserve.look, threading.Event())


def _configure(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    # Python's sqlite3 opens transactions by itself, and late; ours begin where `_begin` says.
    connection.isolation_level = None
    # FULL: what Train has answered survives a power cut, too.
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(statement: str, connection: Connection) -> None:
    if not connection.get_execution_options().get("alone", False):
        connection.exec_driver_sql(statement)


def _postgresql(url: URL) -> Engines:
    """Reach a server.

    All is written through one connection, which holds the lock by which other orchestrators know that this one is at
    work. Should the connection break, the server gives the lock up with it, and nothing is written before it is had
    again: what another orchestrator has taken over meanwhile, this one cannot touch.
    """
    read = create_engine(url, connect_args=_CLIENT, **{**_ONE, "pool_size": _READERS})
    write = create_engine(url, connect_args=_CLIENT, **_ONE)
    for engine, statement in ((read, _BEGIN_READING), (write, "BEGIN")):
        event.listen(engine, "connect", _set_up)
        event.listen(engine, "begin", partial(_begin, statement))
    lost = threading.Event()
    event.listen(write, "connect", partial(_take_lock, lost))
    away = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)
    return Engines(read, write, lambda: None, lost, away)


def _set_up(connection: Any, _entry: ConnectionPoolEntry) -> None:
    # Transactions begin where `_begin` says.
    connection.autocommit = True
    for statement in _SESSION:
        connection.execute(statement)


def _take_lock(lost: threading.Event, connection: Any, _entry: ConnectionPoolEntry) -> None:
    end = time.monotonic() + _LOCK_SECONDS
    while not connection.execute(_TAKE_LOCK, (_LOCK,)).fetchone()[0]:
        if time.monotonic() > end:
            lost.set()
            connection.close()
            raise StoreBusyError("another orchestrator works on the store's database")
        time.sleep(0.1)

# SPDX-License-Identifier: BSD-3-Clause
"""A PostgreSQL of one's own for tests: in a scratch folder, on a Unix socket, gone at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

_DEBIAN = Path("/usr/lib/postgresql")
_START_SECONDS = 60
_CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


class PostgresqlMissingError(Exception):
    """There is no PostgreSQL on this machine; the message says what to install."""


class Server:
    """A server that runs.

    Parameters
    ----------
    folder
        Of its socket.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def new_url(self) -> str:
        """Make an empty schema, and give the URL of a database that has it."""
        schema = f"s{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self._words(), autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {schema}")
        options = f"options=-csearch_path%3D{schema}"
        return f"postgresql+psycopg://postgres@/postgres?host={self._folder}&{options}"

    def cut(self) -> None:
        """End every session from the server's side, as a restart of it does."""
        with psycopg.connect(self._words(), autocommit=True) as connection:
            connection.execute(_CUT)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Let nobody reach it for a while."""
        socket = next(each for each in self._folder.glob(".s.PGSQL.*") if each.is_socket())
        hidden = socket.with_name("hidden")
        with psycopg.connect(self._words(), autocommit=True) as connection:
            socket.rename(hidden)
            connection.execute(_CUT)
        try:
            yield
        finally:
            hidden.rename(socket)

    def wait(self) -> None:
        """Return when it answers."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self._words()).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def _words(self) -> str:
        return f"host={self._folder} user=postgres dbname=postgres"


@contextmanager
def running() -> Iterator[Server]:
    """Run a server.

    Raises
    ------
    PostgresqlMissingError
        It is not installed.
    """
    programs = _programs()
    # A socket's path has 107 bytes at most; pytest's folders are longer.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    user = _user()
    if user:
        shutil.chown(folder, user)
    try:
        data = folder / "data"
        command = [programs / "initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8"]
        subprocess.run(
            [*command, "--locale=C", "--no-sync", data],
            user=user,
            cwd=folder,
            check=True,
            capture_output=True,
        )
        yield from _served(programs, folder, data, user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _served(programs: Path, folder: Path, data: Path, user: str | None) -> Iterator[Server]:
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [programs / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses="],
            user=user,
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        server = Server(folder)
        server.wait()
        yield server
    finally:
        process.send_signal(signal.SIGINT)  # sessions are ended, not waited for
        process.wait()


def _programs() -> Path:
    found = sorted(_DEBIAN.glob("*/bin/initdb")) or [Path(shutil.which("initdb") or "")]
    if not found[-1].name:
        raise PostgresqlMissingError("no PostgreSQL here; on Debian: apt-get install postgresql")
    return found[-1].parent


def _user() -> str | None:
    """Name whom to run it as: the server refuses root."""
    if os.geteuid() != 0:
        return None
    names = {each.pw_name for each in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"

# SPDX-License-Identifier: BSD-3-Clause
"""Where a store lies: every test of one runs on SQLite and on a real PostgreSQL, where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import postgresql
import pytest

from dl4mic_orchestrator.api.room import Room
from dl4mic_orchestrator.records import Allowance

Place = Path | str


@pytest.fixture(scope="session")
def server() -> Iterator[postgresql.Server]:
    try:
        with postgresql.running() as server:
            yield server
    except postgresql.PostgresqlMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for half a minute until a lock is taken for another's."""
    monkeypatch.setattr("dl4mic_orchestrator.store.engines._LOCK_SECONDS", 2.0)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    """Give room for everything."""
    return Room(tmp_path, 0, lambda project: Allowance(), lambda project: 0)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        return tmp_path / "s.sqlite"
    server: postgresql.Server = request.getfixturevalue("server")
    return server.new_url()

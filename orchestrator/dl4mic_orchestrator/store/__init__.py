# SPDX-License-Identifier: BSD-3-Clause
"""The durable record: what is committed here is what happened."""

from __future__ import annotations

from pathlib import Path

from dl4mic_orchestrator.store.census import Census
from dl4mic_orchestrator.store.database import Database
from dl4mic_orchestrator.store.engines import StoreAwayError, StoreBusyError, StoreError, file_of
from dl4mic_orchestrator.store.instances import InstanceStore
from dl4mic_orchestrator.store.jobs import JobStore
from dl4mic_orchestrator.store.models import ModelStore

__all__ = [
    "Census",
    "InstanceStore",
    "JobStore",
    "ModelStore",
    "Store",
    "StoreAwayError",
    "StoreBusyError",
    "StoreError",
    "file_of",
]


class Store:
    """Jobs, instances and models in one database.

    Parameters
    ----------
    place
        File of SQLite, or URL of a database of SQLite or PostgreSQL.

    Raises
    ------
    ValueError
        The URL is of another kind.
    StoreError
        The database cannot be reached, or read.
    StoreBusyError
        Another orchestrator works on a database of PostgreSQL; a file of SQLite is guarded by who opens it.
    """

    def __init__(self, place: Path | str) -> None:
        self._database = Database(place)
        self.lost = self._database.lost
        """Set when another orchestrator has taken the database over: nothing can be written any more."""
        self.jobs = JobStore(self._database)
        self.instances = InstanceStore(self._database)
        self.models = ModelStore(self._database)
        self.census = Census(self._database)

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

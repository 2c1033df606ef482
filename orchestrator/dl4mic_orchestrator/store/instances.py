# SPDX-License-Identifier: BSD-3-Clause
"""Own the rows of running instances: what the next orchestrator needs to find them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from dl4mic_orchestrator.records import Grant, Instance, InstanceState
from dl4mic_orchestrator.store import tables
from dl4mic_orchestrator.store.database import Database


class InstanceStore:
    """Instances that hold a place, from before their launch until after their end."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, instance: Instance) -> None:
        """Record an instance that is about to be launched."""
        with self._database.write() as connection:
            connection.execute(insert(tables.instances), _row(instance))

    def all(self) -> list[Instance]:
        """Get all instances, the oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(tables.instances).order_by(tables.instances.c.create_time)
            )
            return [_instance(row) for row in rows]

    def save_backend_state(self, instance_id: str, state: Mapping[str, Any], place: str) -> None:
        """Keep what the backend must know to find the instance again."""
        self._set(instance_id, {"backend_state": dict(state), "place": place})

    def give_place(
        self, instance_id: str, state: Mapping[str, Any], place: str, moment: float
    ) -> None:
        """Note where it runs, and since when, in seconds since 1970: what it did before was waiting."""
        values = {"backend_state": dict(state), "place": place, "create_time": moment}
        self._set(instance_id, values)

    def change_state(self, instance_id: str, state: InstanceState) -> None:
        """Note what the instance does."""
        self._set(instance_id, {"state": int(state)})

    def remove(self, instance_id: str) -> None:
        """Forget an instance that is gone; its place is free."""
        with self._database.write() as connection:
            connection.execute(delete(tables.instances).where(tables.instances.c.id == instance_id))

    def _set(self, instance_id: str, values: Mapping[str, Any]) -> None:
        query = update(tables.instances).where(tables.instances.c.id == instance_id)
        with self._database.write() as connection:
            connection.execute(query.values(dict(values)))


def _row(instance: Instance) -> dict[str, Any]:
    return {
        "id": instance.id,
        "service": instance.service,
        "network": instance.network,
        "state": int(instance.state),
        "job_id": instance.job_id,
        "attempt": instance.attempt,
        "project": instance.project,
        "place": instance.place,
        "create_time": instance.create_time,
        "cpus": instance.grant.cpus,
        "memory_bytes": instance.grant.memory_bytes,
        "gpus": list(instance.grant.gpus),
        "backend_state": dict(instance.backend_state),
    }


def _instance(row: Row[Any]) -> Instance:
    return Instance(
        id=row.id,
        service=row.service,
        network=row.network,
        state=InstanceState(row.state),
        grant=Grant(row.cpus, row.memory_bytes, tuple(row.gpus)),
        job_id=row.job_id,
        attempt=row.attempt,
        project=row.project,
        place=row.place,
        create_time=row.create_time,
        backend_state=row.backend_state,
    )

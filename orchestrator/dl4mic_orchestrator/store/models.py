# SPDX-License-Identifier: BSD-3-Clause
"""Own the rows of models: the truth about which versions there are. Their content lies in the registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from dl4mic_orchestrator.records import Model, Scores
from dl4mic_orchestrator.store import tables
from dl4mic_orchestrator.store.database import Database


class ModelNotFoundError(LookupError):
    """There is no model of the name, version or alias."""


class ModelInUseError(Exception):
    """The model cannot be deleted: something needs it."""


class ModelStore:
    """Versions, aliases, lineage and scores of models."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reserve(self, model: Model) -> Model:
        """Take the next free version of a name, or find the one that the same job took before.

        Returns
        -------
        Model
            With its version; `complete` when it was published before.
        """
        with self._database.write() as connection:
            known = _of_job(connection, model.job_id)
            if known is not None:
                return known
            version = _next_version(connection, model.name)
            reserved = replace(model, version=version)
            connection.execute(insert(tables.models), _row(reserved))
        return reserved

    def complete(self, model: Model) -> None:
        """Write down size, digest, lineage and record of a model whose content lies verified in the registry."""
        values = {
            "size": model.size,
            "digest": model.digest,
            "parent": model.parent,
            "record": model.record,
        }
        where = (tables.models.c.name == model.name) & (tables.models.c.version == model.version)
        with self._database.write() as connection:
            connection.execute(update(tables.models).where(where).values(values))

    def find(self, reference: str) -> Model:
        """Get a model by "NAME" (its latest version), "NAME:VERSION" or "NAME:ALIAS".

        Raises
        ------
        ModelNotFoundError
            There is none; the message says which there are.
        """
        name, _, which = reference.partition(":")
        models = [model for model in self.published(name=name) if model.complete]
        for model in models:
            if not which or which == str(model.version) or which in model.aliases:
                return model
        raise ModelNotFoundError(self._words(reference, models))

    def published(self, *, name: str = "", network: str = "", project: str = "") -> list[Model]:
        """List the published models: by name, the newest version first."""
        query = select(tables.models).where(tables.models.c.digest != "")
        for column, value in (("name", name), ("network", network), ("project", project)):
            if value:
                query = query.where(tables.models.c[column] == value)
        query = query.order_by(tables.models.c.name, tables.models.c.version.desc())
        with self._database.read() as connection:
            aliases = _aliases(connection)
            return [_model(row, aliases) for row in connection.execute(query)]

    def unfinished(self) -> list[Model]:
        """List the versions that were taken and not published."""
        with self._database.read() as connection:
            rows = connection.execute(select(tables.models).where(tables.models.c.digest == ""))
            return [_model(row, {}) for row in rows]

    def set_alias(self, model: Model, alias: str) -> None:
        """Make an alias name this version, wherever it pointed before."""
        table = tables.model_aliases
        where = (table.c.name == model.name) & (table.c.alias == alias)
        row = {"name": model.name, "alias": alias, "version": model.version}
        with self._database.write() as connection:
            connection.execute(delete(table).where(where))
            connection.execute(insert(table), row)

    def delete(self, model: Model) -> None:
        """Forget a version; its number is not given again.

        Raises
        ------
        ModelInUseError
            Another model descends from it.
        """
        heirs = [other.tag for other in self.published() if other.parent == model.tag]
        if heirs:
            raise ModelInUseError(
                f"{model.tag} is the parent of {', '.join(heirs)}; delete that first"
            )
        where = (tables.models.c.name == model.name) & (tables.models.c.version == model.version)
        with self._database.write() as connection:
            connection.execute(delete(tables.models).where(where))

    def add_scores(self, scores: Scores) -> None:
        """Keep what a QC job measured, in place of what a job of its id measured on the model before."""
        row = {
            "digest": scores.digest,
            "job_id": scores.job_id,
            "time": scores.time,
            "scores": dict(scores.values),
        }
        table = tables.quality_controls
        where = (table.c.digest == scores.digest) & (table.c.job_id == scores.job_id)
        with self._database.write() as connection:
            connection.execute(delete(table).where(where))
            connection.execute(insert(table), row)

    def scores(self, digest: str) -> list[Scores]:
        """Get the scores of the model with a digest, the newest first."""
        table = tables.quality_controls
        query = select(table).where(table.c.digest == digest).order_by(table.c.time.desc())
        with self._database.read() as connection:
            return [
                Scores(row.digest, row.job_id, row.time, row.scores)
                for row in connection.execute(query)
            ]

    def _words(self, reference: str, models: Sequence[Model]) -> str:
        if models:
            return f"there is no model {reference!r}; of that name there are {', '.join(m.tag for m in models)}"
        names = sorted({model.name for model in self.published()})
        return f"there is no model {reference!r}; there are {', '.join(names) or 'none yet'}"


def _next_version(connection: Connection, name: str) -> int:
    table = tables.model_versions
    highest = connection.execute(select(table.c.highest).where(table.c.name == name)).scalar()
    if highest is None:
        connection.execute(insert(table), {"name": name, "highest": 1})
        return 1
    following = int(highest) + 1
    connection.execute(update(table).where(table.c.name == name).values(highest=following))
    return following


def _of_job(connection: Connection, job_id: str) -> Model | None:
    if not job_id:
        return None
    row = connection.execute(select(tables.models).where(tables.models.c.job_id == job_id)).first()
    return _model(row, {}) if row is not None else None


def _aliases(connection: Connection) -> dict[tuple[str, int], tuple[str, ...]]:
    aliases: dict[tuple[str, int], tuple[str, ...]] = {}
    for row in connection.execute(
        select(tables.model_aliases).order_by(tables.model_aliases.c.alias)
    ):
        key = (row.name, row.version)
        aliases[key] = (*aliases.get(key, ()), row.alias)
    return aliases


def _row(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "version": model.version,
        "network": model.network,
        "project": model.project,
        "create_time": model.create_time,
        "job_id": model.job_id or None,
        "size": model.size,
        "digest": model.digest,
        "parent": model.parent,
        "record": model.record,
    }


def _model(row: Row[Any], aliases: Mapping[tuple[str, int], tuple[str, ...]]) -> Model:
    return Model(
        name=row.name,
        version=row.version,
        network=row.network,
        project=row.project,
        create_time=row.create_time,
        job_id=row.job_id or "",
        size=row.size,
        digest=row.digest,
        parent=row.parent,
        record=row.record,
        aliases=aliases.get((row.name, row.version), ()),
    )

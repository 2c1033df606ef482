# SPDX-License-Identifier: BSD-3-Clause
"""Own the tables of the store. Times are seconds since 1970; messages of the contract are kept serialised."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

_BYTES = BigInteger().with_variant(Integer, "sqlite")
"""SQLite has integers of one kind, of 64 bits."""

jobs = Table(
    "jobs",
    metadata,
    Column("order", Integer, primary_key=True, autoincrement=True),
    Column("id", String(50), nullable=False, unique=True),
    Column("network", String(50), nullable=False, index=True),
    Column("project", String(50), nullable=False, index=True),
    Column("state", Integer, nullable=False, index=True),
    Column("attempt", Integer, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("device", Integer, nullable=False),
    Column("depends_on", JSON, nullable=False),
    Column("pinned_models", JSON, nullable=False),
    Column("deadline_time", Float),
    Column("retry_time", Float),
    Column("cancel_requested", Boolean, nullable=False),
    Column("prepared_attempt", Integer, nullable=False),
    Column("progressed", Boolean, nullable=False),
    Column("failures", JSON, nullable=False),
    Column("request_digest", String(64), nullable=False),
    Column("message", LargeBinary, nullable=False),
    # Ids of deleted jobs are not given again: page tokens are made of `order`.
    sqlite_autoincrement=True,
)

job_labels = Table(
    "job_labels",
    metadata,
    Column("job_id", String(50), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("key", String(50), primary_key=True),
    Column("value", String(50), nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("job_id", String(50), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("attempt", Integer, nullable=False),
    # The number that the instance gave it; NULL for what the orchestrator says itself.
    Column("source_sequence", Integer),
    Column("message", LargeBinary, nullable=False),
    UniqueConstraint("job_id", "attempt", "source_sequence", name="events_once"),
)

instances = Table(
    "instances",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("service", String(50), nullable=False),
    Column("network", String(50), nullable=False),
    Column("state", Integer, nullable=False),
    Column("job_id", String(50), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("project", String(50), nullable=False),
    Column("place", Text, nullable=False),
    Column("create_time", Float, nullable=False),
    Column("cpus", Float, nullable=False),
    Column("memory_bytes", _BYTES, nullable=False),
    Column("gpus", JSON, nullable=False),
    Column("backend_state", JSON, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("name", String(50), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("network", String(50), nullable=False),
    Column("project", String(50), nullable=False),
    Column("create_time", Float, nullable=False),
    # One model a job, however often its publication is begun; NULL once the job was deleted.
    Column("job_id", String(50), unique=True),
    Column("size", _BYTES, nullable=False),
    Column("digest", String(80), nullable=False, index=True),
    Column("parent", String(80), nullable=False),
    Column("record", Text, nullable=False),
)

model_versions = Table(
    "model_versions",
    metadata,
    Column("name", String(50), primary_key=True),
    # The highest version ever given: a deleted one is not given again.
    Column("highest", Integer, nullable=False),
)

model_aliases = Table(
    "model_aliases",
    metadata,
    Column("name", String(50), primary_key=True),
    Column("alias", String(50), primary_key=True),
    Column("version", Integer, nullable=False),
    ForeignKeyConstraint(
        ["name", "version"], ["models.name", "models.version"], ondelete="CASCADE"
    ),
)

quality_controls = Table(
    "quality_controls",
    metadata,
    Column("digest", String(80), primary_key=True),
    Column("job_id", String(50), primary_key=True),
    Column("time", Float, nullable=False),
    Column("scores", JSON, nullable=False),
)

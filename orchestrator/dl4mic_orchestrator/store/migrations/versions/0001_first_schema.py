# SPDX-License-Identifier: BSD-3-Clause
"""Jobs, events, instances and models: the first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BYTES = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    _create_jobs()
    _create_job_labels()
    _create_events()
    _create_instances()
    _create_models()
    _create_model_versions()
    _create_model_aliases()
    _create_quality_controls()


def downgrade() -> None:
    """Drop them."""
    op.drop_table("quality_controls")
    op.drop_table("model_aliases")
    op.drop_table("model_versions")
    op.drop_table("models")
    op.drop_table("instances")
    op.drop_table("events")
    op.drop_table("job_labels")
    op.drop_table("jobs")


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("order", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(50), nullable=False, unique=True),
        sa.Column("network", sa.String(50), nullable=False),
        sa.Column("project", sa.String(50), nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("device", sa.Integer, nullable=False),
        sa.Column("depends_on", sa.JSON, nullable=False),
        sa.Column("pinned_models", sa.JSON, nullable=False),
        sa.Column("deadline_time", sa.Float),
        sa.Column("retry_time", sa.Float),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("prepared_attempt", sa.Integer, nullable=False),
        sa.Column("progressed", sa.Boolean, nullable=False),
        sa.Column("failures", sa.JSON, nullable=False),
        sa.Column("request_digest", sa.String(64), nullable=False),
        sa.Column("message", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_network", "jobs", ["network"])
    op.create_index("ix_jobs_project", "jobs", ["project"])
    op.create_index("ix_jobs_state", "jobs", ["state"])


def _create_job_labels() -> None:
    op.create_table(
        "job_labels",
        sa.Column(
            "job_id", sa.String(50), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("key", sa.String(50), primary_key=True),
        sa.Column("value", sa.String(50), nullable=False),
    )


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column(
            "job_id", sa.String(50), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("source_sequence", sa.Integer),
        sa.Column("message", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("job_id", "attempt", "source_sequence", name="events_once"),
    )


def _create_instances() -> None:
    op.create_table(
        "instances",
        sa.Column("id", sa.String(80), primary_key=True),
        sa.Column("service", sa.String(50), nullable=False),
        sa.Column("network", sa.String(50), nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("job_id", sa.String(50), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("project", sa.String(50), nullable=False),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("create_time", sa.Float, nullable=False),
        sa.Column("cpus", sa.Float, nullable=False),
        sa.Column("memory_bytes", _BYTES, nullable=False),
        sa.Column("gpus", sa.JSON, nullable=False),
        sa.Column("backend_state", sa.JSON, nullable=False),
    )


def _create_models() -> None:
    op.create_table(
        "models",
        sa.Column("name", sa.String(50), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("network", sa.String(50), nullable=False),
        sa.Column("project", sa.String(50), nullable=False),
        sa.Column("create_time", sa.Float, nullable=False),
        sa.Column("job_id", sa.String(50), unique=True),
        sa.Column("size", _BYTES, nullable=False),
        sa.Column("digest", sa.String(80), nullable=False),
        sa.Column("parent", sa.String(80), nullable=False),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_index("ix_models_digest", "models", ["digest"])


def _create_model_versions() -> None:
    op.create_table(
        "model_versions",
        sa.Column("name", sa.String(50), primary_key=True),
        sa.Column("highest", sa.Integer, nullable=False),
    )


def _create_model_aliases() -> None:
    op.create_table(
        "model_aliases",
        sa.Column("name", sa.String(50), primary_key=True),
        sa.Column("alias", sa.String(50), primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(
            ["name", "version"], ["models.name", "models.version"], ondelete="CASCADE"
        ),
    )


def _create_quality_controls() -> None:
    op.create_table(
        "quality_controls",
        sa.Column("digest", sa.String(80), primary_key=True),
        sa.Column("job_id", sa.String(50), primary_key=True),
        sa.Column("time", sa.Float, nullable=False),
        sa.Column("scores", sa.JSON, nullable=False),
    )

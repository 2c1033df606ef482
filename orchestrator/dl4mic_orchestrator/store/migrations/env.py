# SPDX-License-Identifier: BSD-3-Clause
"""Run the migrations on the connection that `Database` hands over."""

from __future__ import annotations

from alembic import context

from dl4mic_orchestrator.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()

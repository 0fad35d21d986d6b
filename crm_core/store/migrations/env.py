"""Alembic's environment: it is handed an open connection by `crm_core.store.database`."""

from __future__ import annotations

from alembic import context

from crm_core.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()

"""Alembic's entry point: store/migrate.py hands it an open transaction."""

from __future__ import annotations

from alembic import context

from reference_server.store.all_tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=False,  # the transaction around all of it is the caller's
)
context.run_migrations()

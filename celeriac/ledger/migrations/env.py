"""Runs the migrations on a connection whose transaction is the caller's."""

from __future__ import annotations

from alembic import context

from celeriac.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # The caller begins and commits, on SQLite too, where the driver would do it in between.
    transactional_ddl=False,
)
context.run_migrations()

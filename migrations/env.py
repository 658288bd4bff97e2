"""Alembic's entry point: runs inside the connection that `app.store.migrate` opens and locks."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=None, transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()

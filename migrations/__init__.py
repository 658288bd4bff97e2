"""The Postgres schema, by Alembic: expand first, contract in a later release."""

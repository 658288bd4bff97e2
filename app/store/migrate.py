"""Runs Alembic's migrations on a connection of their own, one process at a time."""

from collections.abc import Callable
from importlib import resources
from typing import Final

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.domain.errors import PostgresUnavailable
from app.store.postgres import open_connection, postgres_errors

_LOCK: Final = 7_236_451_908_113
"""Key of the advisory lock that two simultaneous migrations meet at; any fixed number does."""


async def upgrade(url: str, revision: str = "head") -> None:
    """Bring the schema up to `revision`. Raises PostgresUnavailable."""
    await _migrate(url, lambda config: command.upgrade(config, revision))


async def downgrade(url: str, revision: str) -> None:
    """Take the schema back to `revision` (`base` is before the first). Raises PostgresUnavailable."""
    await _migrate(url, lambda config: command.downgrade(config, revision))


async def _migrate(url: str, run: Callable[[Config], None]) -> None:
    async with open_connection(url):
        pass  # a server that cannot be used is told as everywhere else
    # asyncpg reads the URL itself, so that it means here what it means everywhere else.
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=NullPool
    )
    try:
        with postgres_errors():
            async with engine.begin() as connection:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
                await connection.run_sync(lambda sync_connection: run(_config(sync_connection)))
    except (SQLAlchemyError, CommandError) as error:
        raise PostgresUnavailable(f"the migration failed: {getattr(error, 'orig', error)}") from error
    finally:
        await engine.dispose()


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.files("migrations")))
    config.attributes["connection"] = connection
    return config

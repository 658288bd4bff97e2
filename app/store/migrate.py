"""Runs Alembic's migrations on a connection of their own, one process at a time.

And makes what a dump of another cluster brought fit this one, for migrating is what comes after a restore.
"""

from collections.abc import Callable
from importlib import resources
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.domain.errors import PostgresUnavailable
from app.store.locks import Lock, take
from app.store.postgres import LONG_STATEMENT_TIMEOUT_S, SQL, connect, open_connection, postgres_errors
from app.store.statements import Statements

LOCK_TIMEOUT_S: Final = 10
DUMP: Final = Statements("dump.sql")
_STAMP: Final = (
    *("disable_triggers", "stamp_instruments", "enable_triggers", "stamp_tombstones"),
    *("disable_triggers_of_history", "forget_ids_of_history", "enable_triggers_of_history"),
)


async def upgrade(url: str, revision: str = "head") -> None:
    """Bring the schema up to `revision`. Raises PostgresUnavailable."""
    await _migrate(url, lambda config: command.upgrade(config, revision))
    if revision == "head":
        await _settle(url)


async def _settle(url: str) -> None:
    """Give rows ids of this cluster's transactions where theirs are of another, whose counter was ahead.

    The index would be rebuilt for the other cluster, but then read these rows at every refresh, and take
    their changes for unindexed ones, until the counter is there too.
    """
    async with open_connection(url, statement_timeout_s=LONG_STATEMENT_TIMEOUT_S) as connection:
        with postgres_errors():
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'")
                await take(connection, Lock.MIGRATION)
                if await connection.fetchval(DUMP["holds_ids_to_come"]):
                    for name in _STAMP:
                        await connection.execute(DUMP[name])


async def downgrade(url: str, revision: str) -> None:
    """Take the schema back to `revision` (`base` is before the first). Raises PostgresUnavailable."""
    await _migrate(url, lambda config: command.downgrade(config, revision))


async def current_revision(url: str) -> str | None:
    """The last migration that was applied; None after a downgrade to `base`. Raises PostgresUnavailable."""
    async with open_connection(url) as connection:
        with postgres_errors():
            revision: str | None = await connection.fetchval(SQL["schema_revision"])
            return revision


async def _migrate(url: str, run: Callable[[Config], None]) -> None:
    async with open_connection(url):
        pass  # a server that cannot be used is told as everywhere else
    # asyncpg reads the URL itself, so that it means here what it means everywhere else.
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: connect(url), poolclass=NullPool
    )
    try:
        with postgres_errors():
            async with engine.begin() as connection:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": Lock.MIGRATION})
                # Behind who reads for long, everybody else would wait for us.
                await connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'"))
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

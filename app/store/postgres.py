"""Postgres: the pool, and the one place where the driver's errors become the project's."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, TypeAlias

import asyncpg

from app.domain.errors import PostgresUnavailable

Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)

CONNECT_TIMEOUT_S: Final = 5.0
STATEMENT_TIMEOUT_S: Final = 30.0

_CONNECTION_ERRORS: Final = (
    OSError,
    TimeoutError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,
)


@contextmanager
def postgres_errors() -> Iterator[None]:
    """Turns the driver's errors that mean *not usable now* into PostgresUnavailable."""
    try:
        yield
    except asyncpg.UndefinedTableError as error:
        raise PostgresUnavailable(
            "the database has no schema yet; run instrument-registry migrate"
        ) from error
    except _CONNECTION_ERRORS as error:
        raise PostgresUnavailable(f"Postgres does not answer: {error or type(error).__name__}") from error


@contextmanager
def _connecting() -> Iterator[None]:
    """As `postgres_errors`, where any refusal of the server means that it cannot be used."""
    try:
        with postgres_errors():
            yield
    except asyncpg.PostgresError as error:
        raise PostgresUnavailable(f"Postgres refuses the connection: {error}") from error


@asynccontextmanager
async def open_connection(url: str, *, statement_timeout_s: float | None = None) -> AsyncIterator[Connection]:
    """One connection of one's own. Raises PostgresUnavailable."""
    with _connecting():
        connection: Connection = await asyncpg.connect(
            url, timeout=CONNECT_TIMEOUT_S, command_timeout=statement_timeout_s
        )
    try:
        yield connection
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_S)


class Postgres:
    """A lazily opened pool: a process starts, and answers from Redis, while Postgres is away."""

    def __init__(self, url: str, pool_size: int) -> None:
        self._pool = asyncpg.create_pool(
            url,
            min_size=0,
            max_size=pool_size,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=STATEMENT_TIMEOUT_S,
        )

    async def open(self) -> None:
        """Set the pool up; connections are made when they are first needed."""
        await self._pool

    async def close(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A pooled connection; inside, the driver's errors become PostgresUnavailable."""
        with _connecting():
            connection = await self._pool.acquire(timeout=CONNECT_TIMEOUT_S)
        try:
            with postgres_errors():
                yield connection
        finally:
            await self._pool.release(connection)

    @property
    def connections_in_use(self) -> int:
        return self._pool.get_size() - self._pool.get_idle_size()

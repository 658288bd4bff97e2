"""Postgres: the pool, and the one place where the driver's errors become the project's."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, TypeAlias

import asyncpg

from app.domain.errors import Conflict, PostgresUnavailable

Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)

CONNECT_TIMEOUT_S: Final = 5.0
STATEMENT_TIMEOUT_S: Final = 30.0
PING_TIMEOUT_S: Final = 2.0

_UNUSABLE_CLASSES: Final = ("08", "25", "28", "3D", "40", "53", "55", "57", "58", "XX")
"""Classes of SQLSTATE that say something of the server's state, not of the statement."""
_UNFIT_SCHEMA: Final = ("42P01", "42703", "42883", "42501")
"""No such table, column or function, or no right to use it."""

_NO_ANSWER: Final = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""TimeoutError is an OSError. The last is raised where a connection ends between two steps of a query."""


@contextmanager
def postgres_errors() -> Iterator[None]:
    """Turns the driver's errors into PostgresUnavailable, and a broken rule of the database into Conflict."""
    try:
        yield
    except asyncpg.IntegrityConstraintViolationError as error:
        raise Conflict(f"this breaks a rule of the database: {error.detail or error}") from error
    except asyncpg.PostgresError as error:
        state = error.sqlstate or ""
        if state in _UNFIT_SCHEMA:
            raise PostgresUnavailable(
                f"the database does not fit this version ({error}); run instrument-registry migrate"
            ) from error
        if state.startswith(_UNUSABLE_CLASSES):
            raise PostgresUnavailable(f"Postgres cannot be used: {error}") from error
        raise
    except _NO_ANSWER as error:
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
        try:
            await connection.close(timeout=CONNECT_TIMEOUT_S)
        except (*_NO_ANSWER, asyncpg.PostgresError):
            connection.terminate()  # it is of no more use, and what mattered was said before


async def _leave_as_is(_: Connection) -> None:
    """In place of a round trip after each use of a connection: nothing here changes a session.

    No setting, LISTEN or lock outlives its transaction, which asyncpg rolls back itself if one is open.
    """


class Postgres:
    """A lazily opened pool: a process starts, and answers from Redis, while Postgres is away."""

    def __init__(self, url: str, pool_size: int) -> None:
        self._pool = asyncpg.create_pool(
            url,
            min_size=0,
            max_size=pool_size,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=STATEMENT_TIMEOUT_S,
            reset=_leave_as_is,
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
        with postgres_errors():
            try:
                yield connection
            finally:
                await self._pool.release(connection)

    async def ping(self) -> None:
        """Raises PostgresUnavailable unless the server answers at once."""
        async with self.connection() as connection:
            await connection.fetchval("SELECT 1", timeout=PING_TIMEOUT_S)

    @property
    def connections_in_use(self) -> int:
        return self._pool.get_size() - self._pool.get_idle_size()

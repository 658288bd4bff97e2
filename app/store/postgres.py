"""Postgres: the pool, and the one place where the driver's errors become the project's."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeAlias, cast
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import structlog

from app import metrics
from app.domain.errors import Conflict, PostgresUnavailable
from app.store.statements import Statements
from app.tasks import end_tasks

Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)
QueryLogger: TypeAlias = Callable[[asyncpg.connection.LoggedQuery], None]
"""Told of each statement when it has ended; of a cursor or a COPY nothing."""

CONNECT_TIMEOUT_S: Final = 5.0
STATEMENTS_KEPT: Final = 100
"""Prepared ones, of a connection."""
STATEMENT_TIMEOUT_S: Final = 30.0
"""Where nobody waits for an answer over HTTP, and of bulk writes; requests have a setting."""
LONG_STATEMENT_TIMEOUT_S: Final = 3600.0
"""For a statement that works through all instruments, as imports and snapshots do."""
PING_TIMEOUT_S: Final = 2.0
OTHER_CONNECTIONS: Final = 3
"""Of an API process besides its pool: for notifications, for the copies' epoch, and one now and then."""
RELEASE_TIMEOUT_S: Final = 0.2
"""For a query that was given up to be cancelled; then its connection is closed."""

_UNUSABLE_CLASSES: Final = ("08", "25", "28", "3D", "40", "53", "55", "57", "58", "XX")
"""Classes of SQLSTATE that say something of the server's state, not of the statement."""
_UNFIT_SCHEMA: Final = ("42P01", "42703", "42883", "42501")
"""No such table, column or function, or no right to use it."""
_CANCELLED: Final = "57014"
"""By the server, whose own statement_timeout may be shorter."""

_NO_ANSWER: Final = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""TimeoutError is an OSError. The last is raised where a connection ends between two steps of a query."""


SQL: Final = Statements("postgres.sql")

_given, _failed = (metrics.POSTGRES_ACQUIRES.labels(result) for result in ("given", "failed"))

log = structlog.get_logger(__name__)


@contextmanager
def postgres_errors() -> Iterator[None]:
    """Turns the driver's errors into PostgresUnavailable, and a broken rule of the database into Conflict."""
    try:
        yield
    except asyncpg.IntegrityConstraintViolationError as error:
        raise Conflict(f"this breaks a rule of the database: {error.detail or error}") from error
    except asyncpg.PostgresError as error:
        state = error.sqlstate or ""
        if state == _CANCELLED:
            raise _timed_out() from error
        if state in _UNFIT_SCHEMA:
            raise PostgresUnavailable(
                f"the database does not fit this version ({error}); run instrument-registry migrate"
            ) from error
        if state.startswith(_UNUSABLE_CLASSES):
            raise PostgresUnavailable(f"Postgres cannot be used: {error}") from error
        raise
    except TimeoutError as error:
        raise _timed_out() from error
    except _NO_ANSWER as error:
        raise PostgresUnavailable(
            f"Postgres does not answer: {str(error) or type(error).__name__}"
        ) from error


def _timed_out() -> PostgresUnavailable:
    metrics.POSTGRES_STATEMENT_TIMEOUTS.inc()
    return PostgresUnavailable("a statement took Postgres longer than it may, and was given up")


@contextmanager
def _connecting() -> Iterator[None]:
    """As `postgres_errors`, where any refusal of the server means that it cannot be used.

    Counts what comes of it; who goes away meanwhile is not counted.
    """
    try:
        with postgres_errors():
            try:
                yield
            except TimeoutError as error:
                raise PostgresUnavailable(
                    f"Postgres gives no connection within {CONNECT_TIMEOUT_S:.0f} s"
                ) from error
    except asyncpg.PostgresError as error:
        _failed.inc()
        raise PostgresUnavailable(f"Postgres refuses the connection: {error}") from error
    except PostgresUnavailable:
        _failed.inc()
        raise
    _given.inc()


async def connect(url: str, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection to the first host of a URL that takes it; all are asked at once, as one may be silent."""
    hosts = urlsplit(url).netloc.rpartition("@")[2].split(",")
    if len(hosts) == 1:
        only: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(url, **options)
        return only
    connecting: list[asyncio.Future[asyncpg.Connection[asyncpg.Record]]] = [
        asyncio.ensure_future(asyncpg.connect(_url_of_host(url, host), **options)) for host in hosts
    ]
    connection = None
    failure: Exception = OSError("no host")
    try:
        for attempt in asyncio.as_completed(connecting):
            try:
                connection = await attempt
            except (asyncpg.PostgresError, *_NO_ANSWER) as error:
                failure = error
            else:
                return connection
        raise failure
    finally:
        await end_tasks(*connecting)
        for other in connecting:
            if not other.cancelled() and other.exception() is None and other.result() is not connection:
                other.result().terminate()


def _url_of_host(url: str, host: str) -> str:
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{credentials}{at}{host}"))


@asynccontextmanager
async def open_connection(
    url: str, *, statement_timeout_s: float = STATEMENT_TIMEOUT_S, prepared: bool = True
) -> AsyncIterator[Connection]:
    """One connection of one's own; `prepared` as of `Postgres`. Raises PostgresUnavailable."""
    with _connecting():
        connection: Connection = await connect(
            url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=statement_timeout_s,
            statement_cache_size=STATEMENTS_KEPT if prepared else 0,
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
    """A lazily opened pool: a process starts, and answers from Redis, while Postgres is away.

    Without `prepared` no statement is kept in a session, for a pooler that gives each transaction another.
    `wanted_connections` are those of all processes like this one; the log says if the server has fewer.
    `query_loggers` are told of what its connections are asked.
    """

    def __init__(
        self,
        url: str,
        pool_size: int,
        *,
        statement_timeout_s: float = STATEMENT_TIMEOUT_S,
        prepared: bool = True,
        wanted_connections: int = 0,
        query_loggers: Sequence[QueryLogger] = (),
    ) -> None:
        self._url = url
        self._size = pool_size
        self._prepared = prepared
        self._wanted = wanted_connections
        self._query_loggers = query_loggers
        self._pool = asyncpg.create_pool(
            url,
            connect=cast("Any", connect),  # the stubs want each of its options by name
            min_size=0,
            max_size=pool_size,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=statement_timeout_s,
            init=self._introduce,
            reset=_leave_as_is,
            statement_cache_size=STATEMENTS_KEPT if prepared else 0,
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
        started = time.perf_counter()
        try:
            with metrics.POSTGRES_ACQUIRES_WAITING.track_inprogress(), _connecting():
                connection = await self._acquire()
        finally:
            metrics.POSTGRES_ACQUIRE_SECONDS.observe(time.perf_counter() - started)
        with postgres_errors():
            try:
                yield connection
            finally:
                await self._pool.release(connection, timeout=RELEASE_TIMEOUT_S)

    async def ping(self) -> None:
        """Raises PostgresUnavailable unless the server answers at once.

        By a connection of its own: a pool that is in use says nothing of the server.
        """
        try:
            async with (
                asyncio.timeout(PING_TIMEOUT_S),
                open_connection(self._url, prepared=self._prepared) as connection,
            ):
                with postgres_errors():
                    await connection.fetchval("SELECT 1")
        except TimeoutError as error:
            raise PostgresUnavailable(f"Postgres does not answer within {PING_TIMEOUT_S:.0f} s") from error

    async def _acquire(self) -> "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]":
        try:
            return await self._pool.acquire(timeout=CONNECT_TIMEOUT_S)
        except TimeoutError as error:
            if self.connections_in_use < self._size:
                raise
            raise PostgresUnavailable(
                f"all {self._size} connections to Postgres of this process have been in use for "
                f"{CONNECT_TIMEOUT_S:.0f} s"
            ) from error

    async def _introduce(self, connection: Connection) -> None:
        """What a new connection begins with. Once, by the first: does the server have room for all that may
        come?"""
        for told in self._query_loggers:
            connection.add_query_logger(told)
        wanted, self._wanted = self._wanted, 0
        if wanted and (allowed := await connection.fetchval(SQL["connections_allowed"])) < wanted:
            log.warning(
                "Postgres allows fewer connections than may be needed", allowed=allowed, needed=wanted
            )

    @property
    def connections_in_use(self) -> int:
        return self._pool.get_size() - self._pool.get_idle_size()

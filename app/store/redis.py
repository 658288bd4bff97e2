"""Redis: the client, and the one place where the driver's errors become the project's."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from typing import Any, Final, cast

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.maint_notifications import MaintNotificationsConfig

from app.domain.errors import LeaseLost, RedisUnavailable
from app.store.sentinel import SentinelPool
from app.store.sentinel_url import is_sentinel_url

CONNECT_TIMEOUT_S: Final = 2.0
POOL_WAIT_S: Final = 2.0

MIN_SEARCH_VERSION: Final = 21005
"""RediSearch 2.10.5, as its module numbers itself."""

ENGINE_SETTINGS: Final = {
    # One-letter prefixes find nothing by default, and a prefix stops at 200 terms.
    "MINPREFIX": "1",
    "MAXPREFIXEXPANSIONS": "20000",
    # A search that runs out of time answers what it has and says so.
    "ON_TIMEOUT": "return",
}
_REDIS_8_NAMES: Final = {
    "MINPREFIX": "search-min-prefix",
    "MAXPREFIXEXPANSIONS": "search-max-prefix-expansions",
    "ON_TIMEOUT": "search-on-timeout",
}


_UNUSABLE: Final = (
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOAUTH",
    "NOPERM",
    "NOREPLICAS",
    "OOM",
    "READONLY",
)
"""How replies begin that say something of the server's state, not of the command."""


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turns driver errors that mean *not usable now* into RedisUnavailable, fenced writes into LeaseLost."""
    try:
        yield
    except (exceptions.RedisError, OSError) as error:
        if (ours := translated(error)) is None:
            raise
        raise ours from error


def translated(error: Exception) -> RedisUnavailable | LeaseLost | None:
    """The project's error for one of the driver's; None where it is a defect of ours."""
    match error:
        case exceptions.OutOfMemoryError():
            return RedisUnavailable(f"Redis is out of memory: {error}")
        case (
            exceptions.AuthenticationError()
            | exceptions.BusyLoadingError()
            | exceptions.NoPermissionError()
            | exceptions.ReadOnlyError()
        ):
            return RedisUnavailable(f"Redis cannot be used: {error}")
        case EngineUnusable():
            return RedisUnavailable(str(error))
        case exceptions.ConnectionError() | exceptions.TimeoutError() | OSError():
            return RedisUnavailable(f"Redis does not answer: {str(error) or type(error).__name__}")
        case exceptions.ResponseError() if "FENCED" in str(error):
            return LeaseLost(
                f"another indexer leads now, or Redis was emptied, restarted or replaced ({error})"
            )
        case exceptions.ResponseError() if str(error).startswith(_UNUSABLE):
            return RedisUnavailable(f"Redis cannot be used: {error}")
    return None


def open_redis(
    url: str,
    *,
    pool_size: int,
    timeout_s: float | None,
    on_connect: Callable[[AbstractConnection], Awaitable[None]] | None = None,
    kind: type[Redis] = Redis,
) -> "Redis":
    """A client that waits for a free connection, and whose replies are bytes (RESP3).

    `timeout_s` bounds a reply (None: the caller does). Nothing is retried here: a command may have been
    carried out.
    `on_connect` sets each new connection up in the driver's stead, by its `on_connect()`, and may ask more.
    """
    options: dict[str, Any] = {
        "max_connections": pool_size,
        "timeout": POOL_WAIT_S,
        "protocol": 3,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "redis_connect_func": on_connect,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),  # no messages unasked
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": False,
    }
    if is_sentinel_url(url):
        return kind.from_pool(SentinelPool(url, **options))
    return kind.from_pool(BlockingConnectionPool.from_url(url, **options))


def open_search_redis(
    url: str, *, pool_size: int, timeout_s: float | None, kind: type[Redis] = Redis
) -> "Redis":
    """As `open_redis`, of a Redis that holds the index: each connection readies the query engine first."""
    return open_redis(url, pool_size=pool_size, timeout_s=timeout_s, on_connect=_prepare_engine, kind=kind)


def bound_replies(client: "Redis", timeout_s: float) -> None:
    """From now on replies are waited for so long, on connections that are open as well."""
    pool = client.connection_pool
    pool.update_connection_kwargs(socket_timeout=timeout_s)
    for connections in (pool._get_free_connections(), pool._get_in_use_connections()):  # noqa: SLF001
        for connection in connections:
            connection.socket_timeout = timeout_s


@cache
def script_text(name: str) -> str:
    return resources.files("app.store").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


def load_script(client: "Redis", *names: str) -> AsyncScript:
    """The Lua scripts `lua/<name>.lua` as one, sent by its hash and loaded where it is unknown."""
    return client.register_script("".join(map(script_text, names)))


class EngineUnusable(exceptions.ConnectionError):
    """This Redis answers, but cannot do what searches need."""


async def _prepare_engine(connection: AbstractConnection) -> None:
    """Check the query engine's version and set what the queries rely on. Raises EngineUnusable.

    At each connection: a server that was restarted, or a replica that took over, does not have
    these settings.
    """

    async def execute(*arguments: str) -> Any:
        await connection.send_command(*arguments)
        return await connection.read_response()

    await connection.on_connect()
    modules = await execute("MODULE", "LIST")
    versions = [module[b"ver"] for module in modules if module[b"name"] in (b"search", b"searchlight")]
    if not versions or max(versions) < MIN_SEARCH_VERSION:
        found = f"version {max(versions)}" if versions else "none"
        raise EngineUnusable(
            f"this Redis has no usable query engine (found {found}, needs {MIN_SEARCH_VERSION}); "
            "use Redis Stack 7.4 or Redis 8"
        )
    for name, value in ENGINE_SETTINGS.items():
        try:
            if max(versions) >= 80_000:
                await execute("CONFIG", "SET", _REDIS_8_NAMES[name], value)
            else:
                await execute("FT.CONFIG", "SET", name, value)
        except exceptions.ResponseError as error:
            raise EngineUnusable(f"the query engine's {name} cannot be set: {error}") from error


def is_unknown_index(error: exceptions.ResponseError) -> bool:
    """Whether the reply says that there is no index of that name."""
    return "no such index" in str(error).lower() or "unknown index" in str(error).lower()


async def execute(client: "Redis", *arguments: str | bytes | float) -> Any:
    """One command, its reply as it comes."""
    return await cast("Awaitable[Any]", client.execute_command(*arguments))  # type: ignore[no-untyped-call]

"""What is put around the parts of the API where it is traced; otherwise nothing is, and nothing is asked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import TraceConfig
from redis.asyncio import Redis

from app.store.postgres import QueryLogger
from app.store.redis_line import RedisLine
from app.web.boundary import ServerHandler


@dataclass(frozen=True, slots=True)
class Hooks:
    around_requests: Callable[[ServerHandler], ServerHandler] | None = None
    line: type[RedisLine] = RedisLine
    """How the connections are made that requests share."""
    redis: type[Redis] = Redis
    """How clients are made whose connections are in a pool."""
    query_loggers: tuple[QueryLogger, ...] = ()
    http_client: tuple[TraceConfig, ...] = ()
    """Of requests to the OpenID provider."""


NO_HOOKS: Final = Hooks()

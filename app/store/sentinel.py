"""A pool of connections to the primary, or the replicas, that sentinels name.

Sentinel itself: redis.io/docs/latest/operate/oss_and_stack/management/sentinel.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from redis import exceptions
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff

from app.store.sentinel_url import parse_sentinel_url
from app.tasks import end_tasks

Address: TypeAlias = tuple[str, int]

TIMEOUT_S: Final = 0.5
"""For one sentinel to answer."""
RENEW_S: Final = 30.0
"""After so long connections to replicas are made anew: there may be others by then, or one again."""


class _Sentinels(Sentinel):
    """Asks all of them at once, so that one that is away keeps nobody waiting; the first answer counts."""

    def __init__(self, hosts: tuple[Address, ...], options: dict[str, Any]) -> None:
        super().__init__(hosts, sentinel_kwargs=options)  # type: ignore[no-untyped-call]
        self._each = [Sentinel([host], sentinel_kwargs=options) for host in hosts]  # type: ignore[no-untyped-call]

    async def discover_master(self, service_name: str) -> Address:
        address: Address = await self._first(lambda one: one.discover_master(service_name))
        return address

    async def discover_slaves(self, service_name: str) -> list[Address]:
        addresses: list[Address] = await self._first(lambda one: one.discover_slaves(service_name))
        return addresses

    async def _first(self, ask: Callable[[Sentinel], Awaitable[Any]]) -> Any:
        asking = [asyncio.ensure_future(ask(one)) for one in self._each]
        failure: Exception = MasterNotFoundError("there are no sentinels")
        try:
            for answer in asyncio.as_completed(asking):
                try:
                    return await answer
                except exceptions.RedisError as error:
                    failure = error
            raise failure
        finally:
            await end_tasks(*asking)

    async def aclose(self) -> None:
        for one in (self, *self._each):
            for client in one.sentinels:
                await client.aclose()


class SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Waits for a free connection; each new one goes where the sentinels say that the service is."""

    def __init__(self, url: str, **options: Any) -> None:
        where = parse_sentinel_url(url)
        tls = {"ssl": True} if where.is_tls else {}
        self._sentinels = _Sentinels(
            where.hosts,
            {
                "username": where.sentinel_username,
                "password": where.sentinel_password,
                "socket_timeout": TIMEOUT_S,
                "socket_connect_timeout": TIMEOUT_S,
                "retry": Retry(NoBackoff(), 0),
                **tls,
            },
        )
        self._renewed_at = time.monotonic()
        super().__init__(  # type: ignore[no-untyped-call]
            where.service,
            self._sentinels,
            is_master=not where.is_replica,
            username=where.username,
            password=where.password,
            **tls,
            **options,
        )

    async def get_connection(self, *arguments: Any, **options: Any) -> Any:
        if not self.is_master and time.monotonic() - self._renewed_at > RENEW_S:
            self._renewed_at = time.monotonic()
            await self.disconnect(inuse_connections=False)
        return await super().get_connection(*arguments, **options)  # type: ignore[no-untyped-call]

    async def aclose(self) -> None:
        await super().aclose()
        await self._sentinels.aclose()

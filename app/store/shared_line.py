"""The connection to a Redis that all searches of a process share, made anew when it was lost."""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from typing import Any, Final

from redis.asyncio import Redis

from app.store.circuit import in_time
from app.store.redis_line import Command, RedisLine, open_line
from app.store.sentinel import RENEW_S, SentinelPool
from app.tasks import end_tasks

CONNECT_TIMEOUT_S: Final = 2.0


class SharedLine:
    """Nothing is asked twice: commands that a lost connection leaves without a reply fail.

    One to a replica that sentinels name is made anew now and then, as those of the pool are; who waits for
    replies of the one before gets them.
    """

    def __init__(self, client: Redis, reply_timeout_s: float, kind: type[RedisLine] = RedisLine) -> None:
        self._client = client
        self._kind = kind
        self._reply_timeout_s = reply_timeout_s
        self._line: RedisLine | None = None
        self._made_at = 0.0
        self._connecting: asyncio.Task[RedisLine] | None = None
        pool = client.connection_pool
        self._is_renewed = isinstance(pool, SentinelPool) and not pool.is_master

    def ask(self, commands: Sequence[Command], within_s: float) -> Awaitable[list[Any]]:
        """The replies to one or more commands. Raises RedisUnavailable and ResponseError."""
        line = self._line
        if line is None or line.is_lost or (self._is_renewed and time.monotonic() > self._made_at + RENEW_S):
            return self._ask_connected(commands, within_s)
        return line.send_all(commands, within_s)

    async def _ask_connected(self, commands: Sequence[Command], within_s: float) -> list[Any]:
        started = time.monotonic()
        async with in_time(within_s):
            line = await self._connected()
        return await line.send_all(commands, within_s - (time.monotonic() - started))

    async def drop(self) -> None:
        """Give the connection up, and those who wait for its replies."""
        if self._line is not None:
            await self._line.close()

    async def close(self) -> None:
        if self._connecting is not None:
            await end_tasks(self._connecting)
        await self.drop()

    async def _connected(self) -> RedisLine:
        """The connection that is being made, by a task of its own: whoever gives up ends it for nobody."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            # Perhaps nobody waits any more for what it raises.
            self._connecting.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> RedisLine:
        before = self._line
        try:
            self._line = await open_line(
                self._client,
                within_s=CONNECT_TIMEOUT_S,
                reply_timeout_s=self._reply_timeout_s,
                kind=self._kind,
            )
        finally:
            self._connecting = None
        self._made_at = time.monotonic()
        if before is not None:
            await before.end()
        return self._line

"""The Redis that holds copies of profiles: one shared connection that knows which run of it answers.

A server that was restarted or replaced may have lost the newest marks; so every command names the run that
it is meant for, and is not sent to another one.
"""

import asyncio
import re
from typing import Any, Final

import structlog
from redis.asyncio.connection import AbstractConnection

from app.domain.errors import RedisUnavailable
from app.store.redis import open_redis
from app.store.redis_line import RedisLine, open_line

CONNECT_TIMEOUT_S: Final = 0.5
REPLY_TIMEOUT_S: Final = 0.5

_RUN_ID: Final = re.compile(rb"run_id:(\w+)")

log = structlog.get_logger(__name__)


class CopyServer:
    """After a failure nothing is sent until a `probe` succeeded, so that nobody waits for a dead server."""

    def __init__(self, url: str, kind: type[RedisLine] = RedisLine) -> None:
        self._kind = kind
        self._client = open_redis(url, pool_size=1, timeout_s=None, on_connect=self._identify)
        self._line: RedisLine | None = None
        self._run_id: str | None = None

    @property
    def is_connected(self) -> bool:
        return self._line is not None

    async def close(self) -> None:
        await self._hang_up()
        await self._client.aclose()

    async def _hang_up(self) -> None:
        if self._line is not None:
            await self._line.close()
            self._line = None

    async def probe(self) -> str | None:
        """Which run of the server answers; None if none does. To be called by one task."""
        try:
            if self._line is not None:
                await self._line.send("PING")
            else:
                self._line = await open_line(
                    self._client,
                    within_s=CONNECT_TIMEOUT_S,
                    reply_timeout_s=REPLY_TIMEOUT_S,
                    kind=self._kind,
                )
                log.info("Redis holds copies of profiles", run_id=self._run_id)
        except RedisUnavailable as error:
            if self._line is not None:
                log.warning("copies of profiles cannot be used", reason=str(error))
            await self._hang_up()
            return None
        return self._run_id

    def execute(self, run_id: str, *arguments: str | bytes | int) -> "asyncio.Future[Any]":
        """The reply to one command to the run `run_id`, given to Redis before those that are asked for later.

        Raises RedisUnavailable, also where another run answers. A command that failed may have been carried
        out, now or later.
        """
        if self._line is None:
            raise RedisUnavailable("Redis does not answer")
        if run_id != self._run_id:
            raise RedisUnavailable("another Redis answers")
        return self._line.send(*arguments)

    async def _identify(self, connection: AbstractConnection) -> None:
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        found = _RUN_ID.search(await connection.read_response())
        self._run_id = found[1].decode() if found else None

"""The Redis that holds copies of profiles: one shared connection that knows which run of it answers.

Commands that come while others are under way go together in the next round trip. A server that was
restarted or replaced may have lost the newest marks; so every command names the run that it is meant for,
and fails where another one answers.
"""

import asyncio
import re
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

import structlog
from redis.asyncio.connection import AbstractConnection

from app.domain.errors import RedisUnavailable
from app.store.redis import open_redis, redis_errors
from app.tasks import end_tasks

REPLY_TIMEOUT_S: Final = 0.5
MAX_BATCH: Final = 64

_RUN_ID: Final = re.compile(rb"run_id:(\w+)")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Command:
    run_id: str
    arguments: tuple[str | bytes | int, ...]
    reply: "asyncio.Future[Any]"


class CopyServer:
    """After a failure nothing is sent until a `probe` succeeded, so that nobody waits for a dead server."""

    def __init__(self, url: str) -> None:
        self._client = open_redis(
            url,
            pool_size=1,
            timeout_s=REPLY_TIMEOUT_S,
            connect_timeout_s=REPLY_TIMEOUT_S,
            on_connect=self._identify,
        )
        self._run_id: str | None = None
        self._usable = False
        self._waiting: deque[_Command] = deque()
        self._sending: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._sending is not None:
            await end_tasks(self._sending)
        await self._client.aclose()

    async def probe(self) -> str | None:
        """Which run of the server answers; None if none does."""
        try:
            with redis_errors():
                await self._client.ping()
        except RedisUnavailable as error:
            self._fail(error)
            return None
        if not self._usable:
            log.info("Redis holds copies of profiles", run_id=self._run_id)
        self._usable = True
        return self._run_id

    async def execute(self, run_id: str, *arguments: str | bytes | int) -> Any:
        """One command to the run `run_id`. Raises RedisUnavailable, also where another run answers.

        A command that failed may have been carried out, now or later.
        """
        if not self._usable:
            raise RedisUnavailable("Redis does not answer")
        command = _Command(run_id, arguments, asyncio.get_running_loop().create_future())
        self._waiting.append(command)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send(), name="send to the copies' Redis")
        return await command.reply

    async def _send(self) -> None:
        """Send what waits, one batch after the other, until nothing does."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
            pipeline = self._client.pipeline(transaction=False)
            for command in batch:
                pipeline.execute_command(*command.arguments)
            replies: list[Any]
            try:
                with redis_errors():
                    replies = await pipeline.execute(raise_on_error=False)
            except RedisUnavailable as error:
                self._fail(error)
                replies = [RedisUnavailable(str(error)) for _ in batch]
            except asyncio.CancelledError:
                for command in (*batch, *self._waiting):
                    command.reply.cancel()
                raise
            self._answer(batch, replies)

    def _answer(self, batch: list[_Command], replies: list[Any]) -> None:
        for command, reply in zip(batch, replies, strict=True):
            if command.reply.done():  # whoever asked has given up
                continue
            if not isinstance(reply, Exception) and command.run_id != self._run_id:
                reply = RedisUnavailable("another Redis answers")
            if isinstance(reply, Exception):
                command.reply.set_exception(_translated(reply))
            else:
                command.reply.set_result(reply)

    def _fail(self, error: RedisUnavailable) -> None:
        if self._usable:
            log.warning("copies of profiles cannot be used", reason=str(error))
        self._usable = False

    async def _identify(self, connection: AbstractConnection) -> None:
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        found = _RUN_ID.search(await connection.read_response())
        self._run_id = found[1].decode() if found else None


def _translated(error: Exception) -> Exception:
    try:
        with redis_errors():
            raise error
    except Exception as translated:
        return translated

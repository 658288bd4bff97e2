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
from redis.exceptions import ResponseError

from app.domain.errors import RedisUnavailable
from app.store.redis import open_redis, redis_errors
from app.tasks import end_tasks

EXCHANGE_TIMEOUT_S: Final = 0.5
"""For connecting, if need be, and one round trip."""
MAX_BATCH: Final = 64

_RUN_ID: Final = re.compile(rb"run_id:(\w+)")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Command:
    run_id: str | None
    """None: any."""
    arguments: tuple[str | bytes | int, ...]
    reply: "asyncio.Future[Any]"


class CopyServer:
    """After a failure nothing is sent until a `probe` succeeded, so that nobody waits for a dead server."""

    def __init__(self, url: str) -> None:
        client = open_redis(url, pool_size=1, timeout_s=None, on_connect=self._identify)
        self._connection: AbstractConnection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        self._run_id: str | None = None
        self._usable = False
        self._waiting: deque[_Command] = deque()
        self._sending: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._sending is not None:
            await end_tasks(self._sending)
        await self._connection.disconnect(nowait=True)

    async def probe(self) -> str | None:
        """Which run of the server answers; None if none does."""
        try:
            await self._ask(None, "PING")
        except RedisUnavailable:
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
        return await self._ask(run_id, *arguments)

    async def _ask(self, run_id: str | None, *arguments: str | bytes | int) -> Any:
        command = _Command(run_id, arguments, asyncio.get_running_loop().create_future())
        self._waiting.append(command)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send(), name="send to the copies' Redis")
        return await command.reply

    async def _send(self) -> None:
        """Send what waits, one batch after the other, until nothing does."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
            try:
                replies = await self._exchange(batch)
            except RedisUnavailable as error:
                if self._usable:
                    log.warning("copies of profiles cannot be used", reason=str(error))
                self._usable = False
                replies = [RedisUnavailable(str(error)) for _ in batch]
            except asyncio.CancelledError:
                for command in (*batch, *self._waiting):
                    command.reply.cancel()
                raise
            for command, reply in zip(batch, replies, strict=True):
                if command.reply.done():  # whoever asked has given up
                    continue
                if isinstance(reply, Exception):
                    command.reply.set_exception(reply)
                elif command.run_id not in (None, self._run_id):
                    command.reply.set_exception(RedisUnavailable("another Redis answers"))
                else:
                    command.reply.set_result(reply)

    async def _exchange(self, batch: list[_Command]) -> list[Any]:
        """The replies to a batch, or the errors in their place. Raises RedisUnavailable."""
        connection = self._connection
        try:
            with redis_errors():
                async with asyncio.timeout(EXCHANGE_TIMEOUT_S):
                    packed = connection.pack_commands([command.arguments for command in batch])
                    await connection.send_packed_command(packed, check_health=False)
                    return [await _reply(connection) for _ in batch]
        except BaseException:
            # Replies that are still to come would be taken for those of later commands.
            await connection.disconnect(nowait=True)
            raise

    async def _identify(self, connection: AbstractConnection) -> None:
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        found = _RUN_ID.search(await connection.read_response())
        self._run_id = found[1].decode() if found else None


async def _reply(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response(disconnect_on_error=False)
    except ResponseError as error:  # a refused command, which leaves the connection in order
        try:
            with redis_errors():
                raise
        except RedisUnavailable as unavailable:
            return unavailable
        except ResponseError:
            return error

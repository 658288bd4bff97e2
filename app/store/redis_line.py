"""One connection to Redis that many requests share.

Commands given in one turn of the event loop go out together, and so do those given while others wait for
their replies: until one comes, for Redis would not look at them earlier, or for HELD_S. For each write costs
this process as much as a small search otherwise does. Each reply belongs to the oldest command that has none.
A caller that gives up keeps its place in that order. A connection that ends, or leaves a command without its
reply for too long, fails all who wait: what became of their commands is not known.
"""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, TypeAlias, cast

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from app.domain.errors import RedisUnavailable
from app.store.redis import redis_errors, translated

HELD_S: Final = 0.001
WATCH_S: Final = 0.05
"""Between two looks at whether a reply is late; so much later than it is due it is given up."""
_NOTHING: Final = object()
"""The parser's answer when it needs more bytes; no reply is this."""

Command: TypeAlias = Sequence[str | bytes | int]
"""Its arguments; or bytes: as it goes to Redis."""


def _packed(command: Command) -> bytes:
    if isinstance(command, bytes):
        return command
    return hiredis.pack_command(tuple(command))  # type: ignore[no-any-return, arg-type] # of any length


class _Asked:
    """Commands that were given together, and who waits for their replies."""

    __slots__ = ("at", "count", "due", "future", "is_one", "replies")

    def __init__(
        self, at: float, due: float, count: int, future: "asyncio.Future[Any]", *, is_one: bool
    ) -> None:
        self.at = at
        self.due = due
        self.count = count
        self.future = future
        self.is_one = is_one
        self.replies: list[Any] = []

    def finish(self) -> None:
        """Tell who waits, once all replies are there; the first refusal, if there is one."""
        if self.future.done():  # whoever asked has given up
            return
        for reply in self.replies:
            if isinstance(reply, hiredis.ReplyError):
                error = ResponseError(str(reply))
                self.future.set_exception(translated(error) or error)
                return
        self.future.set_result(self.replies[0] if self.is_one else self.replies)


class RedisLine(asyncio.Protocol):
    """Takes over a connection that redis-py has made and introduced itself on."""

    def __init__(self, connection: AbstractConnection, reply_timeout_s: float) -> None:
        self._connection = connection
        writer = cast("asyncio.StreamWriter", connection._writer)  # noqa: SLF001 - there is no other way
        self._transport = cast("asyncio.Transport", writer.transport)
        self._reply_timeout_s = reply_timeout_s
        self._loop = asyncio.get_running_loop()
        self._parser = hiredis.Reader(notEnoughData=_NOTHING)
        self._outgoing: list[bytes] = []
        self._waiting: deque[_Asked] = deque()
        self._unanswered = 0
        """Of what was sent."""
        self._held: asyncio.Handle | None = None
        """What will send the commands that were given since."""
        self._looked_at = 0.0
        """When it was last looked whether replies are late."""
        self._watch: asyncio.TimerHandle | None = None
        self._lost: RedisUnavailable | None = None
        self._is_ending = False
        self._transport.set_protocol(self)

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be asked any more."""
        return self._lost is not None or self._transport.is_closing()

    def send(self, *arguments: str | bytes | int) -> "asyncio.Future[Any]":
        """The reply to come: RedisUnavailable where there is none, or as the reply says, or ResponseError."""
        return self._send((arguments,), is_one=True)

    def send_all(
        self, commands: Sequence[Command], within_s: float = math.inf
    ) -> "asyncio.Future[list[Any]]":
        """The replies to come, in order; where one is an error, that. `commands` are one or more.

        RedisUnavailable as well where they take longer than `within_s`; nobody else is harmed by that.
        """
        return self._send(commands, within_s, is_one=False)

    def _send(
        self, commands: Sequence[Command], within_s: float = math.inf, *, is_one: bool
    ) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.is_lost:
            future.set_exception(self._lost or RedisUnavailable("the connection to Redis is closed"))
            return future
        packed = [_packed(command) for command in commands]
        if not self._outgoing:
            if self._unanswered:
                self._held = self._loop.call_later(HELD_S, self._flush)
            else:
                self._held = self._loop.call_soon(self._flush)
        self._outgoing += packed
        now = self._loop.time()
        self._waiting.append(_Asked(now, now + within_s, len(commands), future, is_one=is_one))
        if self._watch is None:
            self._looked_at = now
            self._watch = self._loop.call_later(WATCH_S, self._look)
        return future

    async def end(self) -> None:
        """Close it as soon as nobody waits for a reply."""
        self._is_ending = True
        if not self._waiting:
            await self.close()

    async def close(self) -> None:
        self._lose("the connection to Redis is closed")
        await self._connection.disconnect(nowait=True)

    def data_received(self, data: bytes) -> None:
        self._parser.feed(data)
        while (value := self._parser.gets()) is not _NOTHING:
            if isinstance(value, hiredis.PushNotification):  # nobody asked for it, and no command has it
                continue
            if not self._waiting:
                self._lose("Redis sent a reply that nobody asked for")
                return
            oldest = self._waiting[0]
            oldest.replies.append(value)
            self._unanswered -= 1
            if len(oldest.replies) == oldest.count:
                self._waiting.popleft()
                oldest.finish()
        if self._outgoing:
            self._flush()
        if self._is_ending and not self._waiting:
            self._lose("the connection to Redis is closed")

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(f"Redis does not answer: {exc or 'it closed the connection'}")

    def _flush(self) -> None:
        if self._held is not None:
            self._held.cancel()
        outgoing, self._outgoing = self._outgoing, []
        self._unanswered += len(outgoing)
        if not self._transport.is_closing():
            self._transport.write(b"".join(outgoing))

    def _look(self) -> None:
        """Fail those whose reply was late at the look before as well, or all if the server has gone silent.

        At the first look perhaps this process was held up, and the reply has come and is about to be read.
        """
        self._watch = None
        if not self._waiting:
            return
        if self._waiting[0].at + self._reply_timeout_s <= self._looked_at:
            self._lose(f"Redis does not answer within {self._reply_timeout_s} s")
            return
        for asked in self._waiting:
            if asked.due <= self._looked_at and not asked.future.done():
                within_ms = (asked.due - asked.at) * 1000
                asked.future.set_exception(
                    RedisUnavailable(f"Redis does not answer within {within_ms:.0f} ms")
                )
        self._looked_at = self._loop.time()
        self._watch = self._loop.call_later(WATCH_S, self._look)

    def _lose(self, reason: str) -> None:
        self._lost = self._lost or RedisUnavailable(reason)
        self._transport.abort()
        if self._watch is not None:
            self._watch.cancel()
        if self._held is not None:
            self._held.cancel()
        while self._waiting:
            asked = self._waiting.popleft()
            if not asked.future.done():
                asked.future.set_exception(RedisUnavailable(reason))


async def open_line(
    client: Redis, *, within_s: float, reply_timeout_s: float, kind: type[RedisLine] = RedisLine
) -> RedisLine:
    """A line of its own to where a client's pool connects to. Raises RedisUnavailable."""
    connection: AbstractConnection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    try:
        with redis_errors():
            async with asyncio.timeout(within_s):
                await connection.connect()  # type: ignore[no-untyped-call]
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return kind(connection, reply_timeout_s)

"""One connection to Redis that many requests share.

Commands given in one turn of the event loop go out together, and each reply belongs to the oldest command
that has none. A caller that gives up keeps its place in that order. A connection that ends, or leaves a
command without its reply for too long, fails all who wait: what became of their commands is not known.
"""

import asyncio
from collections import deque
from typing import Any, Final, cast

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from app.domain.errors import RedisUnavailable
from app.store.redis import translated

LAST_CHANCE_S: Final = 0.05
_NOTHING: Final = object()
"""The parser's answer when it needs more bytes; no reply is this."""


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
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        """When each command was given, and who waits for its reply."""
        self._is_late = False
        self._patience: asyncio.TimerHandle | None = None
        self._lost: RedisUnavailable | None = None
        self._transport.set_protocol(self)

    def send(self, *arguments: str | bytes | int) -> "asyncio.Future[Any]":
        """The reply to come: RedisUnavailable where there is none, or as the reply says, or ResponseError."""
        reply: asyncio.Future[Any] = self._loop.create_future()
        if self._lost is not None or self._transport.is_closing():
            reply.set_exception(self._lost or RedisUnavailable("the connection to Redis is closed"))
            return reply
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(hiredis.pack_command(arguments))  # type: ignore[arg-type] # of any length
        self._waiting.append((self._loop.time(), reply))
        if self._patience is None:
            self._patience = self._loop.call_later(self._reply_timeout_s, self._lose_patience)
        return reply

    async def close(self) -> None:
        self._lose("the connection to Redis is closed")
        await self._connection.disconnect(nowait=True)

    def data_received(self, data: bytes) -> None:
        self._is_late = False
        self._parser.feed(data)
        while (value := self._parser.gets()) is not _NOTHING:
            if isinstance(value, hiredis.PushNotification):  # nobody asked for it, and no command has it
                continue
            if not self._waiting:
                self._lose("Redis sent a reply that nobody asked for")
                return
            _, reply = self._waiting.popleft()
            if reply.done():  # whoever asked has given up
                continue
            if isinstance(value, hiredis.ReplyError):
                error = ResponseError(str(value))
                reply.set_exception(translated(error) or error)
            else:
                reply.set_result(value)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(f"Redis does not answer: {exc or 'it closed the connection'}")

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if not self._transport.is_closing():
            self._transport.write(b"".join(outgoing))

    def _lose_patience(self) -> None:
        """Fail if the oldest command has waited too long; otherwise look again when it would have."""
        self._patience = None
        if not self._waiting:
            return
        left_s = self._waiting[0][0] + self._reply_timeout_s - self._loop.time()
        if left_s <= 0 and self._is_late:
            self._lose(f"Redis does not answer within {self._reply_timeout_s} s")
            return
        # If it was this process that was held up, the reply has come and is about to be read.
        self._is_late = left_s <= 0
        self._patience = self._loop.call_later(max(left_s, LAST_CHANCE_S), self._lose_patience)

    def _lose(self, reason: str) -> None:
        self._lost = self._lost or RedisUnavailable(reason)
        self._transport.abort()
        if self._patience is not None:
            self._patience.cancel()
        while self._waiting:
            _, reply = self._waiting.popleft()
            if not reply.done():
                reply.set_exception(RedisUnavailable(reason))

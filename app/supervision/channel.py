"""What supervisor and worker tell each other: messages over a pair of connected sockets, as MessagePack.

    worker → supervisor   READY                it serves
                          FAILED  a text       why it cannot
                          REPORT  its metrics  when asked, and at its end
                          SCRAPE               somebody asks for the metrics of all workers
    supervisor → worker   REPORT               tell your metrics
                          SCRAPED  the text    they are these
                          RETIRE               others serve in your place: answer what is under way, and end

The end of either process is the end of the messages.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any, Final, Self

import msgpack

READY: Final = "ready"
FAILED: Final = "failed"
REPORT: Final = "report"
SCRAPE: Final = "scrape"
SCRAPED: Final = "scraped"
RETIRE: Final = "retire"

_READ_BYTES: Final = 1 << 16
_MAX_MESSAGE_BYTES: Final = 1 << 28


class Channel:
    """One end. What the other, being gone, cannot be told is dropped."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, end: socket.socket) -> Self:
        return cls(*await asyncio.open_connection(sock=end))

    def send(self, kind: str, content: Any = None) -> None:
        if not self._writer.is_closing():
            self._writer.write(encode(kind, content))

    async def messages(self) -> AsyncIterator[tuple[str, Any]]:
        """Kind and content of each, until the other end is gone."""
        unpacker = msgpack.Unpacker(max_buffer_size=_MAX_MESSAGE_BYTES)
        try:
            while data := await self._reader.read(_READ_BYTES):
                unpacker.feed(data)
                for kind, content in unpacker:
                    yield kind, content
        except ConnectionError:  # it ended with messages of ours unread
            return

    async def close(self) -> None:
        """Close this end once everything is sent."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return


def encode(kind: str, content: Any = None) -> bytes:
    message: bytes = msgpack.packb((kind, content))
    return message

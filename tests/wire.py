"""A wire to a server that tests can cut, freeze, and lead to another server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from app.tasks import end_tasks


class Wire:
    """Forwards TCP connections; `url` is the server's, by way of the wire."""

    def __init__(self, target_url: str) -> None:
        self._target = target_url
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._is_cut = False
        self._pumps: set[asyncio.Task[None]] = set()
        self._port = 0

    @property
    def url(self) -> str:
        parts = urlsplit(self._target)
        return parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{self._port}").geturl()

    async def cut(self) -> None:
        """Close every connection, and refuse new ones until mended."""
        self._is_cut = True
        await end_tasks(*self._pumps)

    def freeze(self) -> None:
        """Let nothing through, and tell nobody."""
        self._flowing.clear()

    def mend(self) -> None:
        self._is_cut = False
        self._flowing.set()

    async def lead_to(self, url: str) -> None:
        """Lead new connections to another server, and close those that there are."""
        self._target = url
        await end_tasks(*self._pumps)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pump = asyncio.create_task(self._forward(reader, writer))
        self._pumps.add(pump)
        pump.add_done_callback(self._pumps.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._is_cut:
                return
            parts = urlsplit(self._target)
            there_reader, there_writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pump(reader, there_writer))
                    group.create_task(self._pump(there_reader, writer))
            finally:
                there_writer.close()
        except* OSError:  # one end has closed, so the other is closed
            pass
        finally:
            writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


@asynccontextmanager
async def wire_to(url: str) -> AsyncIterator[Wire]:
    wire = Wire(url)
    server = await asyncio.start_server(wire._accept, "127.0.0.1", 0)
    wire._port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        await wire.cut()

"""A TCP proxy between a service and a server of its own, which may be slow or gone."""

import asyncio
from contextlib import suppress
from typing import Final

from app.tasks import end_tasks

_CHUNK: Final = 1 << 16


class Proxy:
    """Listens on a port of its own for as long as it lives."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.delay_s = 0.0
        """For which what the server answers is kept back; answers do not wait for each other."""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def vanish(self) -> None:
        """Nobody listens any more, and connections break."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def stop(self) -> None:
        await self.vanish()
        await end_tasks(*self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        for one in (writer, to_server):
            self._writers.add(one)
        for source, sink, is_delayed in ((reader, to_server, False), (from_server, writer, True)):
            task = asyncio.create_task(self._pass_on(source, sink, is_delayed=is_delayed))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_delayed: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                due, data = await waiting.get()
                await asyncio.sleep(due - loop.time())
                sink.write(data)
                await sink.drain()

        delivering = asyncio.create_task(deliver())
        with suppress(OSError):
            while data := await source.read(_CHUNK):
                waiting.put_nowait((loop.time() + (self.delay_s if is_delayed else 0.0), data))
        await end_tasks(delivering)
        self._writers.discard(sink)
        sink.close()

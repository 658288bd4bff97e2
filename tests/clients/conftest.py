"""The Python client's tests ask the real service, some through a line that loses answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from instrument_registry_client import RegistryClient, RetryPolicy

from app.auth.api_keys import key_hash
from app.domain.access import (
    INDEX_ADMIN,
    INSTRUMENTS_READ,
    INSTRUMENTS_WRITE,
    PROFILES_READ,
    PROFILES_WRITE,
)
from app.store.api_keys import add_key
from tests.integration.conftest import WaitLevel, import_instruments, indexer, running_api

__all__ = ["import_instruments", "indexer"]

KEY = "alice"
SCOPES = (INSTRUMENTS_READ, INSTRUMENTS_WRITE, PROFILES_READ, PROFILES_WRITE, INDEX_ADMIN)
SOON = RetryPolicy(attempts=5, first_wait_s=0.01, longest_wait_s=0.05)


@pytest.fixture
async def url(database_url: str, redis_url: str, indexer: WaitLevel) -> AsyncIterator[str]:
    """Where the service answers; its stream shows every 0.2 s that it is there."""
    await add_key(database_url, owner="alice", scopes=SCOPES, secret_sha256=key_hash(KEY))
    async with running_api(database_url, redis_url, stream_heartbeat_s=0.2) as api:
        yield str(api._base_url).rstrip("/")


@pytest.fixture
async def registry(url: str) -> AsyncIterator[RegistryClient]:
    async with RegistryClient(url, KEY, retries=SOON) as client:
        yield client


class Line:
    """A line to the service, at `url`: it loses the next `answers_to_lose` answers, and can be cut.

    With `loses` those to requests that begin so alone.
    """

    def __init__(self, service_port: int) -> None:
        self._service_port = service_port
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""
        self.answers_to_lose = 0
        self.loses = b""
        self.connections = 0

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there = await asyncio.open_connection("127.0.0.1", self._service_port)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        asked = bytearray()
        asking = asyncio.create_task(self._copy(reader, there[1], asked))
        try:
            while answer := await there[0].read(1 << 16):
                if self.answers_to_lose and asked.startswith(self.loses):
                    self.answers_to_lose -= 1
                    break
                writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            asking.cancel()
            self._tasks.discard(task)
            writer.transport.abort()
            there[1].transport.abort()

    def cut(self) -> None:
        for task in list(self._tasks):
            task.cancel()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: bytearray
    ) -> None:
        while part := await reader.read(1 << 16):
            asked[:] = part
            writer.write(part)


@asynccontextmanager
async def line_to(url: str) -> AsyncIterator[Line]:
    line = Line(int(url.rpartition(":")[2]))
    server = await asyncio.start_server(line.carry, "127.0.0.1", 0)
    line.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield line
    finally:
        server.close()
        line.cut()
        await server.wait_closed()

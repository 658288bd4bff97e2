"""The service as processes of their own, which a test may kill, freeze and start again."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from redis.asyncio import Redis

from app.domain.errors import PostgresUnavailable
from app.embedded.children import Child, free_port, start_child
from app.store.index_state import read_live_state
from app.store.postgres import open_connection, postgres_errors
from app.store.redis import open_search_redis
from app.tasks import end_tasks
from indexer.verify import verify
from tests.integration.conftest import eventually

ROWS: Final = 2_000
_SETTLE_S: Final = 30.0
_START_S: Final = 30.0


def start_again(child: Child, environment: Mapping[str, str] | None = None) -> None:
    """The same command, after its process has ended."""
    child.stop()
    command = [str(part) for part in child.process.args]  # type: ignore[union-attr]
    child.process = start_child(
        child.name, command, child.log, stop_signal=child.stop_signal, environment=environment
    ).process


def freeze(child: Child) -> None:
    child.process.send_signal(signal.SIGSTOP)


def thaw(child: Child) -> None:
    child.process.send_signal(signal.SIGCONT)


@dataclass(frozen=True, slots=True)
class Api:
    child: Child
    base_url: str


class System:
    """The API and indexers over a Postgres and a Redis; what is started here ends with it."""

    def __init__(self, folder: Path, database_url: str, redis_url: str, **settings: str) -> None:
        self.database_url = database_url
        self.redis_url = redis_url
        self._folder = folder
        self._children: list[Child] = []
        self._environment: dict[str, str] = {
            **os.environ,
            "REGISTRY_DATABASE_URL": database_url,
            "REGISTRY_REDIS_URL": redis_url,
            "REGISTRY_ANONYMOUS_SCOPES": "instruments:read,index:admin",
            "REGISTRY_ANONYMOUS_REQUESTS_PER_MINUTE": "10000000",
            "REGISTRY_LOG_LEVEL": "info",
            "CACHE_TTL_SECONDS": "0",  # so that every answer is as the index is
            # Where Redis is well, a pause of this machine is not to be taken for a fault of Redis.
            "REGISTRY_REDIS_SEARCH_MS": "5000",
            **{f"REGISTRY_{name.upper()}": value for name, value in settings.items()},
        }

    def start_indexer(self, *command: str, environment: Mapping[str, str] | None = None) -> Child:
        return self._start("indexer", command or ("-m", "indexer", "run"), environment or {})

    async def start_api(self, environment: Mapping[str, str] | None = None) -> "Api":
        """An API process, when it answers."""
        port = free_port()
        own = {"REGISTRY_PORT": str(port), **(environment or {})}
        api = Api(self._start("api", ("-m", "app.cli", "serve"), own), f"http://127.0.0.1:{port}")
        await self._until_answered(api)
        return api

    async def start_api_again(self, api: "Api") -> None:
        port = api.base_url.rpartition(":")[2]
        start_again(api.child, {**self._environment, "REGISTRY_PORT": port})
        await self._until_answered(api)

    async def _until_answered(self, api: "Api") -> None:
        async with aiohttp.ClientSession(api.base_url) as session:

            async def answers() -> bool:
                try:
                    async with session.get("/health/live") as response:
                        return response.status == 200
                except aiohttp.ClientConnectionError:
                    return False

            await eventually(answers, _START_S)

    def _start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        log = self._folder / f"{name}-{len(self._children)}.log"
        child = start_child(
            name, [sys.executable, *command], log, environment=self._environment | dict(environment)
        )
        self._children.append(child)
        return child

    async def run(self, *command: str) -> None:
        """A command of the service, to its end."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app.cli", *command),
            env=self._environment,
            cwd=self._folder,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()

    def stop(self) -> None:
        while self._children:
            child = self._children.pop()
            thaw(child)
            child.stop()

    @asynccontextmanager
    async def redis(self) -> AsyncIterator[Redis]:
        client = open_search_redis(self.redis_url, pool_size=4, timeout_s=10)
        try:
            yield client
        finally:
            await client.aclose()

    async def until_live(self) -> None:
        """Until some generation is live."""
        async with self.redis() as client:

            async def is_live() -> bool:
                return await read_live_state(client) is not None

            await eventually(is_live, _START_S)

    async def assert_level(self) -> None:
        """Nothing is missing, stale or phantom, when the index had time to settle."""
        await self.until_live()
        async with self.redis() as client:
            drift = await verify(self.database_url, client, _SETTLE_S)
        assert drift.clean, drift
        assert drift.rows > 0


async def add_rows(database_url: str, count: int = ROWS) -> None:
    async with open_connection(database_url) as connection:
        await connection.execute(
            "INSERT INTO instruments (symbol, name, asset_class, mic) "
            "SELECT 'S' || n, 'Company ' || n, 'equity', 'XNAS' FROM generate_series(1, $1::int) AS n",
            count,
        )
        await connection.execute("ANALYZE instruments")


_CHANGES: Final = (
    "UPDATE instruments SET name = left(name, 200) || '.' WHERE symbol = 'S' || $1::int % 2000",
    "INSERT INTO instruments (symbol, name, asset_class) VALUES ('N' || $1::int, 'New', 'etf')",
    "DELETE FROM instruments WHERE symbol = 'N' || $1::int - 5",
)


@asynccontextmanager
async def changing(database_url: str, pause_s: float = 0.05) -> AsyncIterator[None]:
    """Rows are renamed, added and deleted meanwhile, one transaction after the other."""

    async def change() -> None:
        number = 0
        while True:
            try:
                async with open_connection(database_url) as connection:
                    with postgres_errors():
                        while True:
                            number += 1
                            for statement in _CHANGES:
                                await connection.execute(statement, number)
                            await asyncio.sleep(pause_s)
            except PostgresUnavailable:  # what it has committed is compared afterwards
                await asyncio.sleep(0.1)

    task = asyncio.create_task(change())
    try:
        yield
    finally:
        await end_tasks(task)
    if not task.cancelled():
        task.result()  # raises: a change was refused

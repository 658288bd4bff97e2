"""The service under measurement: an API process with everything on, and what stands beside it."""

import asyncio
import os
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from email.message import Message
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Final
from uuid import uuid4

import aiohttp

from app.auth.api_keys import key_hash
from app.embedded.children import Child, free_port
from app.store.api_keys import add_key, revoke_key
from app.store.redis import open_redis
from loadtests.bare import LISTENING
from loadtests.bench.wrk import Deck, Load, wrk
from loadtests.full_data import ANEW
from loadtests.servers import environment_of, is_ready, running

SCOPES: Final = ("instruments:read", "index:admin")
UNLIMITED: Final = str(2**31 - 1)
"""Requests a minute: limits are counted, and never reached."""
CONNECTIONS: Final = 32
"""Enough to keep one process busy, and few enough not to have Redis taken for lost where it is slow."""
PATIENCE_MS: Final = "5000"
"""For Redis, so that a pause of a busy machine is measured, and not how Postgres answers meanwhile."""
LISTENING_WITHIN_S: Final = 60.0
ANSWERED_WITHIN_S: Final = 30.0
SAMPLE: Final = 100
_CLOCK_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class VoidRun(Exception):
    """What was measured is not what should have been."""


NO_HEADERS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Servers:
    """Filled ones, and a folder for what is written meanwhile."""

    folder: Path
    database_url: str
    redis_url: str


@dataclass(frozen=True, slots=True)
class Api:
    """A running service, or the bare handler in its place."""

    url: str
    key: str
    processes: tuple[Child, ...]
    connection: HTTPConnection
    """http.client takes half of aiohttp's time for a request, which is a part of what is measured."""

    async def load(self, deck: Deck, *, seconds: float, connections: int = CONNECTIONS) -> tuple[Load, float]:
        """What wrk got out of it, and the CPU time of its processes for each request in microseconds."""
        before = self._cpu_s()
        load = await wrk(self.url, deck, self.key, connections=connections, seconds=seconds)
        return load, (self._cpu_s() - before) / load.requests * 1e6

    def _cpu_s(self) -> float:
        return sum(_ticks(pid) for pid in self._pids()) / _CLOCK_TICKS

    def rss_mb(self) -> int:
        """Memory of its processes, a supervisor's too."""
        return round(sum(map(_resident_pages, self._pids())) * _PAGE_BYTES / 1e6)

    def _pids(self) -> list[int]:
        return [pid for child in self.processes for pid in _family(child.process.pid)]

    def sources(self, deck: Deck) -> Counter[str]:
        """Where the answers to the next paths come from, which are those that a load would go on with."""
        return Counter(self.get(path)[1].get("X-Search-Source", "") for path in deck.take(SAMPLE))

    def get(self, path: str, headers: Mapping[str, str] = NO_HEADERS) -> tuple[bytes, Message, float]:
        """The body, the headers, and the time it took in milliseconds. Raises VoidRun."""
        started = time.perf_counter()
        try:
            try:
                response, body = self._ask(path, headers)
            except ConnectionError:  # it was idle for so long that the service closed it
                self.connection.close()
                response, body = self._ask(path, headers)
        except (OSError, HTTPException) as error:
            raise VoidRun(f"{path} was not answered: {error or type(error).__name__}") from error
        took_ms = (time.perf_counter() - started) * 1000
        if response.status != 200:
            raise VoidRun(f"{path} was answered by {response.status}: {body[:200].decode()}")
        return body, response.headers, took_ms

    def _ask(self, path: str, headers: Mapping[str, str]) -> tuple[HTTPResponse, bytes]:
        self.connection.request("GET", path, headers={"X-API-Key": self.key, **headers})
        response = self.connection.getresponse()
        return response, response.read()

    def get_uncached(self, path: str) -> tuple[bytes, float]:
        """The body and the time. Raises VoidRun where it is not an answer of Redis."""
        body, headers, took_ms = self.get(path, ANEW)
        if (source := headers["X-Search-Source"]) != "redis":
            raise VoidRun(f"{path} was answered by {source}, not by redis")
        return body, took_ms


@asynccontextmanager
async def api(servers: Servers, *options: str) -> AsyncIterator[Api]:
    """`serve` with these options, ready to be asked with a key of its own, which is revoked at the end."""
    key, port = uuid4().hex, free_port()
    number = await add_key(servers.database_url, owner="bench", scopes=SCOPES, secret_sha256=key_hash(key))
    environment = environment_of(
        servers.database_url,
        servers.redis_url,
        REGISTRY_REQUESTS_PER_MINUTE=UNLIMITED,
        REGISTRY_REDIS_SEARCH_MS=PATIENCE_MS,
        REGISTRY_PORT=str(port),
    )
    url = f"http://127.0.0.1:{port}"
    arguments = ["-m", "app.cli", "serve", *options]
    try:
        async with (
            running(f"api-{port}", arguments, servers.folder, environment) as child,
            aiohttp.ClientSession(url) as session,
        ):
            while not await is_ready(session):
                if child.exited:
                    raise VoidRun(f"the API ended at once: {child.log_tail()}")
                await asyncio.sleep(0.1)
            with closing(HTTPConnection("127.0.0.1", port, timeout=ANSWERED_WITHIN_S)) as connection:
                yield Api(url, key, (child,), connection)
    finally:
        await revoke_key(servers.database_url, number)


@asynccontextmanager
async def bare(folder: Path, body: bytes, processes: int = 1) -> AsyncIterator[Api]:
    """A bare handler that returns these bytes, or several on one port."""
    port = free_port()
    file = folder / f"body-{port}"
    file.write_bytes(body)
    arguments = ["-m", "loadtests.bare", "handler", str(port), str(file)]
    async with _handlers(folder, port, arguments, dict(os.environ), processes) as handlers:
        yield handlers


@asynccontextmanager
async def asking(servers: Servers) -> AsyncIterator[Api]:
    """A handler that asks Redis for an identifier, and does nothing else."""
    port = free_port()
    environment = environment_of(servers.database_url, servers.redis_url)
    arguments = ["-m", "loadtests.bench.asking", str(port)]
    async with _handlers(servers.folder, port, arguments, environment) as handler:
        yield handler


@asynccontextmanager
async def _handlers(
    folder: Path, port: int, arguments: list[str], environment: dict[str, str], processes: int = 1
) -> AsyncIterator[Api]:
    async with AsyncExitStack() as stack:
        children = [
            await stack.enter_async_context(running(f"bare-{port}-{number}", arguments, folder, environment))
            for number in range(processes)
        ]
        for child in children:
            child.wait_until(partial(_is_listening, child), LISTENING_WITHIN_S)
        connection = stack.enter_context(closing(HTTPConnection("127.0.0.1", port)))
        yield Api(f"http://127.0.0.1:{port}", "none", tuple(children), connection)


def _is_listening(handler: Child) -> bool:
    return LISTENING in handler.log_tail()


def median_answer(service: Api, deck: Deck) -> bytes:
    """One of these paths' answers, of median size."""
    bodies = sorted((service.get(path)[0] for path in deck.take(SAMPLE)), key=len)
    return bodies[len(bodies) // 2]


async def redis_cpu_s(redis_url: str) -> float:
    """CPU time that Redis has used."""
    client = open_redis(redis_url, pool_size=1, timeout_s=30)
    used = await client.info("cpu")
    await client.aclose()
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def _family(pid: int) -> list[int]:
    """A process and its descendants."""
    files = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for file in files for child in file.read_text().split()]
    return [pid, *(descendant for child in children for descendant in _family(child))]


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _resident_pages(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1])


def median(values: list[float], digits: int = 1) -> float:
    return round(statistics.median(values), digits)

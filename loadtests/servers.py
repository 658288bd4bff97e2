"""Servers for measurements: the embedded ones, and processes of this project over them."""

import asyncio
import os
import platform
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg
import psutil

from app.embedded.children import Child, start_child
from app.embedded.postgres import start_postgres
from app.embedded.redis import start_redis
from app.store import migrate
from app.store.index_state import read_live_state
from app.store.redis import open_redis

PASSWORD: Final = "measure"  # noqa: S105 - of servers on loopback that live for one measurement


@asynccontextmanager
async def embedded_servers(folder: Path) -> AsyncIterator[tuple[str, str]]:
    """The URLs of a Postgres with the schema, and of an empty Redis; both end with the context."""
    children = []
    try:
        postgres = start_postgres(folder, PASSWORD)
        children.append(postgres.child)
        redis = start_redis(folder, PASSWORD, persist=False)
        children.append(redis.child)
        server = await asyncpg.connect(postgres.url("postgres"))
        await server.execute("CREATE DATABASE registry")
        await server.close()
        await migrate.upgrade(postgres.url())
        yield postgres.url(), redis.url()
    finally:
        while children:
            children.pop().stop()


def machine() -> str:
    """What figures are of, in a line."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def environment_of(database_url: str, redis_url: str, **more: str) -> dict[str, str]:
    """The environment of processes over these servers."""
    return {**os.environ, "REGISTRY_DATABASE_URL": database_url, "REGISTRY_REDIS_URL": redis_url, **more}


def family(pid: int) -> list[psutil.Process]:
    """A process and its children: a supervisor and its workers."""
    process = psutil.Process(pid)
    return [process, *process.children()]


@asynccontextmanager
async def running(
    name: str, arguments: list[str], folder: Path, environment: dict[str, str]
) -> AsyncIterator[Child]:
    """A Python process of this project; its output goes to `<name>.log`."""
    child = start_child(name, [sys.executable, *arguments], folder / f"{name}.log", environment=environment)
    try:
        yield child
    finally:
        child.stop()


@asynccontextmanager
async def filling_indexer(folder: Path, environment: dict[str, str]) -> AsyncIterator[Child]:
    """An indexer that runs, once it has filled the index."""
    client = open_redis(environment["REGISTRY_REDIS_URL"], pool_size=1, timeout_s=30)
    try:
        async with running("indexer", ["-m", "indexer", "run"], folder, environment) as indexer:
            while await read_live_state(client) is None:  # noqa: ASYNC110 - another process says so
                await asyncio.sleep(0.02)
            yield indexer
    finally:
        await client.aclose()


async def until_ready(session: aiohttp.ClientSession) -> None:
    """Wait until the API answers, and has an index."""
    while not await is_ready(session):  # noqa: ASYNC110 - another process says so
        await asyncio.sleep(0.1)


async def is_ready(session: aiohttp.ClientSession) -> bool:
    try:
        async with session.get("/health/ready") as response:
            return (await response.json())["index_generation"] is not None
    except aiohttp.ClientConnectionError:
        return False

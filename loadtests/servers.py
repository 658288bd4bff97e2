"""Servers for measurements: the embedded ones, and processes of this project over them."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg
import psutil

from app.embedded.children import Child, start_child
from app.embedded.postgres import start_postgres
from app.embedded.redis import start_redis
from app.store import migrate

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

"""Servers for measurements: the embedded ones, and processes of this project over them."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from app.embedded.children import Child, start_child
from app.embedded.postgres import start_postgres
from app.embedded.redis import start_redis
from app.store import migrate


@asynccontextmanager
async def embedded_servers(folder: Path) -> AsyncIterator[tuple[str, str]]:
    """The URLs of a Postgres with the schema, and of an empty Redis; both end with the context."""
    children = []
    try:
        postgres = start_postgres(folder, "measure")
        children.append(postgres.child)
        redis = start_redis(folder, "measure", persist=False)
        children.append(redis.child)
        server = await asyncpg.connect(postgres.url("postgres"))
        await server.execute("CREATE DATABASE registry")
        await server.close()
        await migrate.upgrade(postgres.url())
        yield postgres.url(), redis.url()
    finally:
        while children:
            children.pop().stop()


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

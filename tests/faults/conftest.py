"""Faults on purpose. What became of the requests meanwhile goes into the report that FAULTS_REPORT names."""

import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest

from app.embedded.postgres import EmbeddedPostgres, start_postgres
from app.embedded.redis import EmbeddedRedis, start_redis
from app.store import migrate
from tests.faults.load import Load
from tests.faults.system import System, add_rows, thaw

Report: TypeAlias = Callable[..., dict[str, Any]]

_REPORTS: list[dict[str, Any]] = []


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Adds what became of a load, and other figures, to the report; returns it."""

    def add(load: Load, **figures: Any) -> dict[str, Any]:
        entry = {"fault": request.node.name.removeprefix("test_"), **load.report(), **figures}
        _REPORTS.append(entry)
        return entry

    return add


def pytest_sessionfinish(session: pytest.Session) -> None:
    if (path := os.environ.get("FAULTS_REPORT")) and _REPORTS:
        Path(path).write_text(json.dumps(_REPORTS, indent=2) + "\n")


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A server of the test's own, which saves to a file when it is told to."""
    server = start_redis(tmp_path, "faults")
    yield server
    thaw(server.child)
    server.child.stop()


@pytest.fixture
async def own_postgres(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A server of the test's own, with ROWS."""
    server = start_postgres(tmp_path, "faults")
    connection = await asyncpg.connect(server.url("postgres"))
    await connection.execute("CREATE DATABASE registry")
    await connection.close()
    await migrate.upgrade(server.url())
    await add_rows(server.url())
    yield server
    thaw(server.child)
    server.child.stop()


@pytest.fixture
async def system(tmp_path: Path, database_url: str, own_redis: EmbeddedRedis) -> AsyncIterator[System]:
    """ROWS in Postgres, and no process yet."""
    await add_rows(database_url)
    system = System(tmp_path, database_url, own_redis.url())
    yield system
    system.stop()

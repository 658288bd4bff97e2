"""Real servers for the tests: one Postgres for the run, one Redis Stack for each worker process.

Every test gets a database of its own, copied from a migrated template, and an emptied Redis.
"""

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import structlog
from hypothesis import HealthCheck, settings
from redis.asyncio import Redis

from app import logs
from app.embedded.children import Child
from app.embedded.postgres import start_postgres
from app.embedded.redis import EmbeddedRedis, start_redis
from app.store import migrate
from app.store.postgres import Connection
from app.store.redis import open_redis

POSTGRES_VARIABLE = "TESTS_POSTGRES_URL"
TEMPLATE = "template_registry"

# Generating the first text builds tables, and machines differ: time is measured in benchmarks alone.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

_POSTGRES = pytest.StashKey[tuple[Child, Path]]()


def pytest_configure(config: pytest.Config) -> None:
    """Start Postgres in the process that the worker processes come from; they inherit its address."""
    for name in [name for name in os.environ if name.startswith("REGISTRY_")]:
        del os.environ[name]
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    folder = Path(tempfile.mkdtemp(prefix="registry-tests-"))
    postgres = start_postgres(folder, "tests")
    config.stash[_POSTGRES] = (postgres.child, folder)
    os.environ[POSTGRES_VARIABLE] = postgres.url("postgres")
    asyncio.run(_make_template(postgres.url("postgres"), postgres.url(TEMPLATE)))


def pytest_unconfigure(config: pytest.Config) -> None:
    if (started := config.stash.get(_POSTGRES, None)) is not None:
        child, folder = started
        child.stop()
        shutil.rmtree(folder)


async def _make_template(server_url: str, template_url: str) -> None:
    # The server ends with the run: what a power cut would lose is lost anyway.
    for setting in ("fsync", "full_page_writes"):
        await execute_on(server_url, f"ALTER SYSTEM SET {setting} = off")
    await execute_on(server_url, "SELECT pg_reload_conf()")
    await execute_on(server_url, f"CREATE DATABASE {TEMPLATE}")
    await migrate.upgrade(template_url)


async def execute_on(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def url_of(database: str) -> str:
    return os.environ[POSTGRES_VARIABLE].removesuffix("/postgres") + f"/{database}"


@pytest.fixture(autouse=True)
def logs_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands that run within a test configure the logs of its process: the next test has its own again."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure = structlog.configure

    def configure_uncached(**options: Any) -> None:
        configure(**options | {"cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", configure_uncached)
    for name in ("_request_lines", "_of_process", "_more"):
        monkeypatch.setattr(logs, name, getattr(logs, name))
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@asynccontextmanager
async def own_database(options: str = "") -> AsyncIterator[str]:
    """The URL of a database of one's own; `options` are those of CREATE DATABASE."""
    name = f"test_{uuid4().hex}"
    server = os.environ[POSTGRES_VARIABLE]
    await execute_on(server, f"CREATE DATABASE {name} {options}")
    yield url_of(name)
    await execute_on(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database_url() -> AsyncIterator[str]:
    """A migrated database, empty."""
    async with own_database(f"TEMPLATE {TEMPLATE}") as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Connection]:
    """A connection to the test's database."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    server = start_redis(tmp_path_factory.mktemp("redis"), "tests", persist=False)
    yield server
    server.child.stop()


@pytest.fixture
async def redis_url(redis_server: EmbeddedRedis) -> AsyncIterator[str]:
    """An empty Redis."""
    client = Redis.from_url(redis_server.url(), socket_timeout=10)
    await client.flushall()
    await client.aclose()
    yield redis_server.url()


@pytest.fixture
async def redis_client(redis_url: str) -> AsyncIterator[Redis]:
    client = open_redis(redis_url, pool_size=16, timeout_s=10)
    yield client
    await client.aclose()

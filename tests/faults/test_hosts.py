"""Of several hosts one is silent: it takes connections and says nothing, as a frozen machine does."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.domain.errors import PostgresUnavailable
from app.store.postgres import Connection, Postgres, connect, open_connection
from app.store.redis import open_redis
from tests.faults.failover import SERVICE, start_sentinel
from tests.integration.conftest import eventually

CONNECTED_WITHIN_S = 2.0


@pytest.fixture
async def silent_host() -> AsyncIterator[str]:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"{host}:{port}"
    server.close()


def with_hosts(url: str, *hosts: str) -> str:
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{credentials}{at}{','.join(hosts)}").geturl()


async def test_postgres_is_found_beside_a_silent_host(database_url: str, silent_host: str) -> None:
    real = urlsplit(database_url).netloc.rpartition("@")[2]
    url = with_hosts(database_url, silent_host, "127.0.0.1:1", real) + "?target_session_attrs=read-write"
    async with asyncio.timeout(CONNECTED_WITHIN_S):
        async with open_connection(url) as connection:
            assert await connection.fetchval("SELECT 1") == 1
        postgres = Postgres(url, 2)
        await postgres.open()
        await postgres.ping()
        async with postgres.connection() as pooled:
            assert await pooled.fetchval("SELECT 1") == 1
        await postgres.close()


async def test_of_several_hosts_that_answer_one_connection_stays(
    database_url: str, database: Connection
) -> None:
    real = urlsplit(database_url).netloc.rpartition("@")[2]
    url = with_hosts(database_url, real, real, real) + "?target_session_attrs=read-write"
    connections = await asyncio.gather(*(connect(url) for _ in range(10)))

    async def is_no_other_left() -> bool:
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        return bool(await database.fetchval(count) == len(connections) + 1)

    await eventually(is_no_other_left, 5)
    for connection in connections:
        await connection.close()


async def test_no_postgres_among_several_hosts_is_told(database_url: str) -> None:
    url = with_hosts(database_url, "127.0.0.1:1", "127.0.0.1:2") + "?target_session_attrs=read-write"
    with pytest.raises(PostgresUnavailable):
        async with open_connection(url):
            raise AssertionError("nobody is there")


async def test_sentinels_are_found_beside_a_silent_one(
    redis_url: str, silent_host: str, tmp_path: Path
) -> None:
    port = urlsplit(redis_url).port
    assert port is not None
    sentinel, sentinel_port = start_sentinel(tmp_path, 0, port)
    password = urlsplit(redis_url).password
    hosts = f"{silent_host},127.0.0.1:1,127.0.0.1:{sentinel_port}"
    client = open_redis(f"redis+sentinel://:{password}@{hosts}/{SERVICE}", pool_size=2, timeout_s=5)
    try:
        async with asyncio.timeout(CONNECTED_WITHIN_S):
            assert await client.ping()
    finally:
        await client.aclose()
        sentinel.stop()

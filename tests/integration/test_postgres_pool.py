"""The API's connections to Postgres: how many, for how long, and through a pooler."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from app.auth.api_keys import key_hash
from app.domain.access import INSTRUMENTS_READ, INSTRUMENTS_WRITE, PROFILES_READ, PROFILES_WRITE
from app.domain.errors import PostgresUnavailable
from app.embedded.children import free_port, start_child
from app.store import postgres as module
from app.store.api_keys import add_key
from app.store.postgres import Connection, Postgres
from tests.integration.conftest import Client, eventually, is_lock_awaited, running_api
from tests.packages import needed

SCOPES = (INSTRUMENTS_READ, INSTRUMENTS_WRITE, PROFILES_READ, PROFILES_WRITE)
OWNERS = [f"owner-{number}" for number in range(8)]
"""Creations of one owner's profiles wait for each other."""
HISTORY = "/v1/instruments/ins_1/history"


@pytest.fixture
async def filled_url(database_url: str, database: Connection) -> str:
    """A database with some instruments, and a key of each owner."""
    await database.execute(
        "INSERT INTO instruments (symbol, name, asset_class) "
        "SELECT 'S' || n, 'N', 'equity' FROM generate_series(1, 3) AS n"
    )
    for owner in OWNERS:
        await add_key(database_url, owner=owner, scopes=SCOPES, secret_sha256=key_hash(owner))
    return database_url


@pytest.fixture
async def opened(database_url: str) -> AsyncIterator[Postgres]:
    """A pool of one connection that keeps no statement."""
    postgres = Postgres(database_url, 1, statement_timeout_s=0.2, prepared=False)
    await postgres.open()
    yield postgres
    await postgres.close()


def waiting() -> float | None:
    return REGISTRY.get_sample_value("registry_postgres_acquires_waiting")


def acquires(result: str) -> float:
    return REGISTRY.get_sample_value("registry_postgres_acquires_total", {"result": result}) or 0


async def shown_metric(api: Client, name: str) -> float:
    async with api.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


async def test_a_statement_that_takes_too_long_is_a_clear_503(
    filled_url: str, database: Connection, redis_url: str
) -> None:
    async with running_api(filled_url, redis_url, postgres_statement_timeout_ms=200) as api:
        timeouts = await shown_metric(api, "registry_postgres_statement_timeouts_total")
        async with database.transaction():
            await database.execute("LOCK TABLE instrument_history IN ACCESS EXCLUSIVE MODE")
            async with api.get(HISTORY) as response:
                assert response.status == 503, await response.text()
                assert "took Postgres longer than it may" in (await response.json())["detail"]
        assert await shown_metric(api, "registry_postgres_statement_timeouts_total") == timeouts + 1
        async with api.get(HISTORY) as response:
            assert response.status == 200, await response.text()
        assert not await is_lock_awaited(database, "relation"), "the server has given it up as well"


async def test_a_server_that_gives_statements_up_earlier_is_a_503_too(opened: Postgres) -> None:
    with pytest.raises(PostgresUnavailable, match="took Postgres longer than it may"):
        async with opened.connection() as connection, connection.transaction():
            await connection.execute("SET LOCAL statement_timeout = 20")
            await connection.execute("SELECT pg_sleep(10)")


async def test_who_waits_for_a_connection_is_counted_and_told_that_all_are_in_use(
    opened: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECT_TIMEOUT_S", 0.2)
    given, failed = acquires("given"), acquires("failed")
    async with opened.connection():

        async def other() -> None:
            async with opened.connection():
                raise AssertionError

        asking = asyncio.create_task(other())

        async def is_counted() -> bool:
            return waiting() == 1

        await eventually(is_counted)
        with pytest.raises(PostgresUnavailable, match="all 1 connections to Postgres of this process"):
            await asking
    assert waiting() == 0
    assert (acquires("given"), acquires("failed")) == (given + 1, failed + 1)


async def test_a_server_that_gives_no_connection_is_counted() -> None:
    url = f"postgresql://u:p@127.0.0.1:{free_port()}/d"
    failed = acquires("failed")
    postgres = Postgres(url, 1)
    await postgres.open()
    with pytest.raises(PostgresUnavailable):
        async with postgres.connection():
            raise AssertionError
    with pytest.raises(PostgresUnavailable):
        async with module.open_connection(url):
            raise AssertionError
    await postgres.close()
    assert acquires("failed") == failed + 2


async def test_without_prepared_statements_none_is_kept(opened: Postgres) -> None:
    async with opened.connection() as connection:
        assert await connection.fetchval("SELECT $1::int + 1", 1) == 2
        assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements") == 0


@pytest.mark.parametrize(("wanted", "told"), [(10, False), (10_000, True)])
async def test_too_few_connections_of_the_server_are_told_of(
    database_url: str, wanted: int, told: bool
) -> None:
    postgres = Postgres(database_url, 2, wanted_connections=wanted)
    await postgres.open()
    with capture_logs() as logged:
        async with postgres.connection(), postgres.connection():
            pass
    await postgres.close()
    assert [line["needed"] for line in logged] == ([wanted] if told else [])


@pytest.fixture
def pooler_url(database_url: str) -> Iterator[str]:
    """A PgBouncer in front of the database: three connections, given to one transaction after the other."""
    binary = needed("pgbouncer")
    server, port = urlsplit(database_url), free_port()
    with tempfile.TemporaryDirectory(prefix="registry-pgbouncer-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        (folder / "users.txt").write_text(f'"{server.username}" "{server.password}"\n')
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host={server.hostname} port={server.port}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n"
            f"auth_file = {folder}/users.txt\npool_mode = transaction\ndefault_pool_size = 3\n"
        )
        user = ["-u", "nobody"] if os.getuid() == 0 else []
        child = start_child("pgbouncer", [binary, *user, folder / "pgbouncer.ini"], folder / "log")
        try:
            yield server._replace(netloc=f"{server.netloc.rpartition(':')[0]}:{port}").geturl()
        finally:
            child.stop()


async def test_all_requests_work_through_a_pooler_of_transactions(
    filled_url: str, pooler_url: str, database: Connection, redis_url: str
) -> None:
    """More callers than connections, each of which serves one transaction after the other."""

    async def is_up() -> bool:
        try:
            await (await asyncpg.connect(pooler_url, statement_cache_size=0)).close()
        except OSError:
            return False
        return True

    await eventually(is_up)
    async with running_api(
        filled_url, redis_url, database_pool_url=pooler_url, postgres_prepared=False
    ) as api:
        statuses = await asyncio.gather(*(round_of_requests(api, number) for number in range(24)))
        assert set(map(tuple, statuses)) == {(201, 200, 200, 200, 201, 200, 204)}
        async with api.get("/health/ready") as response:
            assert (await response.json())["postgres"] == "up"
    assert await database.fetchval("SELECT count(*) FROM instruments") == 27


async def round_of_requests(api: Client, number: int) -> list[int]:
    """Writes and reads that go to Postgres, and their statuses."""
    profiles = "/v1/subscription-profiles"
    profile = {"name": f"P{number}", "channels": ["trades"], "selection": {"instruments": ["ins_1", "ins_2"]}}
    instrument = {"symbol": f"NEW{number}", "name": "New", "asset_class": "equity"}
    key = {"X-API-Key": OWNERS[number % len(OWNERS)]}
    statuses = []

    async def call(method: str, path: str, *, headers: dict[str, str] | None = None, json: Any = None) -> str:
        async with api.request(method, path, headers={**key, **(headers or {})}, json=json) as response:
            assert response.ok, await response.text()
            statuses.append(response.status)
            return response.headers.get("Location", "")

    path = await call("POST", profiles, json=profile, headers={"Idempotency-Key": f"once-{number}"})
    await call("PATCH", path, json={"description": "d"}, headers={"If-Match": '"1"'})
    await call("GET", f"{path}/events")
    await call("GET", HISTORY)
    made = await call("POST", "/v1/instruments", json=instrument)
    await call("GET", made, headers={"Cache-Control": "no-cache"})
    await call("DELETE", path, headers={"If-Match": "*"})
    return statuses

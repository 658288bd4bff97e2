"""Everything is lost but a dump, and comes back by the commands of the runbook."""

import asyncio
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import asyncpg
import orjson
import pytest
from aiohttp import ClientSession
from redis.asyncio import Redis

from app.auth.api_keys import key_hash, new_key
from app.domain.access import SCOPES
from app.embedded.postgres import EmbeddedPostgres, postgres_binaries, start_postgres
from app.store.api_keys import add_key
from app.store.migrate import upgrade
from tests.conftest import execute_on
from tests.faults.system import add_rows
from tests.integration.conftest import eventually, get_json, running_api, running_indexer
from tests.runbooks.blocks import blocks, section

ROWS: Final = 500
TRANSACTIONS: Final = 3_000
"""So that the first server's counter is far ahead of the second one's."""
PROFILES: Final = "/v1/subscription-profiles"
SEARCH: Final = "/v1/instruments/search?q=company%20123&limit=1"


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[EmbeddedPostgres]]:
    """Those that were started; the last one lives."""
    started: list[EmbeddedPostgres] = []
    yield started
    for server in started:
        server.child.stop()


def new_server(servers: list[EmbeddedPostgres], folder: Path) -> str:
    """The URL of an empty database on a server that never was there before."""
    folder.mkdir()
    servers.append(start_postgres(folder, "restore"))
    return servers[-1].url("postgres")


async def run(code: str, folder: Path, database_url: str, redis_url: str) -> str:
    """A block of the runbook, by a shell that stops at the first failure; what it prints."""
    command = folder / "bin/instrument-registry"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m app.cli "$@"\n')
    command.chmod(0o755)
    process = await asyncio.create_subprocess_exec(
        *("sh", "-ec", code),
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{command.parent}:{postgres_binaries()}:{os.environ['PATH']}",
            "REGISTRY_DATABASE_URL": database_url,
            "REGISTRY_REDIS_URL": redis_url,
            "SEARCH_INDEX_REFRESH": "1",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, f"{code}\n{output.decode()}"
    return output.decode()


async def commands(heading: str, folder: Path, database_url: str, redis_url: str) -> str:
    (code,) = blocks(section("restore.md", heading), "sh")
    return await run(code, folder, database_url, redis_url)


async def facts(client: ClientSession) -> Any:
    """What must be the same afterwards."""
    profiles = (await get_json(client, PROFILES))["profiles"]
    hit = (await get_json(client, SEARCH))["hits"][0]
    history = await get_json(client, f"/v1/instruments/{hit['id']}/history")
    events = await get_json(client, f"{PROFILES}/{profiles[0]['id']}/events")
    return profiles, hit, history, events


@pytest.mark.parametrize(
    "keeps_redis",
    [
        pytest.param(False, id="everything lost"),
        pytest.param(True, id="only Postgres lost", marks=pytest.mark.slow),
    ],
)
async def test_everything_comes_back_from_a_dump(
    *, keeps_redis: bool, servers: list[EmbeddedPostgres], redis_url: str, redis_client: Redis, tmp_path: Path
) -> None:
    before = new_server(servers, tmp_path / "before")
    await upgrade(before)
    await execute_on(
        before,
        f"DO $$ BEGIN FOR i IN 1..{TRANSACTIONS} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$",
    )
    await add_rows(before, ROWS)
    key = new_key()
    await add_key(before, owner="desk", scopes=SCOPES, secret_sha256=key_hash(key))
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    async with running_indexer(before, redis_client), running_api(before, redis_url) as client:
        client.headers.update(headers)
        await eventually(lambda: is_searchable(client))
        profile = {"name": "mine", "channels": ["trades"], "selection": {"query": {"q": "company 123"}}}
        async with client.post(PROFILES, data=orjson.dumps(profile)) as response:
            assert response.status == 201, await response.text()
        known = await facts(client)
        position = (await get_json(client, "/v1/instruments/changes"))["next"]

    await commands("Back up", tmp_path, before, redis_url)
    servers[0].child.stop()
    shutil.rmtree(tmp_path / "before")
    if not keeps_redis:
        await redis_client.flushall()

    after = new_server(servers, tmp_path / "after")
    await commands("Restore", tmp_path, after, redis_url)
    async with running_indexer(after, redis_client), running_api(after, redis_url) as client:
        client.headers.update(headers)
        printed = await commands("Check", tmp_path, after, redis_url)
        assert "No drift." in printed and f"{ROWS:,} rows compared" in printed and "desk" in printed
        assert "waits for" not in printed, "a change that came with the dump is none of today"
        await eventually(lambda: is_searchable(client))
        assert await facts(client) == known
        async with client.get(f"/v1/instruments/changes?since={position}") as response:
            assert response.status == 410
        read = await rows_read_by_a_refresh(after)
    assert read == 0, "rows that nobody changed since are read at every refresh"


async def is_searchable(client: ClientSession) -> bool:
    async with client.get(SEARCH) as response:
        return response.headers.get("X-Search-Source") == "redis" and bool((await response.json())["hits"])


async def rows_read_by_a_refresh(url: str) -> int:
    """How many a refresh would read once nothing is under way."""
    connection = await asyncpg.connect(url)
    try:
        statement = (
            "SELECT count(*) FROM instruments WHERE changed_xid >= pg_snapshot_xmin(pg_current_snapshot())"
        )
        return int(await connection.fetchval(statement))
    finally:
        await connection.close()

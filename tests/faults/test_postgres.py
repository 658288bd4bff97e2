"""Postgres frozen, stopped, busy, and held back by long transactions: searches notice nothing."""

import asyncio
import signal
import time
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from app.embedded.children import Child
from app.embedded.postgres import EmbeddedPostgres
from app.embedded.redis import EmbeddedRedis
from app.store.index_jobs import IndexJobs, JobKind, JobState
from app.store.postgres import Connection, open_connection
from tests.faults.conftest import Report
from tests.faults.load import SEARCH, load
from tests.faults.system import System, changing, freeze, start_again, thaw
from tests.integration.conftest import carry_out, eventually

SEARCHABLE_WITHIN_S: Final = 30.0
IMPORTED: Final = 50_000
REBUILD_S: Final = 120.0


async def searchable_after_s(base_url: str, connection: Connection, symbol: str, name: str) -> float:
    """Seconds from a commit until a search finds what it brought."""
    await connection.execute("UPDATE instruments SET name = $2 WHERE symbol = $1", symbol, name)
    began = time.monotonic()
    async with aiohttp.ClientSession(base_url) as session:

        async def is_found() -> bool:
            async with session.get(SEARCH, params={"q": name}) as response:
                return bool((await response.json())["hits"])

        await eventually(is_found, SEARCHABLE_WITHIN_S)
    return time.monotonic() - began


def shut_down(child: Child) -> None:
    child.process.send_signal(signal.SIGINT)
    child.process.wait()


@pytest.mark.parametrize("how", ["shut_down", pytest.param("frozen", marks=pytest.mark.slow)])
async def test_postgres_away_for_ten_seconds(
    tmp_path: Path, own_postgres: EmbeddedPostgres, own_redis: EmbeddedRedis, report: Report, how: str
) -> None:
    system = System(tmp_path, own_postgres.url(), own_redis.url())
    try:
        indexer = system.start_indexer()
        await system.until_live()
        base_url = (await system.start_api()).base_url
        async with load([base_url]) as searches, changing(system.database_url):
            await asyncio.sleep(1)
            searches.mark()
            if how == "frozen":
                freeze(own_postgres.child)
                await asyncio.sleep(10)
                thaw(own_postgres.child)
            else:
                shut_down(own_postgres.child)
                await asyncio.sleep(10)
                start_again(own_postgres.child)
            back_at = time.monotonic()

            async def is_ready() -> bool:
                async with (
                    aiohttp.ClientSession(base_url) as session,
                    session.get("/health/ready") as response,
                ):
                    return (await response.json())["status"] == "ready"  # type: ignore[no-any-return]

            await eventually(is_ready, 60)
            ready_after_s = time.monotonic() - back_at
        searches.assert_unnoticed()
        report(searches, ready_after_s=round(ready_after_s, 2))
        assert not indexer.exited
        await system.assert_level()
    finally:
        system.stop()


@pytest.mark.slow
async def test_a_transaction_held_open_for_a_minute(
    system: System, database: Connection, report: Report
) -> None:
    system.start_indexer()
    await system.until_live()
    base_url = (await system.start_api()).base_url
    delays: list[float] = []
    async with load([base_url]) as searches, changing(system.database_url):
        searches.mark()
        async with open_connection(system.database_url) as late, late.transaction():
            await late.execute("UPDATE instruments SET name = 'Held for long' WHERE symbol = 'S1'")
            ends = time.monotonic() + 60
            while time.monotonic() < ends:
                delays.append(await searchable_after_s(base_url, database, "S2", f"Quick {len(delays)}"))
                await asyncio.sleep(2)
    searches.assert_unnoticed()
    report(
        searches,
        changes=len(delays),
        median_change_searchable_after_s=round(sorted(delays)[len(delays) // 2], 3),
        slowest_change_searchable_after_s=round(max(delays), 3),
    )
    await system.assert_level()
    assert await searchable_after_s(base_url, database, "S3", "After all") < SEARCHABLE_WITHIN_S


@pytest.mark.slow
async def test_a_hundred_thousand_rows_changed_in_one_statement(
    system: System, database: Connection, report: Report
) -> None:
    await database.execute(
        "INSERT INTO instruments (symbol, name, asset_class) "
        "SELECT 'B' || n, 'Bulk fund ' || chr(65 + n % 26), 'fund' FROM generate_series(1, 100000) AS n"
    )
    system.start_indexer()
    await system.until_live()
    base_url = (await system.start_api()).base_url
    async with load([base_url]) as searches, changing(system.database_url):
        searches.mark()
        await database.execute("UPDATE instruments SET name = name || ' changed' WHERE symbol LIKE 'B%'")
        began = time.monotonic()
        other_s = await searchable_after_s(base_url, database, "S2", "Beside the many")
        await system.assert_level()
        level_s = time.monotonic() - began
    searches.assert_unnoticed()
    report(searches, level_after_s=round(level_s, 2), another_change_searchable_after_s=round(other_s, 2))


@pytest.mark.slow
async def test_a_rebuild_while_all_is_imported_again(
    system: System, database: Connection, tmp_path: Path, report: Report
) -> None:
    """Every row is changed by an import, twice, while the index is rebuilt again and again."""
    files = [write_instruments(tmp_path / f"{version}.csv", version) for version in ("first", "second")]
    await system.run("import", str(files[0]))
    system.start_indexer()
    await system.until_live()
    base_url = (await system.start_api()).base_url
    jobs = IndexJobs(database)
    rebuilds = 0
    async with load([base_url]) as searches:
        searches.mark()
        for file in reversed(files):
            importing = asyncio.create_task(system.run("import", str(file)))
            while not importing.done():
                assert (await carry_out(jobs, JobKind.REBUILD, REBUILD_S)).state is JobState.DONE
                rebuilds += 1
            await importing
        await system.assert_level()
    searches.assert_unnoticed()
    report(searches, rebuilds=rebuilds)
    assert rebuilds > 1
    renamed = await database.fetchval("SELECT count(*) FROM instruments WHERE name LIKE '% first'")
    assert renamed == IMPORTED


def write_instruments(file: Path, version: str) -> Path:
    lines = (f"B{n},Bulk fund {chr(65 + n % 26)} {version},fund" for n in range(IMPORTED))
    file.write_text("\n".join(("symbol,name,asset_class", *lines)))
    return file

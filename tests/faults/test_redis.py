"""Redis killed, emptied, frozen, full: searches go on, and the index is whole afterwards."""

import asyncio
from collections.abc import Mapping

import pytest
from redis.asyncio import Redis

from app.domain.errors import LeaseLost, RedisUnavailable
from app.embedded.redis import EmbeddedRedis
from app.store.index_state import read_live_state
from app.store.instruments import open_snapshot
from app.store.postgres import open_connection
from app.store.redis import execute
from tests.faults.conftest import Report
from tests.faults.load import load
from tests.faults.system import System, changing, freeze, start_again, thaw
from tests.integration.conftest import current_writer, eventually


async def started(system: System, environment: Mapping[str, str] | None = None) -> str:
    """The API's address, over a filled index."""
    system.start_indexer()
    await system.until_live()
    return (await system.start_api(environment)).base_url


async def save(system: System) -> None:
    async with system.redis() as client:
        await client.save()


async def test_redis_killed_and_restarted_from_an_older_file(
    system: System, own_redis: EmbeddedRedis, report: Report
) -> None:
    base_url = await started(system)
    await save(system)
    async with load([base_url]) as searches, changing(system.database_url):
        await asyncio.sleep(1)
        searches.mark()
        own_redis.child.process.kill()
        await asyncio.sleep(1)
        start_again(own_redis.child)
        await asyncio.sleep(5)
    report(searches)
    searches.assert_degraded_at_most()
    await system.assert_level()
    async with Redis.from_url(own_redis.url()) as client:
        settings = await execute(client, "FT.CONFIG", "GET", "MINPREFIX")
    assert settings == {b"MINPREFIX": b"1"}, "the restarted server has the settings that searches rely on"


async def test_redis_flushed(system: System, report: Report) -> None:
    base_url = await started(system)
    async with load([base_url]) as searches, changing(system.database_url):
        await asyncio.sleep(1)
        searches.mark()
        async with system.redis() as client:
            await client.flushall()
        await asyncio.sleep(6)
    figures = report(searches)
    searches.assert_degraded_at_most()
    assert figures["from_postgres"] > 0
    await system.assert_level()


@pytest.mark.slow
async def test_redis_frozen_for_ten_seconds(system: System, own_redis: EmbeddedRedis, report: Report) -> None:
    base_url = await started(system, {"REGISTRY_REDIS_SEARCH_MS": "250"})
    async with load([base_url]) as searches, changing(system.database_url):
        await asyncio.sleep(1)
        searches.mark()
        freeze(own_redis.child)
        await asyncio.sleep(10)
        thaw(own_redis.child)
        await asyncio.sleep(5)
    figures = report(searches)
    searches.assert_degraded_at_most()
    assert figures["slowest_ms"] < 2000, "nobody waits for a frozen server"
    await system.assert_level()


async def test_redis_out_of_memory(system: System, report: Report) -> None:
    base_url = await started(system)
    async with system.redis() as client, load([base_url]) as searches, changing(system.database_url):
        await asyncio.sleep(1)
        searches.mark()
        await client.config_set("maxmemory", (await client.info("memory"))["used_memory"] // 2)
        await asyncio.sleep(3)
        state = await read_live_state(client)
        assert state is not None and state.age_s > 1, "the indexer could not write"
        await client.config_set("maxmemory", 0)
        await asyncio.sleep(3)
    report(searches)
    searches.assert_unnoticed()
    await system.assert_level()


async def test_a_writer_does_not_advance_over_what_a_restart_lost(
    system: System, own_redis: EmbeddedRedis
) -> None:
    """Between a batch that was acknowledged and its watermark Redis comes back from an older file."""
    indexer = system.start_indexer()
    await system.until_live()
    indexer.stop()
    await save(system)
    async with system.redis() as client:
        state = await read_live_state(client)
        assert state is not None
        writer = await current_writer(client)
        async with open_connection(system.database_url) as connection:
            await connection.execute("UPDATE instruments SET name = 'Lost' WHERE symbol = 'S1'")
        async with open_snapshot(system.database_url) as snapshot:
            position = await snapshot.position(state.watermark)
            async for batch in snapshot.rows(state.watermark, 100):
                await writer.write(state.generation, batch)
            own_redis.child.process.kill()
            start_again(own_redis.child)

            async def is_refused() -> bool:
                try:
                    await writer.advance(state.generation, position)
                except RedisUnavailable:  # it is not up yet
                    return False
                except LeaseLost:
                    return True
                raise AssertionError("it advanced over a lost document")

            await eventually(is_refused)
            with pytest.raises(LeaseLost):
                await writer.promote(state.generation)
    system.start_indexer()
    await system.assert_level()

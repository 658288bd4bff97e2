"""A server of a pair is lost and the other takes over: the service follows by itself."""

import asyncio
import time
from pathlib import Path

import aiohttp
import asyncpg
import pytest
import redis

from app.embedded.postgres import EmbeddedPostgres
from app.embedded.redis import EmbeddedRedis
from app.store import sentinel
from app.store.postgres import open_connection
from app.store.redis import open_redis
from tests.faults.conftest import Report
from tests.faults.failover import PASSWORD, RedisPair, redis_pair, start_standby
from tests.faults.load import load
from tests.faults.system import System, add_rows, changing, start_again
from tests.integration.conftest import eventually, get_json

BACK_WITHIN_S = 10.0


def searches_answered(server: EmbeddedRedis) -> int:
    with redis.Redis(port=server.port, password=PASSWORD) as client:
        stats = client.info("commandstats")
    return int(stats.get("cmdstat_FT.SEARCH", {"calls": 0})["calls"])


async def until_replicated(pair: RedisPair) -> None:
    async def is_linked() -> bool:
        with redis.Redis(port=pair.replica.port, password=PASSWORD) as client:
            return bool(client.info("replication")["master_link_status"] == "up")

    await eventually(is_linked)


async def test_the_redis_primary_is_killed(tmp_path: Path, database_url: str, report: Report) -> None:
    await add_rows(database_url)
    with redis_pair(tmp_path) as pair:
        await until_replicated(pair)
        system = System(tmp_path, database_url, pair.url())
        try:
            system.start_indexer()
            await system.until_live()
            base_url = (await system.start_api()).base_url
            async with load([base_url]) as searches, changing(database_url):
                await asyncio.sleep(1)
                searches.mark()
                pair.primary.child.process.kill()
                await asyncio.sleep(BACK_WITHIN_S)
                back_again = len(searches.answers)
                start_again(pair.primary.child)  # which Sentinel makes a replica
                await asyncio.sleep(3)
            searches.assert_degraded_at_most()
            figures = report(searches)
            assert figures["recovered_after_s"] < BACK_WITHIN_S
            assert all(answer.is_normal for answer in searches.answers[back_again:])
            await system.assert_level()

            async def is_demoted() -> bool:
                with redis.Redis(port=pair.primary.port, password=PASSWORD) as client:
                    return bool(client.info("replication")["role"] == "slave")

            await eventually(is_demoted, 30)
        finally:
            system.stop()


async def test_searches_are_answered_by_replicas_and_the_primary_where_there_is_none(
    tmp_path: Path, database_url: str, report: Report
) -> None:
    await add_rows(database_url)
    with redis_pair(tmp_path) as pair:
        await until_replicated(pair)
        system = System(tmp_path, database_url, pair.url(), redis_read_url=pair.url("replica"))
        try:
            system.start_indexer()
            await system.until_live()
            base_url = (await system.start_api()).base_url
            async with load([base_url]) as searches, changing(database_url):
                before = searches_answered(pair.primary)
                await asyncio.sleep(2)
                assert searches_answered(pair.primary) == before
                assert searches_answered(pair.replica) > 0
                searches.mark()
                pair.replica.child.process.kill()
                await asyncio.sleep(6)
            searches.assert_degraded_at_most()
            report(searches)
            assert searches_answered(pair.primary) > before
            await system.assert_level()
        finally:
            system.stop()


@pytest.mark.slow
async def test_reads_return_to_a_replica_that_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentinel, "RENEW_S", 0.2)
    with redis_pair(tmp_path) as pair:
        await until_replicated(pair)
        client = open_redis(pair.url("replica"), pool_size=2, timeout_s=5)

        async def is_read(role: str) -> bool:
            try:
                return bool((await client.info("replication"))["role"] == role)
            except redis.ConnectionError:
                return False

        try:
            await eventually(lambda: is_read("slave"))
            pair.replica.child.process.kill()
            await eventually(lambda: is_read("master"))
            start_again(pair.replica.child)
            with redis.Redis(port=pair.replica.port, password=PASSWORD) as restarted:
                await eventually(lambda: answers(restarted))
                restarted.config_set("masterauth", PASSWORD)
                restarted.replicaof("127.0.0.1", pair.primary.port)
            await eventually(lambda: is_read("slave"), 30)
        finally:
            await client.aclose()


async def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


async def test_the_postgres_primary_is_killed_and_its_standby_promoted(
    tmp_path: Path, own_postgres: EmbeddedPostgres, own_redis: EmbeddedRedis, report: Report
) -> None:
    """Commits that the standby had not seen are gone from Postgres, and then from the index as well."""
    standby = start_standby(tmp_path / "standby", own_postgres)
    url = (
        f"postgresql://postgres:{own_postgres.password}@127.0.0.1:{own_postgres.port},"
        f"127.0.0.1:{standby.port}/registry?target_session_attrs=read-write"
    )
    system = System(tmp_path, url, own_redis.url())
    try:
        system.start_indexer()
        await system.until_live()
        base_url = (await system.start_api()).base_url
        async with load([base_url]) as searches, changing(url):
            await asyncio.sleep(1)
            other = await asyncpg.connect(standby.url())
            await other.execute("ALTER SYSTEM SET primary_conninfo = ''")
            await other.execute("SELECT pg_reload_conf()")

            async def is_cut_off() -> bool:
                return not await other.fetchval("SELECT count(*) FROM pg_stat_wal_receiver")

            await eventually(is_cut_off)  # what is committed from now on is lost
            async with open_connection(url) as connection:
                await connection.execute("UPDATE instruments SET name = 'Lost' WHERE symbol = 'S7'")
            async with aiohttp.ClientSession(base_url) as session:

                async def finds_lost() -> bool:
                    return bool((await get_json(session, "/v1/instruments/search", q="Lost"))["hits"])

                await eventually(finds_lost)
                searches.mark()
                killed_at = time.monotonic()
                own_postgres.child.process.kill()
                own_postgres.child.process.wait()
                await other.execute("SELECT pg_promote()")
                await other.close()

                async def is_writable() -> bool:
                    return bool((await get_json(session, "/health/ready"))["status"] == "ready")

                await eventually(is_writable, 30)
                ready_after_s = time.monotonic() - killed_at

                async def forgot_lost() -> bool:
                    return not await finds_lost()

                await eventually(forgot_lost, 30)
        searches.assert_unnoticed()
        report(searches, ready_after_s=round(ready_after_s, 2))
        await system.assert_level()
    finally:
        system.stop()
        standby.child.stop()

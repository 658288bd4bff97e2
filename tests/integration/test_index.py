"""The index follows Postgres: what is committed is in it, what is not is not, and nothing is left over."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from app.domain.errors import LeaseLost, RedisUnavailable
from app.search.document import Row
from app.search.generation import OWN, document_key, document_prefix, index_name
from app.search.schema import KEY_OF
from app.store import search_traffic
from app.store.index_jobs import CHANGES_CHANNEL, IndexJobs, JobKind, JobState, Requested
from app.store.index_state import index_info, read_live_state, read_parked
from app.store.index_view import read_index_view
from app.store.index_writer import IndexWriter
from app.store.instruments import Position, open_snapshot
from app.store.lease import Lease
from app.store.postgres import Connection, open_connection
from app.store.redis import execute
from app.tasks import end_tasks
from indexer import gates, runner
from indexer.chores import repeat
from indexer.due import take_effect
from indexer.measuring import measure
from indexer.refresh import READ_BATCH, WRITE_BATCH_BESIDE_SEARCHES, Refreshed, refresh, write_rows
from indexer.sampling import sample
from indexer.verify import verify, verify_sample
from tests.integration.conftest import (
    Import,
    WaitLevel,
    carry_out,
    current_writer,
    eventually,
    first_fill_ended,
    refreshing,
    running_indexer,
)

ROWS = [
    {"symbol": f"T{number}", "name": f"Test Company {number}", "asset_class": "equity", "mic": "XNAS"}
    for number in range(20)
]


async def rename(connection: Connection, symbol: str, name: str) -> None:
    await connection.execute("UPDATE instruments SET name = $2 WHERE symbol = $1", symbol, name)


async def indexed_names(client: Redis) -> set[str]:
    """Names as the index holds them."""
    state = await read_live_state(client)
    assert state is not None
    keys = [key async for key in client.scan_iter(match=f"{document_prefix(state.generation)}*")]
    return {(await client.hget(key, KEY_OF["name"])).decode() for key in keys}  # type: ignore[union-attr]


async def refresh_once(database_url: str, client: Redis) -> Refreshed:
    """One refresh under the fence that is shown, as the leader would."""
    state = await read_live_state(client)
    assert state is not None
    writer = await current_writer(client)
    async with open_snapshot(database_url) as snapshot:
        position = await snapshot.position(state.watermark)
        return await refresh(snapshot, position, writer, state)


def changes(refreshed: Refreshed) -> tuple[int, int]:
    """(written, removed); how many rows were read depends on transactions of other databases too."""
    return refreshed.written, refreshed.removed


@pytest.fixture
async def filled(database_url: str, redis_client: Redis, import_instruments: Import) -> None:
    """An index over ROWS whose indexer has stopped: the test refreshes by itself."""
    await import_instruments(ROWS)
    async with running_indexer(database_url, redis_client):
        await first_fill_ended(database_url, redis_client)
    assert (await verify(database_url, redis_client, 5)).clean


async def _is_live(client: Redis) -> bool:
    return await read_live_state(client) is not None


async def test_looking_for_what_is_due_wakes_no_indexer(
    filled: None, database_url: str, database: Connection
) -> None:
    woken: list[object] = []
    await database.add_listener(CHANGES_CHANNEL, lambda *_: woken.append(None))
    await take_effect(database_url)
    async with open_connection(database_url) as other:
        await other.execute(f"NOTIFY {CHANGES_CHANNEL}, 'last'")
    await eventually(lambda: is_true(bool(woken)))
    assert len(woken) == 1, "the last alone"


async def test_first_fill_holds_every_row(indexer: WaitLevel, import_instruments: Import) -> None:
    await import_instruments(ROWS)
    assert (await indexer()).rows == len(ROWS)


async def test_a_transaction_that_commits_late_is_not_lost(
    filled: None, database_url: str, database: Connection, redis_client: Redis
) -> None:
    late = await asyncpg.connect(database_url)
    transaction = late.transaction()
    await transaction.start()
    await rename(late, "T1", "early write late commit")  # the older transaction id
    await rename(database, "T2", "late write early commit")

    await refresh_once(database_url, redis_client)
    names = await indexed_names(redis_client)
    assert "late write early commit" in names, "an open transaction must not hold back another's change"
    assert "early write late commit" not in names, "what is not committed must not be seen"

    await transaction.commit()
    await late.close()
    await refresh_once(database_url, redis_client)
    assert "early write late commit" in await indexed_names(redis_client)
    assert (await verify(database_url, redis_client, 0)).clean


async def test_a_rolled_back_change_is_never_seen(
    filled: None, database_url: str, database: Connection, redis_client: Redis
) -> None:
    transaction = database.transaction()
    await transaction.start()
    await rename(database, "T1", "never happened")
    await refresh_once(database_url, redis_client)
    await transaction.rollback()
    assert (await refresh_once(database_url, redis_client)).written == 0
    assert "never happened" not in await indexed_names(redis_client)


async def test_a_refresh_writes_only_what_changed(
    filled: None, database_url: str, database: Connection, redis_client: Redis
) -> None:
    await rename(database, "T3", "Renamed Company")
    assert changes(await refresh_once(database_url, redis_client)) == (1, 0)
    assert changes(await refresh_once(database_url, redis_client)) == (0, 0)


async def test_what_an_open_transaction_makes_us_read_again_is_not_written_again(
    filled: None, database_url: str, database: Connection, redis_client: Redis
) -> None:
    holding = await asyncpg.connect(database_url)
    transaction = holding.transaction()
    await transaction.start()
    await rename(holding, "T9", "held open")
    await rename(database, "T3", "Renamed Company")
    assert (await refresh_once(database_url, redis_client)).written == 1
    again = await refresh_once(database_url, redis_client)
    assert again.read >= 1 and changes(again) == (0, 0)
    await transaction.rollback()
    await holding.close()


async def test_a_deleted_instrument_leaves_the_index(
    filled: None, database_url: str, database: Connection, redis_client: Redis
) -> None:
    await database.execute("DELETE FROM instruments WHERE symbol IN ('T4', 'T5')")
    assert (await refresh_once(database_url, redis_client)).removed == 2
    drift = await verify(database_url, redis_client, 0)
    assert drift.clean
    assert drift.rows == len(ROWS) - 2


async def test_importing_the_same_again_touches_no_document(
    filled: None, database_url: str, redis_client: Redis, import_instruments: Import
) -> None:
    report = await import_instruments(ROWS)
    assert (report.unchanged, report.changed, report.created) == (len(ROWS), 0, 0)
    assert changes(await refresh_once(database_url, redis_client)) == (0, 0)


async def test_an_emptied_redis_is_noticed_and_refilled(
    indexer: WaitLevel, import_instruments: Import, database: Connection, redis_client: Redis
) -> None:
    await import_instruments(ROWS)
    await indexer()
    await redis_client.flushall()
    await rename(database, "T1", "wakes the indexer")
    drift = await indexer()
    assert drift.rows == len(ROWS)
    assert "wakes the indexer" in await indexed_names(redis_client)


async def test_an_emptied_redis_refuses_the_batch_and_the_watermark(
    filled: None, database_url: str, database: Connection, redis_client: Redis
) -> None:
    state = await read_live_state(redis_client)
    assert state is not None
    writer = await current_writer(redis_client)
    await redis_client.flushall()
    async with open_snapshot(database_url) as snapshot:
        batches = [batch async for batch in snapshot.rows(None, 100)]
    with pytest.raises(LeaseLost):
        await writer.write(state.generation, batches[0])
    with pytest.raises(LeaseLost):
        await writer.advance(
            state.generation, Position(1, "x", changed=False, is_held=False, snapshot="1:1:", taken_at=0.0)
        )
    with pytest.raises(LeaseLost):
        await writer.remove(state.generation, [1])
    with pytest.raises(LeaseLost):
        await writer.promote(state.generation)
    assert await redis_client.dbsize() == 0


async def test_a_replaced_leader_is_refused_by_redis(filled: None, redis_client: Redis) -> None:
    shown = int((await redis_client.get(OWN.fence_key)) or 0)
    old, new = IndexWriter(redis_client, shown), IndexWriter(redis_client, shown + 1)
    await new.claim()
    with pytest.raises(LeaseLost):
        await old.remove(1, [1])
    with pytest.raises(LeaseLost):
        await old.claim()
    with pytest.raises(LeaseLost):
        await old.create_generation(999)
    state = await read_live_state(redis_client)
    assert state is not None
    for writer in (old, new):  # the one is replaced, and the live one is nobody's to drop
        with pytest.raises(LeaseLost):
            await writer.drop_generation(state.generation)
    assert await index_info(redis_client, 999) is None
    assert await index_info(redis_client, state.generation) is not None
    await new.remove(1, [10**9])


async def test_a_lease_has_one_holder_and_a_growing_token(database_url: str, database: Connection) -> None:
    other_connection = await asyncpg.connect(database_url)
    one, other = Lease(database, "one", 0.3), Lease(other_connection, "other", 0.3)
    token = await one.acquire()
    assert token is not None
    assert await one.acquire() == token, "renewing does not change the token"
    assert await other.acquire() is None
    await asyncio.sleep(0.35)
    taken = await other.acquire()
    assert taken is not None and taken > token
    assert await one.acquire() is None
    with pytest.raises(LeaseLost):
        await one.keep(token)
    await other.release()
    assert (await one.acquire() or 0) > taken
    await other_connection.close()


async def test_a_lease_is_renewed_after_a_pause_and_without_the_disk(
    database_url: str, database: Connection
) -> None:
    lease = Lease(database, "one", 0.3)
    token = await lease.acquire()
    assert token is not None
    keeping = asyncio.create_task(lease.keep(token))
    blocker = await asyncpg.connect(database_url)
    async with blocker.transaction():  # as if Postgres paused, for longer than between two renewals
        await blocker.execute("SELECT FROM index_leases FOR UPDATE")
        await asyncio.sleep(0.25)
    await asyncio.sleep(0.2)
    assert not keeping.done()
    assert await Lease(blocker, "other", 0.3).acquire() is None
    keeping.cancel()
    await asyncio.sleep(0.35)
    assert await lease._renew(token), "it has expired, and nobody has taken it"
    assert not await lease._renew(token - 1)
    behind = 0
    for _ in range(20):
        await lease._renew(token)
        behind += await database.fetchval("SELECT pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn()")
    assert behind
    assert await database.fetchval("SHOW synchronous_commit") == "on"
    await blocker.close()


async def test_a_restored_postgres_leads_past_the_token_that_redis_has_seen(
    filled: None, database_url: str, database: Connection, redis_client: Redis
) -> None:
    await redis_client.set(OWN.fence_key, 5000)
    await database.execute("DELETE FROM index_leases")
    async with running_indexer(database_url, redis_client):
        await rename(database, "T1", "after the restore")
        assert (await verify(database_url, redis_client, 10)).clean
    assert int(await redis_client.get(OWN.fence_key) or 0) == 5001


async def test_a_rebuild_ends_while_rows_change_without_pause(
    indexer: WaitLevel, import_instruments: Import, database: Connection, database_url: str
) -> None:
    await import_instruments(ROWS)
    await indexer()
    writer = await asyncpg.connect(database_url)

    async def change_without_pause() -> None:
        number = 0
        while True:
            number += 1
            await rename(writer, f"T{number % len(ROWS)}", f"Change {number}")

    changing = asyncio.ensure_future(change_without_pause())
    try:
        job_id = (await IndexJobs(database).request(JobKind.REBUILD, "tests")).id

        async def ended() -> bool:
            job = await IndexJobs(database).read(job_id)
            return job is not None and job.finished

        await eventually(ended)
        job = await IndexJobs(database).read(job_id)
        assert job is not None and job.state is JobState.DONE, job
    finally:
        await end_tasks(changing)
        await writer.close()
    assert (await indexer()).clean


async def test_documents_that_an_old_copy_of_redis_brings_back_are_removed(
    filled: None, database_url: str, redis_client: Redis
) -> None:
    """As after a restart from a copy that was taken while a generation was being removed."""
    await redis_client.sadd(OWN.generations_key, 77)
    await redis_client.hset(document_key(77, 1), "version", "1")
    async with running_indexer(database_url, redis_client):

        async def gone() -> bool:
            return not await redis_client.sismember(OWN.generations_key, "77")

        await eventually(gone)
        assert not await redis_client.exists(document_key(77, 1))


async def test_two_runners_one_leads_and_the_other_takes_over(
    database_url: str, redis_client: Redis, database: Connection, import_instruments: Import
) -> None:
    await import_instruments(ROWS)

    async def holder() -> Any:
        return await database.fetchval("SELECT holder FROM index_leases WHERE expires_at > clock_timestamp()")

    async def leads(name: str) -> bool:
        return bool(await holder() == name)

    async with running_indexer(database_url, redis_client, holder="second"):
        await eventually(lambda: leads("second"))
        async with running_indexer(database_url, redis_client, holder="first"):
            await eventually(lambda: _is_live(redis_client))
            assert await holder() == "second"
    async with running_indexer(database_url, redis_client, holder="first"):
        await eventually(lambda: leads("first"))
        await rename(database, "T1", "after the change of leader")
        assert (await verify(database_url, redis_client, 10)).clean
    assert (await database.fetchval("SELECT token FROM index_leases")) >= 2


async def test_a_change_wakes_the_indexer_long_before_its_interval(
    indexer: WaitLevel, import_instruments: Import, database: Connection, redis_client: Redis
) -> None:
    await import_instruments(ROWS)
    await indexer()
    await rename(database, "T7", "searchable soon")

    async def indexed() -> bool:
        return "searchable soon" in await indexed_names(redis_client)

    await eventually(indexed, timeout_s=5)  # the interval is 30 s


async def test_a_rebuild_swaps_and_keeps_one_generation(
    indexer: WaitLevel, import_instruments: Import, database: Connection, redis_client: Redis
) -> None:
    await import_instruments(ROWS)
    await indexer()
    jobs = IndexJobs(database)
    for _ in range(3):
        before = await read_live_state(redis_client)
        job = await carry_out(jobs, JobKind.REBUILD)
        assert job.state is JobState.DONE, job
        after = await read_live_state(redis_client)
        assert before is not None and after is not None
        assert after.generation > before.generation
    assert (await indexer()).rows == len(ROWS)
    assert [generation.state for generation in await jobs.generations()] == ["live", "kept"]
    kept = {generation.number for generation in await jobs.generations()}
    documents = [key async for key in redis_client.scan_iter(match="ir:[0-9]*:*")]
    assert {int(key.split(b":")[1]) for key in documents} == kept


async def test_one_rebuild_at_a_time(database: Connection) -> None:
    jobs = IndexJobs(database)
    first = await jobs.request(JobKind.REBUILD, "tests")
    assert first == Requested(first.id, JobKind.REBUILD, created=True)
    for kind in (JobKind.REBUILD, JobKind.ROLLBACK):
        assert await jobs.request(kind, "somebody else") == replace(first, created=False)
    assert (await jobs.request(JobKind.REFRESH, "tests")).created
    assert (await IndexJobs(database, "another schema").request(JobKind.REBUILD, "tests")).created


async def test_a_generation_that_a_dead_leader_left_unfinished_is_removed(
    filled: None, database_url: str, database: Connection, redis_client: Redis
) -> None:
    jobs = IndexJobs(database)
    token = int((await redis_client.get(OWN.fence_key)) or 0)
    orphan = await jobs.add_generation(above=0)
    await IndexWriter(redis_client, token).create_generation(orphan)
    async with running_indexer(database_url, redis_client):

        async def gone() -> bool:
            return await index_info(redis_client, orphan) is None

        await eventually(gone)
    assert (await verify(database_url, redis_client, 5)).clean


@pytest.mark.parametrize(
    ("field", "value"), [("cluster", "another/1"), ("watermark", str(2**60)), ("fingerprint", "old")]
)
async def test_an_index_that_follows_something_else_is_rebuilt(
    filled: None, database_url: str, redis_client: Redis, field: str, value: str
) -> None:
    state = await read_live_state(redis_client)
    assert state is not None
    await redis_client.hset(f"ir:state:{state.generation}", field, value)
    async with running_indexer(database_url, redis_client):

        async def swapped() -> bool:
            now = await read_live_state(redis_client)
            return now is not None and now.generation > state.generation

        await eventually(swapped)
    assert (await verify(database_url, redis_client, 5)).clean


async def spoil(database: Connection, client: Redis) -> tuple[int, int, int]:
    """A missing, a stale and a phantom document; their numbers."""
    state = await read_live_state(client)
    assert state is not None
    ids = [record["id"] for record in await database.fetch("SELECT id FROM instruments ORDER BY id LIMIT 2")]
    await client.delete(document_key(state.generation, ids[0]))
    await client.hset(document_key(state.generation, ids[1]), "version", "99")
    await client.hset(document_key(state.generation, 10**6), "version", "1")
    return ids[0], ids[1], 10**6


async def test_verify_names_missing_stale_and_phantom_documents(
    filled: None, database_url: str, database: Connection, redis_client: Redis
) -> None:
    missing, stale, phantom = await spoil(database, redis_client)
    drift = await verify(database_url, redis_client, 0)
    assert (drift.missing, drift.stale, drift.phantom) == ((missing,), (stale,), (phantom,))
    assert not drift.clean


async def test_a_repair_mends_both_generations(
    filled: None, database_url: str, database: Connection, redis_client: Redis
) -> None:
    jobs = IndexJobs(database)
    await spoil(database, redis_client)
    async with running_indexer(database_url, redis_client):
        await carry_out(jobs, JobKind.REBUILD)
        await spoil(database, redis_client)
        repaired = await carry_out(jobs, JobKind.REPAIR)
        assert repaired.state is JobState.DONE and repaired.checks is not None
        # The refresh before it reads again what a transaction of another test holds back, and so may mend
        # the missing one.
        assert repaired.checks | {"written": 0} == {
            "compared": len(ROWS),
            "written": 0,
            "removed": 1,
            "parked": 0,
        }
        assert repaired.checks["written"] in (1, 2)
        assert (await verify(database_url, redis_client, 0)).clean
        assert (await carry_out(jobs, JobKind.ROLLBACK)).state is JobState.DONE
        assert (await verify(database_url, redis_client, 0)).clean, "the first spoiled one"


async def test_a_sample_finds_drift(
    filled: None, database_url: str, database: Connection, redis_client: Redis
) -> None:
    assert (await verify_sample(database_url, redis_client, 100, 0)).clean
    missing, stale, _ = await spoil(database, redis_client)
    drift = await verify_sample(database_url, redis_client, 100, 0)
    assert (drift.rows, drift.missing, drift.stale) == (len(ROWS), (missing,), (stale,))
    assert (await verify_sample(database_url, redis_client, 5, 0)).rows == 5


async def test_what_a_sample_finds_is_told(
    filled: None, database_url: str, database: Connection, redis_client: Redis
) -> None:
    def metric(name: str) -> float:
        return REGISTRY.get_sample_value(name) or 0

    await spoil(database, redis_client)
    sampled = metric("registry_index_rows_sampled_total")
    await sample(database_url, redis_client, 0)
    assert metric("registry_index_rows_sampled_total") == sampled + len(ROWS)
    assert metric("registry_index_sample_drift") == 2


async def test_chores_are_done_again_and_again_whatever_fails() -> None:
    done = 0

    async def chore() -> None:
        nonlocal done
        done += 1
        if done % 2:
            raise RedisUnavailable("not now")

    task = asyncio.create_task(repeat("try", chore, 0.001))
    await eventually(lambda: is_true(done > 5))
    await end_tasks(task)


async def test_what_operations_see_is_measured(
    filled: None, database_url: str, database: Connection, redis_client: Redis
) -> None:
    await rename(database, "T1", "Not yet")
    await measure(database_url, redis_client)

    def metric(name: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(name, labels)

    assert metric("registry_index_rows") == metric("registry_index_documents", generation="live") == len(ROWS)
    assert metric("registry_index_documents", generation="kept") == 0
    assert (metric("registry_index_oldest_unindexed_seconds") or 0) > 0
    assert (metric("registry_redis_memory_bytes") or 0) > 1_000_000


async def is_true(value: bool) -> bool:
    return value


async def test_an_open_transaction_is_measured_and_delays_nobody(
    filled: None,
    database_url: str,
    database: Connection,
    redis_client: Redis,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(runner, "HELD_WARNING_S", 0.3)
    held = "registry_index_watermark_held_seconds"
    async with (
        open_connection(database_url) as late,
        running_indexer(database_url, redis_client, parameters=refreshing(0.1)),
    ):
        transaction = late.transaction()
        await transaction.start()
        await rename(late, "T1", "Held back")
        await rename(database, "T2", "Quick")

        async def is_searchable() -> bool:
            return "quick" in await indexed_names(redis_client)

        await eventually(is_searchable)
        assert "held back" not in await indexed_names(redis_client)
        await eventually(lambda: is_true((REGISTRY.get_sample_value(held) or 0) > 0.5))
        assert "a transaction is open for long" in capsys.readouterr().out
        await transaction.commit()
        await eventually(lambda: is_true(REGISTRY.get_sample_value(held) == 0))
    assert (await verify(database_url, redis_client, 5)).clean


async def plant_poison(connection: Connection) -> tuple[int, int]:
    """Two rows that no document can be made of, which the database would refuse: their numbers."""
    await connection.execute("ALTER TABLE instruments DROP CONSTRAINT instruments_aliases")
    await rename(connection, "T4", "Beside the poison")
    rows = await connection.fetch(
        "UPDATE instruments SET aliases = '{NULL}' WHERE symbol IN ('T3', 'T5') RETURNING id"
    )
    first, second = sorted(row["id"] for row in rows)
    return first, second


async def test_poison_rows_are_parked_and_the_rest_goes_on(
    filled: None,
    database_url: str,
    database: Connection,
    redis_client: Redis,
    capsys: pytest.CaptureFixture[str],
) -> None:
    jobs = IndexJobs(database)
    async with running_indexer(database_url, redis_client, parameters=refreshing(0.2)):
        poison = await plant_poison(database)
        await eventually(lambda: _is_parked(redis_client, *poison))
        assert "beside the poison" in await indexed_names(redis_client)
        logged: list[str] = []

        async def is_logged() -> bool:
            logged.extend(line for line in capsys.readouterr().out.splitlines() if "row parked" in line)
            return len(logged) == 2

        await eventually(is_logged)  # a moment after Redis knows of it
        assert any(f"ins_{poison[0]}" in line and "AttributeError" in line for line in logged)
        await measure(database_url, redis_client)
        assert REGISTRY.get_sample_value("registry_index_rows_parked") == 2

        drift = await verify(database_url, redis_client, 0)
        assert (drift.missing, drift.stale, drift.phantom, tuple(drift.parked)) == ((), (), (), poison)
        view = await read_index_view(database, redis_client)
        assert view.parked == 2
        assert [row.instrument for row in view.parked_rows] == [f"ins_{number}" for number in poison]

        # A rebuild parks them as well, and is as good as what is live; a repair tries them again.
        rebuilt = await carry_out(jobs, JobKind.REBUILD)
        assert rebuilt.state is JobState.DONE and (rebuilt.checks or {})["parked"] == 2
        assert len(await indexed_names(redis_client)) == len(ROWS) - 2
        repaired = await carry_out(jobs, JobKind.REPAIR)
        assert repaired.checks == {"compared": len(ROWS), "written": 0, "removed": 0, "parked": 2}
        assert await _is_parked(redis_client, *poison)

        await database.execute("UPDATE instruments SET aliases = '{A,B}' WHERE id = $1", poison[1])
        await database.execute("DELETE FROM instruments WHERE id = $1", poison[0])
        await eventually(lambda: _is_parked(redis_client))
    assert (await verify(database_url, redis_client, 5)).clean


async def _is_parked(client: Redis, *numbers: int) -> bool:
    state = await read_live_state(client)
    assert state is not None
    return tuple(await read_parked(client, state.generation)) == numbers


async def test_a_rebuild_that_parks_too_many_does_not_go_live(
    filled: None,
    database_url: str,
    database: Connection,
    redis_client: Redis,
    import_instruments: Import,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gates, "MAX_PARKED", 1)
    await plant_poison(database)
    async with running_indexer(database_url, redis_client):
        job = await carry_out(IndexJobs(database), JobKind.REBUILD)
    assert job.state is JobState.FAILED and job.error is not None
    assert "lacks 2 of 20 rows" in job.error and "AttributeError" in job.error


async def test_dates_that_python_does_not_know_are_shown_all_the_same(
    filled: None, database_url: str, database: Connection, redis_client: Redis
) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await database.execute("UPDATE instruments SET listed_on = '20000-01-01' WHERE symbol = 'T1'")
    await database.execute("ALTER TABLE instruments DROP CONSTRAINT instruments_years")
    await database.execute("UPDATE instruments SET listed_on = '20000-01-01' WHERE symbol = 'T1'")
    assert (await refresh_once(database_url, redis_client)).written == 1
    assert (await verify(database_url, redis_client, 0)).clean


async def test_less_is_written_at_once_while_others_search(
    filled: None, database_url: str, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = await read_live_state(redis_client)
    assert state is not None
    writer = await current_writer(redis_client)
    sizes: list[int] = []

    async def note(_: int, rows: Sequence[Row]) -> int:
        sizes.append(len(rows))
        return 0

    async def write_all() -> int:
        """The size of the largest batch."""
        sizes.clear()
        async with open_snapshot(database_url) as snapshot:
            await write_rows(writer, state.generation, snapshot.rows(None, READ_BATCH))
        return max(sizes)

    async def is_quiet() -> bool:
        return await write_all() == len(ROWS)

    monkeypatch.setattr(writer, "write", note)
    monkeypatch.setattr(search_traffic, "LOOK_S", 0.1)
    await eventually(is_quiet)
    await asyncio.sleep(0.2)
    for _ in range(100):
        await execute(redis_client, "FT.SEARCH", index_name(state.generation), "*", "LIMIT", 0, 0)
    assert await write_all() == WRITE_BATCH_BESIDE_SEARCHES < len(ROWS)
    await eventually(is_quiet)

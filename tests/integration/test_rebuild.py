"""Rebuilds and rollbacks: gated, cancellable, and never at the expense of what is live."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from redis import Redis as SyncRedis
from redis.asyncio import Redis

from app.search.generation import OWN, cells_key, document_key, document_prefix, index_name, state_key
from app.search.schema import KEY_OF, create_arguments
from app.store.index_jobs import IndexJobs, JobKind, JobState, Taken
from app.store.index_state import index_info, read_live_state
from app.store.postgres import Connection, open_connection
from app.tasks import end_tasks
from indexer.gates import JobCancelled, JobFailed
from indexer.rebuild import Progress, rebuild, roll_back
from indexer.verify import verify
from tests.integration.conftest import Import, carry_out, current_writer, eventually, running_indexer

JOB = Taken(1, JobKind.ROLLBACK, generation=None)
ROWS = [
    {"symbol": f"T{number}", "name": f"Test Company {number}", "asset_class": "equity", "mic": "XNAS"}
    for number in range(30)
]


@pytest.fixture
async def filled(
    database_url: str, database: Connection, redis_client: Redis, import_instruments: Import
) -> None:
    """A live generation, the only one, whose indexer has stopped."""
    await import_instruments(ROWS)
    async with running_indexer(database_url, redis_client):
        await eventually(partial(is_in, IndexJobs(database), 1, JobState.DONE))
    assert (await verify(database_url, redis_client, 5)).clean


async def live_generation(client: Redis) -> int:
    state = await read_live_state(client)
    assert state is not None
    return state.generation


class Interfering(Progress):
    """Lets a test do something when a phase begins."""

    def __init__(self, phase: str, act: Any) -> None:
        super().__init__()
        self.wanted, self.act = phase, act

    def enter(self, phase: str, total: int | None = None, done: int = 0) -> None:
        super().enter(phase, total, done)
        if phase == self.wanted:
            self.act()


async def rebuild_now(
    database_url: str, database: Connection, client: Redis, progress: Progress
) -> dict[str, int]:
    writer = await current_writer(client)
    swapped = await rebuild(
        database_url, client, writer, IndexJobs(database), progress, search_timeout_ms=5000
    )
    return swapped.checks


async def test_a_good_generation_passes_every_gate(
    filled: None, database_url: str, database: Connection, redis_client: Redis
) -> None:
    before = await live_generation(redis_client)
    checks = await rebuild_now(database_url, database, redis_client, Progress())
    assert checks == {"documents": 30, "parked": 0, "compared": 30, "queries": 20}
    assert await live_generation(redis_client) == before + 1


def without_a_document(client: SyncRedis, generation: int) -> None:
    client.delete(document_key(generation, 3))


def with_another_symbol(client: SyncRedis, generation: int) -> None:
    client.hset(document_key(generation, 3), KEY_OF["symbol"], "X")


def with_a_refused_document(client: SyncRedis, generation: int) -> None:
    client.hset(document_key(generation, 3), KEY_OF["rank"], "not a number")


def execute(client: SyncRedis | Redis, *arguments: str) -> Any:
    return client.execute_command(*arguments)


def with_another_count(client: SyncRedis, generation: int) -> None:
    client.hset(cells_key(generation), "equity", 1)


def without_symbols(client: SyncRedis, generation: int) -> None:
    """As if the index read symbols from where there are none."""
    execute(client, "FT.DROPINDEX", index_name(generation))
    arguments = create_arguments(index_name(generation), document_prefix(generation))
    arguments.remove("SKIPINITIALSCAN")
    arguments[arguments.index("symbol") - 2] = KEY_OF["identifiers"]
    execute(client, "FT.CREATE", *arguments)
    while execute(client, "FT.INFO", index_name(generation))[b"num_docs"] < len(ROWS):
        pass


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (without_a_document, "29 documents of 30, 0 of them refused"),
        (with_another_symbol, "another symbol of instrument 3"),
        (with_a_refused_document, "of 30, 1 of them refused"),
        (with_another_count, "counts 31 of 30 documents"),
        (without_symbols, "does not find instrument"),
    ],
)
async def test_a_generation_that_fails_a_gate_does_not_go_live(
    spoil: Callable[[SyncRedis, int], None],
    reason: str,
    filled: None,
    database_url: str,
    database: Connection,
    redis_client: Redis,
    redis_url: str,
) -> None:
    live = await live_generation(redis_client)
    with SyncRedis.from_url(redis_url, protocol=3) as client:
        progress = Interfering("verifying", lambda: spoil(client, live + 1))
        with pytest.raises(JobFailed, match=reason):
            await rebuild_now(database_url, database, redis_client, progress)
    assert await live_generation(redis_client) == live
    assert (await verify(database_url, redis_client, 0)).clean
    recorded = {generation.number: generation.state for generation in await IndexJobs(database).generations()}
    assert recorded == {live: "live", live + 1: "failed"}


async def test_a_failed_rebuild_says_why_and_leaves_nothing(
    filled: None, database_url: str, database: Connection, redis_client: Redis
) -> None:
    live = await live_generation(redis_client)

    async def spoil() -> None:
        while True:
            await redis_client.delete(document_key(live + 1, 3))

    async with running_indexer(database_url, redis_client):
        spoiling = asyncio.create_task(spoil())
        job = await carry_out(IndexJobs(database), JobKind.REBUILD)
        await end_tasks(spoiling)
        assert job.state is JobState.FAILED
        assert job.error == f"generation {live + 1} has 29 documents of 30, 0 of them refused by Redis"
        assert await live_generation(redis_client) == live
        assert await redis_client.smembers(OWN.generations_key) == {str(live).encode()}


async def test_the_generation_before_is_kept_level_and_can_be_gone_back_to(
    filled: None, database_url: str, database: Connection, redis_client: Redis
) -> None:
    jobs = IndexJobs(database)
    first = await live_generation(redis_client)
    async with running_indexer(database_url, redis_client):
        rebuilt = await carry_out(jobs, JobKind.REBUILD)
        second = await live_generation(redis_client)
        assert rebuilt.generation == second == first + 1
        assert rebuilt.checks == {"documents": 30, "parked": 0, "compared": 30, "queries": 20}
        await database.execute("UPDATE instruments SET name = 'Renamed' WHERE symbol = 'T3'")
        await database.execute("DELETE FROM instruments WHERE symbol = 'T4'")

        async def is_level() -> bool:
            number = await database.fetchval("SELECT id FROM instruments WHERE symbol = 'T3'")
            names = [
                await redis_client.hget(document_key(g, number), KEY_OF["name"]) for g in (first, second)
            ]
            counts = [(await index_info(redis_client, g) or {})["num_docs"] for g in (first, second)]
            return names == [b"renamed"] * 2 and counts == [29] * 2

        await eventually(is_level)
        for expected in (first, second):
            back = await carry_out(jobs, JobKind.ROLLBACK)
            assert (back.state, back.generation, back.checks) == (JobState.DONE, expected, {"documents": 29})
            assert await live_generation(redis_client) == expected
            assert (await verify(database_url, redis_client, 0)).clean
            aliased = await execute(redis_client, "FT.INFO", OWN.alias)
            assert aliased[b"index_name"] == index_name(expected).encode()

        # What is kept is what was live last, not what has the highest number.
        assert (await carry_out(jobs, JobKind.ROLLBACK)).generation == first
        await carry_out(jobs, JobKind.REBUILD)
        assert (await carry_out(jobs, JobKind.ROLLBACK)).generation == first


async def test_a_rollback_loses_nothing_that_was_committed_before_it(
    filled: None, database_url: str, database: Connection, redis_client: Redis
) -> None:
    async with running_indexer(database_url, redis_client):
        await carry_out(IndexJobs(database), JobKind.REBUILD)
    await database.execute("UPDATE instruments SET name = 'Renamed' WHERE symbol = 'T3'")
    writer = await current_writer(redis_client)
    await roll_back(database_url, redis_client, writer, IndexJobs(database), Progress(), JOB)
    assert (await verify(database_url, redis_client, 0)).clean


@pytest.mark.parametrize(
    ("field", "reason"), [("fingerprint", "has the schema other"), ("cluster", "follows another Postgres")]
)
async def test_a_rollback_to_what_does_not_fit_is_refused(
    field: str, reason: str, filled: None, database_url: str, database: Connection, redis_client: Redis
) -> None:
    first = await live_generation(redis_client)
    await rebuild_now(database_url, database, redis_client, Progress())
    await redis_client.hset(state_key(first), field, "other")
    writer = await current_writer(redis_client)
    with pytest.raises(JobFailed, match=f"{reason}.*rebuild instead"):
        await roll_back(database_url, redis_client, writer, IndexJobs(database), Progress(), JOB)
    assert await live_generation(redis_client) == first + 1


async def test_a_rollback_without_an_earlier_generation_fails(
    filled: None, database_url: str, database: Connection, redis_client: Redis
) -> None:
    live = await live_generation(redis_client)
    async with running_indexer(database_url, redis_client):
        job = await carry_out(IndexJobs(database), JobKind.ROLLBACK)
    assert job.error == "there is no earlier generation to go back to; rebuild instead"
    assert await live_generation(redis_client) == live


async def test_a_rollback_that_a_dead_leader_has_swapped_for_does_not_go_forward(
    filled: None, database_url: str, database: Connection, redis_client: Redis
) -> None:
    jobs = IndexJobs(database)
    first = await live_generation(redis_client)
    await rebuild_now(database_url, database, redis_client, Progress())
    writer = await current_writer(redis_client)
    requested = await jobs.request(JobKind.ROLLBACK, "tests")
    for _ in range(2):  # the first leader dies before it says that the job is done
        job = await jobs.take_next()
        assert job is not None and job.id == requested.id
        swapped = await roll_back(database_url, redis_client, writer, jobs, Progress(), job)
        assert swapped.generation == first == await live_generation(redis_client)


async def test_what_waits_is_cancelled_at_once(database: Connection) -> None:
    jobs = IndexJobs(database)
    requested = await jobs.request(JobKind.REBUILD, "tests")
    assert await jobs.cancel(requested.id, "somebody")
    job = await jobs.read(requested.id)
    assert job is not None and (job.state, job.cancelled_by) == (JobState.CANCELLED, "somebody")
    assert not await jobs.cancel(requested.id, "somebody else")
    assert await jobs.take_next() is None


async def test_a_running_rebuild_is_cancelled(
    filled: None, database_url: str, database: Connection, redis_client: Redis
) -> None:
    jobs = IndexJobs(database)
    live = await live_generation(redis_client)
    async with running_indexer(database_url, redis_client), open_connection(database_url) as other:
        async with other.transaction():
            await other.execute("LOCK TABLE instruments IN ACCESS EXCLUSIVE MODE")
            requested = await jobs.request(JobKind.REBUILD, "tests")
            await eventually(partial(is_in, jobs, requested.id, JobState.RUNNING))
            assert await jobs.cancel(requested.id, "somebody")
            await eventually(partial(is_in, jobs, requested.id, JobState.CANCELLED))
        assert await live_generation(redis_client) == live
        assert await redis_client.smembers(OWN.generations_key) == {str(live).encode()}
        assert (await carry_out(jobs, JobKind.REBUILD)).state is JobState.DONE


async def is_in(jobs: IndexJobs, job_id: int, state: JobState) -> bool:
    job = await jobs.read(job_id)
    return job is not None and job.state is state


def test_a_job_is_cancelled_before_its_swap_or_not_at_all() -> None:
    late, early = Progress(), Progress()
    late.begin_swap()
    assert not late.cancel() and not late.is_cancelled
    assert early.cancel()
    with pytest.raises(JobCancelled):
        early.begin_swap()

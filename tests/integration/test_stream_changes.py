"""What listeners are told of instruments: after a real import, by a running indexer, each change once."""

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest
from redis.asyncio import Redis

from app.domain.errors import SearchTimedOut
from app.domain.query import parse_saved_search
from app.store.index_jobs import IndexJobs, JobKind
from app.store.index_state import read_live_state
from app.store.matches import read_matches
from app.store.postgres import Connection
from app.store.profile_changes import tell_instruments
from tests.integration.conftest import (
    Client,
    Import,
    WaitLevel,
    eventually,
    running_api,
    running_indexer,
)
from tests.integration.streams import Event, Stream, add_keys, create, listening, patch, trail
from tests.integration.test_profile_stream import value_of

COMPARED = "registry_profiles_compared_total"
ETFS = {"query": {"asset_class": "etf"}}


def row(symbol: str, **fields: Any) -> dict[str, Any]:
    return {"symbol": symbol, "name": f"{symbol} Inc.", "asset_class": "equity", "mic": "XNAS", **fields}


@pytest.fixture
async def instruments(database_url: str, import_instruments: Import) -> None:
    """A to D, in this order numbered from 1."""
    await add_keys(database_url)
    for symbol in "ABC":
        await import_instruments([row(symbol)], source=symbol)
    await import_instruments([row("D", asset_class="etf")], source="D")


@pytest.fixture
async def api(
    instruments: None, database_url: str, redis_url: str, indexer: WaitLevel
) -> AsyncIterator[Client]:
    await indexer()
    async with running_api(database_url, redis_url) as client:
        yield client


async def lapse(database: Connection) -> None:
    """As if nobody had listened for a minute."""
    await database.execute("UPDATE profile_watches SET listened_until = now() - interval '1 minute'")


def id_of(path: str) -> UUID:
    return UUID(path.rpartition("_")[2])


async def next_of(stream: Stream, kind: str) -> Event:
    event = await stream.next()
    assert event and event.kind == kind, event
    return event


async def test_a_symbol_change_and_a_delisting_of_members_arrive(
    api: Client, database: Connection, import_instruments: Import
) -> None:
    path = await create(api, {"instruments": ["ins_1", "ins_2"]})
    async with listening(api, path) as stream:
        await next_of(stream, "ready")
        await database.execute("UPDATE instruments SET symbol = 'AA' WHERE id = 1")
        event = await next_of(stream, "instruments")
        (told,) = event.data["instruments"]
        assert (told["id"], told["version"]) == ("ins_1", 2)
        assert told["changes"]["symbol"] == {"from": "A", "to": "AA"}
        assert told["changes"].keys() == {"symbol", "dated_aliases"}, "and the former symbol is kept"
        assert event.data["version"] == 1, "the profile itself did not change"
        report = await import_instruments([row("X")], source="B", delist_missing=True)
        assert report.delisted == 1
        (told,) = (await next_of(stream, "instruments")).data["instruments"]
        assert told["id"] == "ins_2"
        assert told["changes"]["status"] == {"from": "active", "to": "delisted"}
        await database.execute("UPDATE instruments SET name = 'Not a member' WHERE id = 3")
        await database.execute("UPDATE instruments SET name = 'Member' WHERE id = 1")
        (told,) = (await next_of(stream, "instruments")).data["instruments"]
        assert told["id"] == "ins_1"
    async with api.get(path, headers={"X-API-Key": "alice"}) as response:
        assert response.headers["ETag"] == '"1"'


async def test_a_change_is_told_against_history_of_before_transactions_were_noted(
    api: Client, database: Connection
) -> None:
    path = await create(api, {"instruments": ["ins_1"]})
    async with database.transaction():
        await database.execute("SET LOCAL session_replication_role = replica")  # history is append-only
        await database.execute("UPDATE instrument_history SET changed_xid = NULL")
    async with listening(api, path) as stream:
        await next_of(stream, "ready")
        await database.execute("UPDATE instruments SET symbol = 'AA' WHERE id = 1")
        (told,) = (await next_of(stream, "instruments")).data["instruments"]
        assert told["changes"]["symbol"] == {"from": "A", "to": "AA"}


async def test_a_dynamic_selections_members_come_go_and_change(
    api: Client, database: Connection, import_instruments: Import
) -> None:
    path = await create(api, ETFS)
    async with listening(api, path) as stream:
        await next_of(stream, "ready")
        await import_instruments([row("E", asset_class="etf")], source="E")
        event = await next_of(stream, "membership")
        added = event.data["added"]
        assert (len(added), event.data["removed"]) == (1, [])
        assert (event.data["added_count"], event.data["removed_count"]) == (1, 0)
        await database.execute("UPDATE instruments SET symbol = 'DD' WHERE id = 4")
        (told,) = (await next_of(stream, "instruments")).data["instruments"]
        assert (told["id"], told["changes"]["symbol"]) == ("ins_4", {"from": "D", "to": "DD"})
        await database.execute("UPDATE instruments SET status = 'delisted' WHERE id = 4")
        (told,) = (await next_of(stream, "instruments")).data["instruments"]
        assert told["changes"]["status"]["to"] == "delisted"
        event = await next_of(stream, "membership")
        assert (event.data["added"], event.data["removed"]) == ([], ["ins_4"])


async def test_an_edited_query_is_compared_with_nothing_and_says_so(
    api: Client, database: Connection, import_instruments: Import
) -> None:
    path = await create(api, ETFS)
    async with listening(api, path) as stream:
        await next_of(stream, "ready")
        await patch(api, path, description="the same query")
        await next_of(stream, "updated")
        await import_instruments([row("E", asset_class="etf")], source="E")
        await next_of(stream, "membership")
        await patch(api, path, selection={"query": {"asset_class": ["equity"]}})
        await next_of(stream, "updated")
        await database.execute("UPDATE instruments SET asset_class = 'fund' WHERE id = 1")
        assert (await next_of(stream, "reset")).data["reason"] == "selection_unknown"
        await database.execute("UPDATE instruments SET asset_class = 'fund' WHERE id = 2")
        await next_of(stream, "instruments")
        assert (await next_of(stream, "membership")).data["removed"] == ["ins_2"]


@pytest.mark.parametrize("selection", [{"instruments": ["ins_4"]}, ETFS], ids=["listed", "dynamic"])
async def test_what_changed_while_nobody_listened_is_told_to_who_comes_back(
    api: Client, database: Connection, indexer: WaitLevel, selection: dict[str, Any]
) -> None:
    path = await create(api, selection)
    async with listening(api, path) as stream:
        ready = await next_of(stream, "ready")
    await lapse(database)
    await database.execute("UPDATE instruments SET asset_class = 'fund' WHERE id = 4")
    await indexer()
    async with listening(api, path, after=ready.number) as stream:
        (told,) = (await next_of(stream, "instruments")).data["instruments"]
        assert told["id"] == "ins_4"
        if selection is ETFS:
            assert (await next_of(stream, "membership")).data["removed"] == ["ins_4"]
    # Where nothing is known of the time between, that is said: to everybody who resumes.
    await database.execute("DELETE FROM profile_watches")
    for _ in range(2):
        async with listening(api, path, after=ready.number + (2 if selection is ETFS else 1)) as stream:
            await next_of(stream, "reset")


async def test_a_watch_of_another_cluster_knows_nothing(api: Client, database: Connection) -> None:
    """Transaction ids of a database that was dumped and loaded elsewhere are not those of its watches."""
    path = await create(api, {"instruments": ["ins_1"]})
    async with listening(api, path) as stream:
        ready = await next_of(stream, "ready")
    await database.execute("UPDATE profile_watches SET told = '90000000000:90000000000:'")
    async with listening(api, path, after=ready.number) as stream:
        await next_of(stream, "reset")
        await database.execute("UPDATE instruments SET name = 'N' WHERE id = 1")
        await next_of(stream, "instruments")


async def test_a_watch_that_lapses_while_streams_are_open_ends_them(
    api: Client, database: Connection
) -> None:
    path = await create(api)
    async with listening(api, path) as stream:
        ready = await next_of(stream, "ready")
        await lapse(database)
        await database.execute("UPDATE instruments SET symbol = 'AA' WHERE id = 1")
        assert await stream.next() is None
    async with listening(api, path, after=ready.number) as stream:
        await next_of(stream, "instruments")


async def test_profiles_are_compared_once_per_refresh_and_only_where_somebody_listens(
    api: Client, database: Connection, indexer: WaitLevel
) -> None:
    heard = await create(api, ETFS, name="heard")
    await create(api, ETFS, name="quiet")
    compared = value_of(COMPARED)
    await database.execute("UPDATE instruments SET name = 'N' WHERE id = 4")
    await indexer()
    assert value_of(COMPARED) == compared, "nobody listens"
    async with listening(api, heard) as first, listening(api, heard) as second:
        for stream in (first, second):
            await next_of(stream, "ready")
        await database.execute("UPDATE instruments SET asset_class = 'fund' WHERE id = 4")
        for stream in (first, second):
            await next_of(stream, "instruments")
            await next_of(stream, "membership")
        assert value_of(COMPARED) == compared + 1
        await carry_out(database, JobKind.REFRESH)
        assert value_of(COMPARED) == compared + 1, "nothing changed"


async def test_a_new_leader_tells_what_the_last_one_left_untold(
    instruments: None, database_url: str, redis_url: str, redis_client: Redis, database: Connection
) -> None:
    async with running_api(database_url, redis_url) as api:
        path = await create(api, {"instruments": ["ins_1"]})
        async with listening(api, path) as stream:
            await next_of(stream, "ready")
        await lapse(database)
        await database.execute("UPDATE instruments SET symbol = 'AA' WHERE id = 1")
        async with running_indexer(database_url, redis_client, holder="first"):
            await eventually(lambda: is_filled(redis_client))
        told = await trail(api, path)
        await database.execute("UPDATE profile_watches SET listened_until = now() + interval '1 hour'")

        async def told_more() -> bool:
            return len(await trail(api, path)) == len(told) + 1

        async with running_indexer(database_url, redis_client, holder="second"):
            await eventually(told_more)


async def is_filled(client: Redis) -> bool:
    return await read_live_state(client) is not None


async def test_after_a_swap_selections_are_compared(api: Client, database: Connection) -> None:
    path = await create(api, ETFS)
    async with listening(api, path) as stream:
        await next_of(stream, "ready")
        compared = value_of(COMPARED)
        await carry_out(database, JobKind.REBUILD)

        async def compared_again() -> bool:
            return value_of(COMPARED) > compared

        await eventually(compared_again)


async def carry_out(database: Connection, kind: JobKind) -> None:
    """Have the running indexer do a job."""
    jobs = IndexJobs(database)
    job_id = (await jobs.request(kind, "tests")).id

    async def finished() -> bool:
        job = await jobs.read(job_id)
        return job is not None and job.finished

    await eventually(finished)


async def test_a_transaction_that_commits_late_is_told_once(
    instruments: None, database: Connection, database_url: str, redis_url: str, connect: Callable[[], Any]
) -> None:
    """A snapshot, not a time or a number, is what tells which changes were told."""
    async with running_api(database_url, redis_url) as api:
        path = await create(api, {"instruments": ["ins_1", "ins_2"]})
        async with listening(api, path) as stream:
            await next_of(stream, "ready")
            late = await connect()
            transaction = late.transaction()
            await transaction.start()
            await late.execute("UPDATE instruments SET symbol = 'LATE' WHERE id = 1")
            await database.execute("UPDATE instruments SET symbol = 'SOON' WHERE id = 2")
            await tell(database, path)
            await transaction.commit()
            await tell(database, path)
            await tell(database, path)
            told = [(await next_of(stream, "instruments")).data["instruments"] for _ in range(2)]
            assert [[entry["id"] for entry in entries] for entries in told] == [["ins_2"], ["ins_1"]]
            await patch(api, path, description="the end")
            await next_of(stream, "updated")


@pytest.fixture
async def connect(database_url: str) -> AsyncIterator[Callable[[], Any]]:
    opened: list[Connection] = []

    async def open_one() -> Connection:
        opened.append(await asyncpg.connect(database_url))
        return opened[-1]

    yield open_one
    for connection in opened:
        await connection.close()


async def tell(database: Connection, path: str) -> None:
    async with database.transaction():
        await tell_instruments(database, [id_of(path)])


async def test_too_many_changes_at_once_are_a_reset(
    api: Client, database: Connection, indexer: WaitLevel
) -> None:
    ids = await database.fetch(
        "INSERT INTO instruments (symbol, name, asset_class) "
        "SELECT 'S' || n, 'N', 'bond' FROM generate_series(1, 1001) AS n RETURNING id"
    )
    path = await create(api, {"instruments": [f"ins_{record['id']}" for record in ids]})
    dynamic = await create(api, {"query": {"asset_class": "bond"}}, name="dynamic")
    await indexer()
    async with listening(api, path) as stream, listening(api, dynamic) as bonds:
        await next_of(stream, "ready")
        await next_of(bonds, "ready")
        await database.execute("UPDATE instruments SET name = 'M' WHERE id BETWEEN 5 AND 1004")
        assert len((await next_of(stream, "instruments")).data["instruments"]) == 1000
        await next_of(bonds, "instruments")
        await database.execute("UPDATE instruments SET status = 'suspended' WHERE asset_class = 'bond'")
        assert (await next_of(stream, "reset")).data["reason"] == "many_changes"
        await next_of(bonds, "reset")
        event = await next_of(bonds, "membership")
        assert (len(event.data["removed"]), event.data["removed_count"]) == (1000, 1001)
        await database.execute("UPDATE instruments SET status = 'active' WHERE asset_class = 'bond'")
        event = await next_of(bonds, "membership")
        assert (len(event.data["added"]), event.data["added_count"]) == (1000, 1001)


@pytest.mark.parametrize(
    "query", [{"asset_class": ["equity"]}, {"q": "s", "status": ["active"]}, {"q": "s1"}]
)
async def test_a_selection_is_read_whole_and_in_pages(
    indexer: WaitLevel, database: Connection, redis_client: Redis, query: dict[str, Any]
) -> None:
    await database.execute(
        "INSERT INTO instruments (symbol, name, asset_class, is_primary) "
        "SELECT 'S' || n, 'S1 Name', 'equity', n % 3 = 0 FROM generate_series(1, 40) AS n"
    )
    await indexer()
    state = await read_live_state(redis_client)
    assert state is not None
    search = parse_saved_search(query, "query")
    for page_size in (1, 7, 40, 1000):
        found = await read_matches(
            redis_client, state.generation, search, timeout_ms=5000, page_size=page_size
        )
        assert len(found) == 40 and found == sorted(set(found)), orjson.dumps(query)


async def test_a_selection_that_ran_out_of_time_is_refused(
    indexer: WaitLevel, database: Connection, redis_client: Redis
) -> None:
    """What a partial answer leaves out would be told as removed."""
    await database.execute(
        "INSERT INTO instruments (symbol, name, asset_class) "
        "SELECT 'S' || n, 'Name', 'equity' FROM generate_series(1, 20000) AS n"
    )
    await indexer()
    state = await read_live_state(redis_client)
    assert state is not None
    search = parse_saved_search({"q": "name", "asset_class": ["equity", "etf", "fund"]}, "query")
    with pytest.raises(SearchTimedOut):
        await read_matches(redis_client, state.generation, search, timeout_ms=1, page_size=20_000)

"""The export of all instruments, and the changes that follow it: complete, exact, and never half told."""

import asyncio
import gzip
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from app.domain.cursor import encode_token
from app.store.postgres import Connection, open_connection
from app.web.at_once import MAX_EXPORTS
from tests.integration.conftest import Client, eventually, get_json, running_api

EXPORT = "/v1/instruments/export"
CHANGES = "/v1/instruments/changes"
SINCE = "X-Changes-Since"


@pytest.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Client]:
    async with running_api(database_url, redis_url) as client:
        yield client


async def fill(database: Connection, count: int, name: str = "Company") -> None:
    await database.execute(
        "INSERT INTO instruments (symbol, name, asset_class) "
        "SELECT 'S' || n, $2, 'equity' FROM generate_series(1, $1) AS n",
        count,
        name,
    )


async def exported(api: Client) -> tuple[dict[str, Any], str]:
    """Every instrument by its id, and where to follow from."""
    async with api.get(EXPORT) as response:
        assert response.status == 200
        lines = (await response.text()).splitlines()
    found = {(instrument := json.loads(line))["id"]: instrument for line in lines}
    assert len(found) == len(lines)
    return found, response.headers[SINCE]


async def changed(api: Client, since: str, limit: int = 1000) -> tuple[list[Any], str]:
    """All changes up to now, and where to go on."""
    told: list[Any] = []
    while True:
        page = await get_json(api, CHANGES, since=since, limit=limit)
        assert len(page["changes"]) <= limit
        told += page["changes"]
        since = page["next"]
        if not page["more"]:
            return told, since


async def test_an_export_is_everything(api: Client, database: Connection) -> None:
    await fill(database, 1001)
    found, _ = await exported(api)
    assert set(found) == {f"ins_{number}" for number in range(1, 1002)}
    assert found["ins_7"] == await get_json(api, "/v1/instruments/ins_7")


async def test_an_empty_export(api: Client) -> None:
    assert (await exported(api))[0] == {}


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
async def test_an_export_is_gzipped_for_those_who_accept_it(
    accepted: str, api: Client, database: Connection
) -> None:
    await fill(database, 500)
    async with aiohttp.ClientSession(api._base_url, auto_decompress=False) as raw:
        async with raw.get(EXPORT, headers={"Accept-Encoding": accepted}) as response:
            body = await response.read()
        assert response.content_type == "application/x-ndjson"
        assert response.headers.get("Content-Encoding", "identity") == accepted
    text = gzip.decompress(body) if accepted == "gzip" else body
    assert len(text.splitlines()) == 500


async def test_what_commits_late_follows_the_export_once(
    api: Client, database: Connection, database_url: str
) -> None:
    await fill(database, 3)
    async with open_connection(database_url) as late, open_connection(database_url) as never:
        for connection, number in ((late, 1), (never, 2)):
            await connection.execute("BEGIN")
            await connection.execute("UPDATE instruments SET name = 'New' WHERE id = $1", number)
        await database.execute("UPDATE instruments SET name = 'Quick' WHERE id = 3")
        found, since = await exported(api)
        assert [found[f"ins_{number}"]["name"] for number in (1, 2, 3)] == ["Company", "Company", "Quick"]
        assert (await changed(api, since))[0] == []
        await late.execute("COMMIT")
        await never.execute("ROLLBACK")
    told, since = await changed(api, since)
    assert [(change["id"], change["instrument"]["name"]) for change in told] == [("ins_1", "New")]
    assert (await changed(api, since))[0] == []


async def test_changes_come_in_pages_which_other_changes_do_not_disturb(
    api: Client, database: Connection
) -> None:
    await fill(database, 9)
    _, since = await exported(api)
    await database.execute("UPDATE instruments SET name = 'New' WHERE id <= 5")
    await database.execute("DELETE FROM instruments WHERE id >= 8")
    first = await get_json(api, CHANGES, since=since, limit=2)
    assert first["more"]
    await database.execute("UPDATE instruments SET name = 'Newer' WHERE id IN (1, 4)")
    await database.execute("DELETE FROM instruments WHERE id = 5")
    rest, since = await changed(api, first["next"], limit=2)
    told = first["changes"] + rest
    assert [change["id"] for change in told] == ["ins_1", "ins_2", "ins_3", "ins_8", "ins_9"]
    assert [change["instrument"] for change in told[3:]] == [None, None]
    later, _ = await changed(api, since, limit=1)
    assert [(change["id"], change["instrument"] and change["instrument"]["name"]) for change in later] == [
        ("ins_1", "Newer"),
        ("ins_4", "Newer"),
        ("ins_5", None),
    ]


async def test_a_follower_has_what_postgres_has_whatever_commits_when(
    api: Client, database: Connection, database_url: str
) -> None:
    await fill(database, 40)
    copy, since = await exported(api)
    told: Counter[tuple[str, int]] = Counter()
    writing = True

    async def write(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - to be repeatable
        async with open_connection(database_url) as connection:
            for _ in range(25):
                transaction = connection.transaction()
                await transaction.start()
                for number in sorted(chance.sample(range(1, 41), 2)):
                    await connection.execute(
                        "DELETE FROM instruments WHERE id = $1"
                        if chance.random() < 0.05
                        else "UPDATE instruments SET name = name || 'x' WHERE id = $1",
                        number,
                    )
                await asyncio.sleep(chance.random() * 0.02)
                await (transaction.rollback() if chance.random() < 0.2 else transaction.commit())

    async def follow() -> None:
        nonlocal since
        last = False
        while not last:
            last = not writing
            changes, since = await changed(api, since, limit=3)
            for change in changes:
                if change["instrument"] is None:
                    copy.pop(change["id"], None)
                    told[change["id"], 0] += 1
                else:
                    copy[change["id"]] = change["instrument"]
                    told[change["id"], change["instrument"]["version"]] += 1

    following = asyncio.create_task(follow())
    await asyncio.gather(*map(write, range(6)))
    writing = False
    await following
    assert copy == (await exported(api))[0]
    assert max(told.values()) == 1, "each change is told once"
    assert len(told) > 50


async def test_without_a_position_one_follows_from_now(api: Client, database: Connection) -> None:
    await fill(database, 2)
    now = await get_json(api, CHANGES)
    assert (now["changes"], now["more"]) == ([], False)
    await database.execute("UPDATE instruments SET name = 'New' WHERE id = 2")
    assert [change["id"] for change in (await changed(api, now["next"]))[0]] == ["ins_2"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"x", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'["c","1:1:"]', 410),
        (b'["CLUSTER","1:1:"]', 200),
        (b'["CLUSTER","999999999:999999999:"]', 410),
        (b'["CLUSTER","1:1:",null,false,null,-1]', 400),
        (b'["CLUSTER","1:1:",null,false,null,9223372036854775808]', 400),
        (b'["CLUSTER","1:1:",null,0,null,0]', 400),
        (b'["CLUSTER","1:1:",null,false,"x",0]', 400),
        (b'["CLUSTER","1:1:",5]', 400),
        (b'["CLUSTER","2:1:"]', 400),
        (b'["CLUSTER","a"]', 400),
        (b'["CLUSTER","1:1:\\u0000"]', 400),
        (b'["CLUSTER","99999999999999999999999:1:"]', 400),
        (b'["CLUSTER","1:1:",null,false,null,0,0]', 400),
    ],
)
async def test_positions_that_are_none(
    content: bytes, status: int, api: Client, database: Connection
) -> None:
    cluster = await database.fetchval("SELECT cluster_timeline()")
    since = encode_token(content.replace(b"CLUSTER", cluster.encode()))
    async with api.get(CHANGES, params={"since": since}) as response:
        assert response.status == status, await response.text()
        if status == 400:
            assert (await response.json())["errors"][0]["field"] == "since"


@pytest.mark.parametrize("query", ["since=%C3%BC", "since=", "since=!", "limit=0", "limit=1001", "nosuch=1"])
async def test_bad_input_is_named(query: str, api: Client) -> None:
    async with api.get(f"{CHANGES}?{query}") as response:
        assert response.status == 400
        assert (await response.json())["errors"][0]["field"] == query.partition("=")[0]


async def test_an_export_that_breaks_off_is_not_taken_for_the_whole(
    api: Client, database: Connection
) -> None:
    await fill(database, 40_000, "Long" * 50)
    async with api.get(EXPORT, headers={"Accept-Encoding": "identity"}) as response:
        await response.content.readline()
        ended = await database.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND query LIKE '%FROM instruments ORDER BY id%' "
            "AND pid <> pg_backend_pid()"
        )
        assert ended == 1
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_exports_are_few_at_a_time(api: Client, database: Connection) -> None:
    await fill(database, 40_000, "Long" * 50)
    under_way = [await api.get(EXPORT, headers={"Accept-Encoding": "identity"}) for _ in range(MAX_EXPORTS)]
    async with api.get(EXPORT) as refused:
        assert (refused.status, refused.headers["Retry-After"]) == (503, "30")
    for response in under_way:
        response.close()

    async def is_admitted() -> bool:
        async with api.get(EXPORT) as again:
            return again.status == 200

    await eventually(is_admitted)


async def test_an_export_without_postgres_says_so(redis_url: str) -> None:
    async with running_api("postgresql://u@127.0.0.1:1/d", redis_url) as api:
        for path in (EXPORT, CHANGES):
            async with api.get(path) as response:
                assert response.status == 503 and "Retry-After" in response.headers

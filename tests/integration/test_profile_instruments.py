"""Editing a profile's members in bulk, and paging through what it resolves to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from app.auth.api_keys import key_hash
from app.domain.access import PROFILES_READ, PROFILES_WRITE
from app.store.api_keys import add_key
from app.store.postgres import Connection
from tests.integration.conftest import Client, Import, WaitLevel, eventually, running_api
from tests.wire import wire_to

PATH = "/v1/subscription-profiles"
KEY = {"X-API-Key": "alice"}
MANY = 10_000
"""So many instruments there are, and so many members may a profile have."""


def ids(*numbers: int) -> list[str]:
    return [f"ins_{number}" for number in numbers]


async def call(api: Client, method: str, path: str, **options: Any) -> tuple[int, Any, Any]:
    """Status, headers and JSON of an answer."""
    headers = {**KEY, **options.pop("headers", {})}
    async with api.request(method, path, headers=headers, **options) as response:
        return response.status, response.headers, await response.json()


async def create(api: Client, *members: int, **changes: Any) -> str:
    document = {"name": "P", "channels": ["trades"], "selection": {"instruments": ids(*members)}, **changes}
    status, headers, content = await call(api, "POST", PATH, json=document)
    assert status == 201, content
    return str(headers["Location"])


async def members_of(api: Client, path: str) -> list[str]:
    return list((await call(api, "GET", path))[2]["selection"]["instruments"])


async def pages(api: Client, path: str, limit: int) -> AsyncIterator[list[str]]:
    cursor = ""
    while True:
        status, _, page = await call(api, "GET", f"{path}/instruments?limit={limit}{cursor}")
        assert status == 200, page
        yield [instrument["id"] for instrument in page["instruments"]]
        if page["next_cursor"] is None:
            return
        cursor = f"&cursor={page['next_cursor']}"


@pytest.fixture
async def instruments(database: Connection) -> None:
    """ins_1 to ins_10000, the last of them delisted."""
    await database.execute(
        "INSERT INTO instruments (symbol, name, asset_class, status) "
        "SELECT 'S' || n, 'N', 'equity', CASE n WHEN $1 THEN 'delisted' ELSE 'active' END "
        "FROM generate_series(1, $1) AS n",
        MANY,
    )
    await database.execute("ANALYZE instruments")


@pytest.fixture
async def api(database_url: str, redis_url: str, instruments: None) -> AsyncIterator[Client]:
    await add_key(
        database_url,
        owner="alice",
        scopes=(PROFILES_READ, PROFILES_WRITE),
        secret_sha256=key_hash("alice"),
    )
    async with running_api(database_url, redis_url) as client:
        yield client


async def test_ten_thousand_members_come_and_go_in_one_request(api: Client) -> None:
    path = await create(api, 1)
    add = ids(*range(2, MANY))
    status, headers, report = await call(api, "POST", f"{path}/instruments", json={"add": add})
    assert (status, headers["ETag"]) == (200, '"2"')
    counts = {"added": MANY - 2, "removed": 0, "unchanged": 0, "rejected": 0}
    assert report == {
        "profile_id": path.rpartition("/")[2],
        "version": 2,
        "instrument_count": MANY - 1,
        **counts,
    }
    assert await members_of(api, path) == ids(*range(1, MANY))
    status, _, report = await call(api, "POST", f"{path}/instruments", json={"remove": add})
    assert (status, report["removed"], report["version"]) == (200, MANY - 2, 3)
    assert await members_of(api, path) == ids(1)
    events = (await call(api, "GET", f"{path}/events"))[2]["events"]
    assert events[0]["detail"]["changes"]["instruments"]["removed"] == add


async def test_all_or_nothing_names_every_culprit(api: Client) -> None:
    path = await create(api, 1)
    edit = {"add": [*ids(2, MANY, MANY + 1), "x"], "remove": ids(2)}
    status, _, problem = await call(api, "POST", f"{path}/instruments", json=edit)
    assert status == 400
    assert {error["field"]: error["message"] for error in problem["errors"]} == {
        "add[1]": f"ins_{MANY} is delisted",
        "add[2]": f"ins_{MANY + 1} is unknown",
        "add[3]": "is not an instrument id like ins_1",
        "remove[0]": "repeats ins_2, which is at add[0] already",
    }
    assert await members_of(api, path) == ids(1)


async def test_the_good_ones_are_applied_if_asked(api: Client) -> None:
    path = await create(api, 1)
    edit = {"add": [*ids(2, MANY), "x"], "remove": ids(1, 5), "atomic": False}
    status, _, report = await call(api, "POST", f"{path}/instruments", json=edit)
    assert (status, report["version"], report["rejected"]) == (200, 2, 2)
    assert report["items"] == [
        {"field": "add[0]", "instrument": "ins_2", "result": "added"},
        {
            "field": "add[1]",
            "instrument": f"ins_{MANY}",
            "result": "rejected",
            "message": f"ins_{MANY} is delisted",
        },
        {
            "field": "add[2]",
            "instrument": "x",
            "result": "rejected",
            "message": "is not an instrument id like ins_1",
        },
        {"field": "remove[0]", "instrument": "ins_1", "result": "removed"},
        {"field": "remove[1]", "instrument": "ins_5", "result": "unchanged"},
    ]
    assert await members_of(api, path) == ids(2)


async def test_edits_of_different_members_commute(api: Client) -> None:
    path = await create(api, *range(1, 33))
    edits = [{"add": ids(100 + n), "remove": ids(n)} for n in range(1, 33)]
    answers = await asyncio.gather(*(call(api, "POST", f"{path}/instruments", json=edit) for edit in edits))
    assert sorted(report["version"] for _, _, report in answers) == list(range(2, 34))
    assert set(await members_of(api, path)) == set(ids(*range(101, 133)))


async def test_nothing_to_do_is_no_change(api: Client) -> None:
    path = await create(api, 1, 2)
    edit = {"add": ids(1), "remove": ids(9)}
    _, headers, report = await call(api, "POST", f"{path}/instruments", json=edit)
    assert (headers["ETag"], report["unchanged"]) == ('"1"', 2)
    assert len((await call(api, "GET", f"{path}/events"))[2]["events"]) == 1


async def test_if_match_may_be_given(api: Client) -> None:
    path = await create(api, 1)
    for match, expected in (('"7"', 412), ('"1"', 200), ('"1"', 412)):
        edit = {"add": ids(2)}
        status, _, _ = await call(api, "POST", f"{path}/instruments", json=edit, headers={"If-Match": match})
        assert status == expected


async def test_a_retried_edit_has_one_effect(api: Client) -> None:
    path = await create(api, 1)
    edit = {"json": {"add": ids(2)}, "headers": {"Idempotency-Key": "k"}}
    answers = [await call(api, "POST", f"{path}/instruments", **edit) for _ in range(2)]
    assert answers[0][2] == answers[1][2] and answers[1][2]["added"] == 1
    assert answers[1][1]["Idempotent-Replayed"] == "true"
    assert (await call(api, "GET", path))[2]["version"] == 2


async def test_a_saved_search_has_no_members_to_edit(api: Client) -> None:
    path = await create(api, selection={"query": {"currency": "EUR"}})
    assert (await call(api, "POST", f"{path}/instruments", json={"add": ids(1)}))[0] == 409


async def test_ten_thousand_members_are_paged_in_their_order(api: Client) -> None:
    wanted = list(range(MANY - 1, 0, -1))
    path = await create(api, *wanted)
    seen = [identifier async for page in pages(api, path, 100) for identifier in page]
    assert seen == ids(*wanted)


async def test_pages_neither_repeat_nor_miss_while_members_come_and_go(api: Client) -> None:
    path = await create(api, *range(1, 13))
    seen: list[str] = []
    async for page in pages(api, path, 3):
        seen += page
        if len(seen) == 6:  # the last one seen goes, and another before it; one comes
            edit = {"remove": ids(6, 2), "add": ids(50)}
            assert (await call(api, "POST", f"{path}/instruments", json=edit))[0] == 200
    assert seen == ids(*range(1, 13), 50)


async def test_bad_pages_are_refused_by_field(api: Client) -> None:
    path = await create(api, 1)
    for query in ("limit=0", "cursor=AAAA", "offset=1", "cursor=WzEsLTFd"):
        status, _, problem = await call(api, "GET", f"{path}/instruments?{query}")
        assert (status, problem["errors"][0]["field"]) == (400, query.partition("=")[0])


async def test_without_postgres_listed_members_come_from_redis(
    database_url: str, redis_url: str, import_instruments: Import, indexer: WaitLevel
) -> None:
    rows = [{"symbol": f"S{n}", "name": f"N{n}", "asset_class": "equity", "mic": "XETR"} for n in range(9)]
    await import_instruments(rows)
    await indexer()
    await add_key(
        database_url,
        owner="alice",
        scopes=(PROFILES_READ, PROFILES_WRITE),
        secret_sha256=key_hash("alice"),
    )
    async with AsyncExitStack() as stack:
        wire = await stack.enter_async_context(wire_to(database_url))
        api = await stack.enter_async_context(running_api(wire.url, redis_url))
        listed = await create(api, *range(9, 0, -1))
        found = await create(api, name="Q", selection={"query": {"mic": "XETR"}})

        async def are_copied() -> bool:
            answers = [await call(api, "GET", path) for path in (listed, found)]
            return all(headers["X-Profile-Source"] == "redis" for _, headers, _ in answers)

        await eventually(are_copied)
        _, _, first = await call(api, "GET", f"{listed}/instruments?limit=2")
        await wire.cut()
        status, headers, second = await call(
            api, "GET", f"{listed}/instruments?limit=5&cursor={first['next_cursor']}"
        )
        assert (status, headers["X-Profile-Source"], headers["X-Search-Source"]) == (200, "redis", "redis")
        assert [entry["id"] for entry in second["instruments"]] == ids(*range(7, 2, -1))
        assert len([entry async for page in pages(api, found, 4) for entry in page]) == 9
        status, headers, _ = await call(
            api, "PATCH", listed, json={"status": "paused"}, headers={"If-Match": '"1"'}
        )
        assert (status, headers["Retry-After"]) == (503, "1")
        wire.mend()
        _, headers, third = await call(api, "GET", f"{listed}/instruments?cursor={second['next_cursor']}")
        assert headers["X-Search-Source"] == "postgres"
        assert [entry["id"] for entry in third["instruments"]] == ids(2, 1)
        assert third["total"] == 9 and third["next_cursor"] is None


async def test_a_saved_search_resolves_to_what_the_search_finds(
    database_url: str, redis_url: str, import_instruments: Import, indexer: WaitLevel
) -> None:
    rows = [
        {"symbol": f"S{n}", "name": "Name", "asset_class": ("etf", "equity")[n % 2], "mic": "XETR"}
        for n in range(20)
    ]
    await import_instruments(rows)
    await indexer()
    await add_key(
        database_url,
        owner="alice",
        scopes=(PROFILES_READ, PROFILES_WRITE, "instruments:read"),
        secret_sha256=key_hash("alice"),
    )
    async with running_api(database_url, redis_url) as api:
        path = await create(api, selection={"query": {"q": "name", "asset_class": "etf"}})
        hits = (await call(api, "GET", "/v1/instruments/search?q=name&asset_class=etf"))[2]["hits"]
        seen = [identifier async for page in pages(api, path, 3) for identifier in page]
        assert seen == [hit["id"] for hit in hits] and len(seen) == 10


async def test_what_became_of_requests_is_counted(api: Client) -> None:
    async def counts() -> dict[str, float]:
        async with api.get("/metrics") as response:
            lines = (await response.text()).splitlines()
        return {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in lines)
            if name.startswith(("registry_profile_operations_total", "registry_profile_reads_total"))
        }

    before = await counts()
    path = await create(api, 1)
    assert (await call(api, "POST", f"{path}/instruments", json={"add": ["x"]}))[0] == 400
    await call(api, "GET", path)
    async with api.get(path, headers={**KEY, "If-None-Match": '"1"'}) as response:
        assert response.status == 304
    for _ in range(2):
        headers = {"Idempotency-Key": "k"}
        await call(api, "POST", f"{path}/instruments", json={"add": ids(2)}, headers=headers)
    after = await counts()
    added = {name: count - before.get(name, 0) for name, count in after.items()}
    assert {name: count for name, count in added.items() if count and "operations" in name} == {
        'registry_profile_operations_total{operation="create",result="done"}': 1,
        'registry_profile_operations_total{operation="edit",result="InvalidInput"}': 1,
        'registry_profile_operations_total{operation="edit",result="done"}': 1,
        'registry_profile_operations_total{operation="edit",result="replayed"}': 1,
        'registry_profile_operations_total{operation="read",result="done"}': 1,
        'registry_profile_operations_total{operation="read",result="not_modified"}': 1,
    }
    assert sum(added.values()) == 6 + 2

"""Search pins: written with preconditions and an audit trail, refused by field."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.auth.api_keys import key_hash
from app.domain.access import INSTRUMENTS_READ, INSTRUMENTS_WRITE
from app.store.api_keys import add_key
from app.store.locks import Lock, take
from app.store.postgres import Connection
from tests.integration.conftest import Client, get_json, running_api
from tests.integration.test_api import problem

KEY = {"X-API-Key": "writer"}
PINS = "/v1/search-pins"


@pytest.fixture
async def api(database_url: str, redis_url: str, database: Connection) -> AsyncIterator[Client]:
    """The API over eleven instruments, with a key that may write."""
    await database.execute(
        "INSERT INTO instruments (symbol, name, asset_class) "
        "SELECT 'S' || n, 'Company', 'equity' FROM generate_series(1, 11) AS n"
    )
    await add_key(
        database_url,
        owner="writer",
        scopes=(INSTRUMENTS_READ, INSTRUMENTS_WRITE),
        secret_sha256=key_hash("writer"),
    )
    async with running_api(database_url, redis_url) as client:
        yield client


def pin(query: str = "apple", *numbers: int, **more: Any) -> dict[str, Any]:
    return {"query": query, "instruments": [f"ins_{number}" for number in numbers or (1,)], **more}


async def send(
    api: Client, method: str, path: str, status: int, match: str | None = None, **body: Any
) -> Any:
    headers = KEY if match is None else {**KEY, "If-Match": match}
    async with api.request(method, path, headers=headers, json=body or None) as response:
        assert response.status == status, await response.text()
        if status >= 400:
            return await problem(response, status)
        return (await response.json() if status != 204 else None), response.headers


async def test_a_pin_is_created_read_replaced_and_deleted(api: Client) -> None:
    created, headers = await send(api, "POST", PINS, 201, **pin("Apple ", 2, 1, note="first"))
    path = headers["Location"]
    assert (path, headers["ETag"]) == (f"{PINS}/{created['id']}", '"1"')
    assert (created["query"], created["instruments"]) == ("Apple", ["ins_2", "ins_1"])
    assert await get_json(api, path) == created
    async with api.get(path, headers={"If-None-Match": '"1"'}) as response:
        assert response.status == 304

    await send(api, "PUT", path, 428, **pin())
    await send(api, "PUT", path, 412, '"2"', **pin())
    same, headers = await send(api, "PUT", path, 200, '"1"', **pin("Apple", 2, 1, note="first"))
    assert (same, headers["ETag"]) == (created, '"1"')
    replaced, headers = await send(api, "PUT", path, 200, '"1"', **pin("big apple", 1, 2, 3))
    assert (replaced["version"], headers["ETag"]) == (2, '"2"')
    assert await get_json(api, path) == replaced

    await send(api, "DELETE", path, 412, '"1"')
    await send(api, "DELETE", path, 204, '"2"')
    async with api.get(path) as response:
        await problem(response, 404)
    await send(api, "DELETE", path, 404, '"2"')
    await send(api, "PUT", path, 404, "*", **pin())


async def test_every_change_is_told_for_ever(api: Client, database: Connection) -> None:
    _, headers = await send(api, "POST", PINS, 201, **pin(note="why"))
    path = headers["Location"]
    await send(api, "POST", PINS, 201, **pin("another"))
    await send(api, "PUT", path, 200, "*", **pin("apple", 2))
    await send(api, "DELETE", path, 204, "*")
    events = (await get_json(api, f"{path}/events"))["events"]
    first, second = {**pin(), "note": "why"}, {**pin("apple", 2), "note": ""}
    assert [(e["version"], e["operation"], e["before"], e["after"]) for e in events] == [
        (3, "deleted", second, None),
        (2, "updated", first, second),
        (1, "created", None, first),
    ]
    assert all(event["actor"].startswith("key:") and event["request_id"] for event in events)
    page = await get_json(api, f"{path}/events", limit=2)
    assert page == {"events": events[:2], "next_before": 2}
    page = await get_json(api, f"{path}/events", limit=2, before=2)
    assert page == {"events": events[2:], "next_before": None}
    for other in (f"{PINS}/pin_99/events", f"{PINS}/x/events"):
        async with api.get(other) as response:
            await problem(response, 404)


async def test_a_query_has_one_pin_however_it_is_written(api: Client) -> None:
    created, _ = await send(api, "POST", PINS, 201, **pin("S&P 500"))
    _, headers = await send(api, "POST", PINS, 201, **pin("other"))
    refused = await send(api, "POST", PINS, 409, **pin("  s+p  500"))
    assert created["id"] in refused["detail"] and refused["errors"][0]["field"] == "query"
    refused = await send(api, "PUT", headers["Location"], 409, "*", **pin("S&P500"))
    assert created["id"] in refused["detail"]
    await send(api, "PUT", f"{PINS}/{created['id']}", 200, "*", **pin("s&p 500"))
    await send(api, "POST", PINS, 201, **pin("^|"))
    await send(api, "POST", PINS, 201, **pin("^||"))


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"query": "x"}, ["instruments"]),
        ({"instruments": ["ins_1"]}, ["query"]),
        (pin("x", *range(1, 12)), ["instruments"]),
        (pin(" "), ["query"]),
        (pin("x" * 201), ["query"]),
        (pin("㌖" * 200), ["query"]),
        (pin("a\tb"), ["query"]),
        (pin(" ".join("x" * 31)), ["query"]),
        ({"query": "x", "instruments": []}, ["instruments"]),
        ({"query": "x", "instruments": ["ins_1", "x", "ins_1"]}, ["instruments[1]", "instruments[2]"]),
        (pin("x", 1, 99), ["instruments[1]"]),
        (pin("x", note="\0"), ["note"]),
        (pin("x", note="y" * 1001), ["note"]),
        (pin("x", more=1), ["more"]),
    ],
)
async def test_bad_fields_are_named(api: Client, body: dict[str, Any], fields: list[str]) -> None:
    refused = await send(api, "POST", PINS, 400, **body)
    assert [error["field"] for error in refused["errors"]] == fields
    assert await get_json(api, PINS) == {"pins": [], "next_cursor": None}


async def test_pins_are_listed_in_pages(api: Client) -> None:
    made = [(await send(api, "POST", PINS, 201, **pin(f"q{n}")))[0] for n in range(3)]
    first = await get_json(api, PINS, limit=2)
    last = await get_json(api, PINS, limit=2, cursor=first["next_cursor"])
    assert first["pins"] + last["pins"] == made
    assert last["next_cursor"] is None
    async with api.get(PINS, params={"cursor": "x"}) as response:
        assert (await problem(response, 400))["errors"][0]["field"] == "cursor"


async def test_pins_wait_for_each_other_alone_and_not_for_long(
    api: Client, database: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.store.writing.LOCK_TIMEOUT", "50ms")
    async with database.transaction():
        for lock in set(Lock) - {Lock.SEARCH_PINS}:
            await take(database, lock)
        _, headers = await send(api, "POST", PINS, 201, **pin())
        await take(database, Lock.SEARCH_PINS)
        for refusal in (
            await send(api, "POST", PINS, 503, **pin("other")),
            await send(api, "PUT", headers["Location"], 503, "*", **pin("other")),
            await send(api, "DELETE", headers["Location"], 503, "*"),
        ):
            assert "lock timeout" in refusal["detail"]


async def test_writers_need_the_scope(api: Client, database_url: str) -> None:
    await add_key(database_url, owner="reader", scopes=(INSTRUMENTS_READ,), secret_sha256=key_hash("reader"))
    async with api.post(PINS, json=pin(), headers={"X-API-Key": "reader"}) as response:
        await problem(response, 403)

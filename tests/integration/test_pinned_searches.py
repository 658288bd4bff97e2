"""Searches heed pins: first, in the pin's order, once, through filters and on every page."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.auth.api_keys import key_hash
from app.domain.access import INSTRUMENTS_READ, INSTRUMENTS_WRITE, PROFILES_READ, PROFILES_WRITE
from app.store.api_keys import add_key
from app.store.postgres import Connection
from tests.integration.conftest import Client, Import, WaitLevel, eventually, get_json, running_api
from tests.integration.test_api import SEARCH, symbols
from tests.integration.test_degraded import NOWHERE
from tests.integration.test_search_pins import PINS, pin, send

ROWS: list[dict[str, Any]] = [
    {"symbol": f"APPLE{n}", "name": f"Apple {n}", "asset_class": "equity", "mic": "XNAS"} for n in range(1, 8)
] + [
    {"symbol": "PEAR", "name": "Pear", "asset_class": "etf", "mic": "XNAS", "currency": "EUR"},
    {"symbol": "GONE", "name": "Apple Gone", "asset_class": "equity", "status": "delisted"},
]
PEAR, GONE = 8, 9
UNPINNED = [f"APPLE{n}" for n in range(1, 8)]
"""Their order, for all are as prominent."""


@pytest.fixture
async def api(
    database_url: str, redis_url: str, indexer: WaitLevel, import_instruments: Import
) -> AsyncIterator[Client]:
    await import_instruments(ROWS)
    await add_key(
        database_url,
        owner="writer",
        scopes=(INSTRUMENTS_READ, INSTRUMENTS_WRITE, PROFILES_READ, PROFILES_WRITE),
        secret_sha256=key_hash("writer"),
    )
    await indexer()
    async with running_api(database_url, redis_url) as client:
        yield client


async def first_is(api: Client, symbol: str, **parameters: Any) -> None:
    """Wait until it comes first."""

    async def check() -> bool:
        return (await symbols(api, **parameters))[:1] == [symbol]

    await eventually(check)


async def pinned(api: Client, query: str, *numbers: int, first: str) -> str:
    """The path of a new pin, once it is heeded."""
    _, headers = await send(api, "POST", PINS, 201, **pin(query, *numbers))
    await first_is(api, first, q=query)
    return str(headers["Location"])


async def test_pinned_instruments_come_first_in_their_order_and_once(api: Client) -> None:
    assert await symbols(api, q="apple") == UNPINNED
    path = await pinned(api, "Apple", 5, PEAR, 2, first="APPLE5")
    expected = ["APPLE5", "PEAR", "APPLE2", "APPLE1", "APPLE3", "APPLE4", "APPLE6", "APPLE7"]
    for text in ("apple", " APPLE ", "Äpple"):
        found = await get_json(api, SEARCH, q=text)
        assert [hit["symbol"] for hit in found["hits"]] == expected
        assert (found["total"], found["total_is_exact"], found["next_cursor"]) == (8, True, None)
    assert await symbols(api, q="apple 1") == ["APPLE1"], "another query"
    assert await symbols(api, q="apple", sort="symbol") == UNPINNED

    await send(api, "PUT", path, 200, "*", **pin("apple", 7))
    await first_is(api, "APPLE7", q="apple")
    assert await symbols(api, q="apple") == ["APPLE7", *UNPINNED[:6]]
    await send(api, "DELETE", path, 204, "*")
    await first_is(api, "APPLE1", q="apple")
    assert await symbols(api, q="apple") == UNPINNED


async def test_saved_searches_take_no_heed_of_pins(api: Client) -> None:
    await pinned(api, "apple", PEAR, first="PEAR")
    body: dict[str, Any] = {"name": "apples", "channels": ["trades"], "selection": {"query": {"q": "apple"}}}
    _, headers = await send(api, "POST", "/v1/subscription-profiles", 201, **body)
    for limit in (3, 100):
        listed, _ = await send(api, "GET", f"{headers['Location']}/instruments?limit={limit}", 200)
        assert [hit["symbol"] for hit in listed["instruments"]] == UNPINNED[:limit]


async def test_filters_let_pins_through_or_not(api: Client) -> None:
    await pinned(api, "apple", GONE, PEAR, 3, first="PEAR")
    assert (await symbols(api, q="apple"))[:2] == ["PEAR", "APPLE3"]
    assert (await symbols(api, q="apple", asset_class="equity"))[:2] == ["APPLE3", "APPLE1"]
    assert await symbols(api, q="apple", currency="EUR") == ["PEAR"]
    assert await symbols(api, q="apple", status="delisted") == ["GONE"]
    assert await symbols(api, q="apple", mic="XPAR") == []


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8])
async def test_pages_neither_repeat_nor_miss_anything(api: Client, limit: int) -> None:
    await pinned(api, "apple", 5, GONE, PEAR, 2, first="APPLE5")
    expected = ["APPLE5", "PEAR", "APPLE2", "APPLE1", "APPLE3", "APPLE4", "APPLE6", "APPLE7"]
    by_offset = []
    for offset in range(0, len(expected), limit):
        by_offset += await symbols(api, q="apple", limit=limit, offset=offset)
    assert by_offset == expected
    by_cursor: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await get_json(api, SEARCH, q="apple", limit=limit, **cursor)
        by_cursor += [hit["symbol"] for hit in page["hits"]]
        assert page["total"] == len(expected)
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert by_cursor == expected


async def test_a_cursor_goes_on_as_it_began_when_the_pin_changes(api: Client) -> None:
    path = await pinned(api, "apple", 5, PEAR, first="APPLE5")
    first = await get_json(api, SEARCH, q="apple", limit=1)
    unpinned = await get_json(api, SEARCH, q="apple 4", limit=1)
    await send(api, "PUT", path, 200, "*", **pin("apple", 7))
    await first_is(api, "APPLE7", q="apple")
    assert unpinned["next_cursor"] is None
    rest = await symbols(api, q="apple", cursor=first["next_cursor"])
    assert rest == ["PEAR", "APPLE1", "APPLE2", "APPLE3", "APPLE4", "APPLE6", "APPLE7"]

    await send(api, "DELETE", path, 204, "*")
    await first_is(api, "APPLE1", q="apple")
    before = await get_json(api, SEARCH, q="apple", limit=2)
    await pinned(api, "apple", 7, first="APPLE7")
    assert await symbols(api, q="apple", cursor=before["next_cursor"]) == UNPINNED[2:]


async def test_a_text_that_finds_nothing_by_itself(api: Client) -> None:
    await pinned(api, "macintosh", PEAR, first="PEAR")
    assert await symbols(api, q="macintosh") == ["PEAR"]
    await pinned(api, "^|", 1, first="APPLE1")


async def test_a_pin_whose_instrument_the_index_does_not_have(
    api: Client, database: Connection, indexer: WaitLevel
) -> None:
    await pinned(api, "apple", 5, PEAR, 2, first="APPLE5")
    cursor = (await get_json(api, SEARCH, q="apple", limit=2))["next_cursor"]
    await database.execute("DELETE FROM instruments WHERE id = 5")
    await indexer()
    rest = ["APPLE2", "APPLE1", "APPLE3", "APPLE4", "APPLE6", "APPLE7"]
    assert await symbols(api, q="apple") == ["PEAR", *rest]
    assert await symbols(api, q="apple", cursor=cursor) == rest


async def test_pins_stay_while_postgres_is_away_and_are_not_heeded_in_it(
    api: Client, database_url: str, database: Connection
) -> None:
    await pinned(api, "apple", PEAR, first="PEAR")
    with capture_logs() as logs:
        # To the service, as a Postgres that cannot be used.
        await database.execute("ALTER TABLE search_pin_events RENAME TO away")

        async def noticed() -> bool:
            return any(entry["event"] == "search pins cannot be read" for entry in logs)

        await eventually(noticed)
    assert (await symbols(api, q="apple"))[0] == "PEAR"
    await database.execute("ALTER TABLE away RENAME TO search_pin_events")
    async with running_api(database_url, NOWHERE, redis_search_ms=250) as degraded:
        assert (await symbols(degraded, q="apple"))[0] == "APPLE1"

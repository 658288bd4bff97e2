"""Pages in an order, read in ranges whose ends are guessed: none is missed, none comes twice."""

import math
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.parameters.definitions import Parameters
from app.store import key_samples, ordered_pages, page_ranges
from app.store.postgres import Connection
from tests.integration.conftest import Client, Import, WaitLevel, get_json, running_api

SEARCH = "/v1/instruments/search"
SORTS = ("relevance", "symbol", "name", "-updated_at")
FILTERS: list[dict[str, Any]] = [
    {},
    {"asset_class": "etf"},
    {"asset_class": "etf", "currency": "EUR"},
    {"mic": "XETR", "currency": ["EUR", "USD"]},
    {"country": "FR"},
    {"status": ["active", "delisted"]},
    {"status": "delisted"},
    {"asset_class": "bond"},
]
ROWS = [
    {
        "symbol": f"{'ABCDEFGHIJ'[number % 10] * (1 + number % 4)}{number}",
        # Many share the ten characters that a key holds, and some have the same name.
        "name": f"{('Nasdaq US Benchmark', 'Zürich', 'Ä 1', '中国', '3i')[number % 5]} {number // 7}",
        "asset_class": ("equity", "etf", "fund")[number % 3],
        "currency": ("EUR", "USD")[number % 2],
        "mic": ("XETR", "XNAS", "XPAR")[number % 7 % 3],
        "country": ("DE", "FR", None)[number % 4 % 3],
        "status": "delisted" if number % 11 == 0 else "active",
        **({"delisted_on": "2020-01-01"} if number % 11 == 0 else {}),
    }
    for number in range(300)
]


@pytest.fixture
async def filled(import_instruments: Import, indexer: WaitLevel, database: Connection) -> None:
    await import_instruments(ROWS)
    # Some changed in the same moment, as far as a time tells.
    await database.execute("ALTER TABLE instruments DISABLE TRIGGER USER")
    await database.execute("UPDATE instruments SET updated_at = '2026-01-01' WHERE id % 3 > 0")
    await database.execute("ALTER TABLE instruments ENABLE TRIGGER USER")
    await indexer()


@pytest.fixture(params=[-1e6, math.inf], ids=["lanes", "all"])
async def both(
    filled: None,
    database_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> AsyncIterator[tuple[Client, Client]]:
    """An API that takes short cuts wherever it can, in lanes or without, and one that looks at everything."""
    monkeypatch.setattr(page_ranges, "LANE_COST", request.param)
    monkeypatch.setattr(ordered_pages, "SORTED_WHOLE", 3)
    monkeypatch.setattr(page_ranges, "MARGIN", 0.3)  # so that most pages need several ranges
    monkeypatch.setattr(page_ranges, "WORTH", 10)
    monkeypatch.setattr(key_samples, "SAMPLED", 40)
    monkeypatch.setattr(key_samples, "_AT_ONCE", 20)
    plain = Parameters(cache_ttl_seconds=0, query_optimization=False)
    async with (
        running_api(database_url, redis_url) as quick,
        running_api(database_url, redis_url, parameters=plain) as thorough,
    ):
        yield quick, thorough


async def pages(api: Client, **query: Any) -> list[dict[str, Any]]:
    """All hits, page by page; every page has the same total."""
    hits: list[dict[str, Any]] = []
    page = await get_json(api, SEARCH, **query)
    total = page["total"]
    while True:
        assert (page["total"], page["total_is_exact"]) == (total, True)
        hits += page["hits"]
        if page["next_cursor"] is None:
            break
        assert len(page["hits"]) == query["limit"]
        page = await get_json(api, SEARCH, **query, cursor=page["next_cursor"])
    assert len(hits) == total == len({hit["id"] for hit in hits})
    return hits


def is_sorted(hits: list[dict[str, Any]], sort: str) -> bool:
    if sort == "-updated_at":
        times = [hit["updated_at"] for hit in hits]
        return times == sorted(times, reverse=True)
    return sort != "symbol" or [hit["symbol"] for hit in hits] == sorted(hit["symbol"] for hit in hits)


@pytest.mark.parametrize("sort", SORTS)
async def test_short_cuts_lead_to_the_same_pages(both: tuple[Client, Client], sort: str) -> None:
    quick, thorough = both
    for filters in FILTERS:
        for limit in (7, 100):
            query = {"sort": sort, "limit": limit, **filters}
            found, expected = await pages(quick, **query), await pages(thorough, **query)
            assert found == expected, query
            assert is_sorted(found, sort)
        for offset in (1, 20, 250):
            query = {"sort": sort, "limit": 7, "offset": offset, **filters}
            assert await get_json(quick, SEARCH, **query) | {"next_cursor": ""} == await get_json(
                thorough, SEARCH, **query
            ) | {"next_cursor": ""}, query
            page = await get_json(quick, SEARCH, **query)
            if page["next_cursor"] is not None:
                following = await get_json(quick, SEARCH, **query | {"offset": offset + 7})
                led_to = await get_json(
                    quick,
                    SEARCH,
                    **{k: v for k, v in query.items() if k != "offset"},
                    cursor=page["next_cursor"],
                )
                assert led_to["hits"] == following["hits"], query


@pytest.mark.parametrize("sort", SORTS[1:])
async def test_what_a_text_finds_in_another_order(both: tuple[Client, Client], sort: str) -> None:
    quick, thorough = both
    for filters in FILTERS[:4]:
        query = {"q": "nasdaq benchmark", "sort": sort, "limit": 7, **filters}
        found = await pages(quick, **query)
        assert found == await pages(thorough, **query) and is_sorted(found, sort)
        if sort == "name":
            assert [hit["name"] for hit in found] == sorted(hit["name"] for hit in found)


async def test_a_total_is_as_exact_as_the_index(
    both: tuple[Client, Client], import_instruments: Import, indexer: WaitLevel
) -> None:
    quick, _ = both
    before = (await get_json(quick, SEARCH, currency="EUR"))["total"]
    await import_instruments([{**ROWS[1], "symbol": "NEW", "currency": "EUR"}], source="other")
    await indexer()
    assert (await get_json(quick, SEARCH, currency="EUR"))["total"] == before + 1


async def test_what_comes_to_another_lane_is_not_missed(
    both: tuple[Client, Client], import_instruments: Import, indexer: WaitLevel
) -> None:
    quick, thorough = both
    query = {"currency": "EUR", "sort": "symbol", "limit": 7}
    first = await get_json(quick, SEARCH, **query)
    following = {**query, "cursor": first["next_cursor"]}
    await get_json(quick, SEARCH, **following)
    between = f"{first['hits'][-1]['symbol']}0"  # the next page begins with it
    for symbol in ("A", between):
        await import_instruments(
            [{**ROWS[1], "symbol": symbol, "asset_class": "bond", "currency": "EUR"}], source=symbol
        )
    await indexer()
    page = await get_json(quick, SEARCH, **query)
    assert page["hits"] == (await get_json(thorough, SEARCH, **query))["hits"]
    assert page["hits"][0]["symbol"] == "A"
    assert (await get_json(quick, SEARCH, **following))["hits"][0]["symbol"] == between


async def test_pages_by_relevance_meet_behind_the_first_hits(
    database_url: str, redis_url: str, import_instruments: Import, indexer: WaitLevel
) -> None:
    of_names = {"asset_class": "fund", "mic": "XETR"}
    await import_instruments(
        [{"symbol": f"F{number}", "name": f"Alpha Beta {number}", **of_names} for number in range(50)]
    )
    await indexer()
    async with running_api(database_url, redis_url) as api:
        whole = await pages(api, q="alpha beta", limit=100)
        for limit in (20, 7):
            assert await pages(api, q="alpha beta", limit=limit) == whole


async def test_what_can_mean_one_thing_alone_is_looked_for_as_that(
    database_url: str, redis_url: str, import_instruments: Import, indexer: WaitLevel
) -> None:
    listing = {"name": "Apple", "asset_class": "equity", "isin": "US0378331005"}
    await import_instruments(
        [
            {**listing, "symbol": "AAPL", "mic": "XNAS"},
            {**listing, "symbol": "APC.DE", "mic": "XETR"},
            {"symbol": "TRACKER", "name": "Tracker of US0378331005", "asset_class": "etf", "mic": "XETR"},
            {"symbol": "OTHER", "name": "Tracker of US5949181045", "asset_class": "etf", "mic": "XETR"},
        ]
    )
    await indexer()
    async with running_api(database_url, redis_url) as api:
        for typed in ("US0378331005", "us0378331005", "US 0378331005"):
            async with api.get(SEARCH, params={"q": typed}) as response:
                found = await response.json()
                assert {hit["symbol"] for hit in found["hits"]} == {"AAPL", "APC.DE"}
                assert 'desc="exact"' in response.headers["Server-Timing"]
        for typed in ("APC.DE", "apc gy", "XETR:APC", "XETR:APC.DE"):
            async with api.get(SEARCH, params={"q": typed}) as response:
                found = await response.json()
                assert [hit["symbol"] for hit in found["hits"]] == ["APC.DE"], typed
                assert 'desc="exact"' in response.headers["Server-Timing"]
        async with api.get(SEARCH, params={"q": "AAPL"}) as response:
            assert 'desc="ranked"' in response.headers["Server-Timing"]
        found = await get_json(api, SEARCH, q="US0378331005", sort="-updated_at")
        times = [hit["updated_at"] for hit in found["hits"]]
        assert len(times) == 3 and times == sorted(times, reverse=True)
        # Nothing has this one: it is looked for in names as well.
        found = await get_json(api, SEARCH, q="US5949181045")
        assert [hit["symbol"] for hit in found["hits"]] == ["OTHER"]
        # Not all on one page: then the pages are of everything that is found.
        found = await pages(api, q="US0378331005", limit=1)
        assert [hit["symbol"] for hit in found][-1] == "TRACKER" and len(found) == 3
    thorough = Parameters(cache_ttl_seconds=0, query_optimization=False)
    async with running_api(database_url, redis_url, parameters=thorough) as api:
        assert (await get_json(api, SEARCH, q="US0378331005"))["total"] == 3

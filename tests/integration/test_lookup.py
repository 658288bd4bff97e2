"""Batches of identifiers: what each names, in the index and in Postgres alike, and how they are refused."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from app.store import lookups
from app.store.postgres import Connection
from tests.integration.conftest import Client, Import, WaitLevel, eventually, running_api, running_indexer
from tests.integration.test_api import equity, problem

LOOKUP = "/v1/instruments/lookup"
NOWHERE = "redis://127.0.0.1:1"
APPLE, APPLE_COMPOSITE = "US0378331005", "BBG000B9XRY4"
ROWS = [
    equity(
        "APC.DE",
        "Apple Inc.",
        "XETR",
        currency="EUR",
        country="US",
        isin=APPLE,
        attributes={"size_class": "mega"},
    ),
    equity(
        "AAPL",
        "Apple Inc.",
        currency="USD",
        country="US",
        isin=APPLE,
        cusip="037833100",
        figi="BBG000B9Y5X2",
        composite_figi=APPLE_COMPOSITE,
        share_class_figi="BBG001S5N8V8",
        lei="HWUPKR0MPOU8FGXBT394",
        aliases=["Apfel", "APFEL"],
    ),
    # A composite FIGI of one is the FIGI of nothing else.
    equity("AAPL.MX", "Apple Inc.", "XMEX", figi="BBG000B9Y8J2", composite_figi=APPLE_COMPOSITE),
    equity("SIE.DE", "Siemens AG", "XETR", currency="EUR", isin="DE0007236101", sedol="5727973"),
    equity("SIE", "Sierra Madre", "XNYS", isin="US8264381014"),
    equity("SIE.F", "Siemens AG", "XFRA", currency="EUR", isin="DE0007236101"),
    equity("OLD", "Old Pencils", "XNYS", isin="US6800331075", status="delisted", delisted_on="2001-01-01"),
    equity("TWIN", "Twin of Nasdaq"),
    equity("TWIN", "Twin of New York", "XNYS"),
    equity("LATE", "Alive again", "XNYS", isin="US0231351067"),
    equity("LATE", "Dead long since", status="delisted", delisted_on="2001-01-01"),
    {"symbol": "A|B -C", "name": "Odd", "asset_class": "fund", "exchange": "ODD", "aliases": ["X|Y"]},
]


@pytest.fixture(params=["redis", "postgres"])
async def shop(
    request: pytest.FixtureRequest,
    database_url: str,
    redis_url: str,
    import_instruments: Import,
    redis_client: Redis,
) -> AsyncIterator[Client]:
    """The API over ROWS, with a Redis and without."""
    assert (await import_instruments(ROWS)).rejected == 0
    if request.param == "postgres":
        async with running_api(database_url, NOWHERE) as client:
            yield client
        return
    async with (
        running_indexer(database_url, redis_client),
        running_api(database_url, redis_url) as client,
    ):
        await is_answered_by(client, "redis")
        yield client


async def is_answered_by(client: Client, source: str) -> None:
    async def answered() -> bool:
        async with client.post(LOOKUP, json={"identifiers": [{"type": "id", "value": "ins_1"}]}) as response:
            return response.headers["X-Search-Source"] == source

    await eventually(answered)


async def look_up(client: Client, *identifiers: Any) -> list[Any]:
    async with client.post(LOOKUP, json={"identifiers": identifiers}) as response:
        content = await response.json()
        assert response.status == 200, content
    assert len(content["results"]) == len(identifiers)
    return list(content["results"])


async def found(client: Client, kind: str, value: str, **more: str) -> list[str]:
    """The symbols that one identifier names."""
    (result,) = await look_up(client, {"type": kind, "value": value, **more})
    return [match["symbol"] for match in result["matches"]]


CASES = [
    ("isin", APPLE, ["AAPL", "APC.DE"]),
    ("ISIN", " us-037833 1005 ", ["AAPL", "APC.DE"]),
    ("cusip", "037833100", ["AAPL"]),
    ("sedol", "572797-3", ["SIE.DE"]),
    ("figi", "bbg000b9y5x2", ["AAPL"]),
    ("figi", APPLE_COMPOSITE, []),
    ("composite_figi", APPLE_COMPOSITE, ["AAPL", "AAPL.MX"]),
    ("share_class_figi", "BBG001S5N8V8", ["AAPL"]),
    ("share_class_figi", "BBG000B9Y5X2", []),
    ("lei", "HWUPKR0MPOU8FGXBT394", ["AAPL"]),
    ("symbol", "aapl", ["AAPL"]),
    ("symbol", "APFEL", []),
    ("symbol", APPLE, []),
    ("isin", "AAPL", []),
    ("alias", "apfel", ["AAPL"]),
    ("alias", "AAPL", []),
    ("id", "INS_1", ["APC.DE"]),
    ("id", "ins_999", []),
    ("symbol", "a|b  -c", ["A|B -C"]),
    ("symbol", "A", []),
    ("symbol", "|", []),
    ("alias", "x|y", ["A|B -C"]),
    ("alias", "x", []),
    ("isin", "US6800331075", ["OLD"]),
    ("symbol", "*", []),
    ("symbol", "AAP*", []),
    ("symbol", "AAPL} | @status:{active", []),
    ("symbol", "🍎", []),
    ("symbol", "\u202eLPAA", []),
    ("isin", "\u0634\u0631\u0643\u0629", []),
]


async def test_each_kind_names_what_holds_it_as_that(shop: Client) -> None:
    results = await look_up(shop, *({"type": kind, "value": value} for kind, value, _ in CASES))
    for (kind, value, expected), result in zip(CASES, results, strict=True):
        assert [match["symbol"] for match in result["matches"]] == expected, (kind, value)


async def test_what_narrows_it(shop: Client) -> None:
    assert await found(shop, "isin", APPLE, mic="xetr") == ["APC.DE"]
    assert await found(shop, "isin", APPLE, currency="usd") == ["AAPL"]
    assert await found(shop, "isin", APPLE, asset_class="ETF") == []
    assert await found(shop, "symbol", "SIE") == ["SIE"]
    assert await found(shop, "symbol", "sie", mic="XETR") == ["SIE.DE"]
    assert await found(shop, "symbol", "SIE.DE", mic="XETR") == ["SIE.DE"]
    assert await found(shop, "symbol", "SIE.DE", mic="XFRA") == []
    assert await found(shop, "symbol", "SIE", mic="XNYS") == ["SIE"]


async def test_the_best_comes_first_and_what_stays_open_is_said(shop: Client) -> None:
    apple, twin, late, siemens, old = await look_up(
        shop,
        {"type": "isin", "value": APPLE},
        {"type": "symbol", "value": "TWIN"},
        {"type": "symbol", "value": "LATE"},
        {"type": "lei", "value": "HWUPKR0MPOU8FGXBT394"},
        {"type": "symbol", "value": "OLD"},
    )
    # The primary listing, although the other one is known to be large; both are one issue.
    assert ([match["primary"] for match in apple["matches"]], apple["total"]) == ([True, False], 2)
    assert (apple["ambiguous"], siemens["ambiguous"], old["ambiguous"]) == (False, False, False)
    assert (twin["ambiguous"], twin["total"]) == (True, 2)
    assert [match["status"] for match in late["matches"]] == ["active", "delisted"]
    assert late["ambiguous"] is False, "only one of them is traded"
    assert old["matches"][0]["status"] == "delisted"


async def test_results_stand_in_order_and_errors_in_their_place(shop: Client) -> None:
    results = await look_up(
        shop,
        {"type": "isin", "value": APPLE},
        {"type": "wkn", "value": "716460"},
        {"type": "isin", "value": ""},
        {"type": "isin", "value": " - "},
        {"type": "symbol", "value": "x" * 10_000},
        {"type": "symbol", "value": "AAPL", "mic": "NASDAQ", "currency": "ABC", "asset_class": "house"},
        {"type": "symbol", "value": "AAPL", "as_of": "yesterday"},
        {"type": "isin", "value": APPLE, "as_of": "2020-01-01"},
        {"type": "symbol", "value": "AAPL", "as_of": "2020-W01-1"},
        {"type": "id", "value": "272"},
        {"type": "isin", "value": f"{APPLE}\u0000"},
        {"type": "symbol", "value": "A\u0000B", "as_of": "2020-01-01"},
        {"type": "alias", "value": "Apf\u007fel"},
        {"type": "symbol", "value": "AAPL", "mic": "XN\u0000S"},
        {"type": "isin", "value": 7, "colour": "red"},
        "AAPL",
        None,
        {"type": "isin", "value": APPLE},
    )
    refused = [[error["field"] for error in result["error"]["errors"]] for result in results[1:-1]]
    assert refused == [
        ["identifiers[1].type"],
        ["identifiers[2].value"],
        ["identifiers[3].value"],
        ["identifiers[4].value"],
        ["identifiers[5].asset_class", "identifiers[5].mic", "identifiers[5].currency"],
        ["identifiers[6].as_of"],
        ["identifiers[7].as_of"],
        ["identifiers[8].as_of"],
        ["identifiers[9].value"],
        ["identifiers[10].value"],
        ["identifiers[11].value"],
        ["identifiers[12].value"],
        ["identifiers[13].mic"],
        ["identifiers[14].value", "identifiers[14].colour"],
        ["identifiers[15]"],
        ["identifiers[16]"],
    ]
    assert "isin, cusip, sedol" in results[1]["error"]["detail"]
    assert "at most 100 characters" in results[4]["error"]["detail"]
    assert results[0] == results[-1] and results[0]["total"] == 2


async def test_a_wrong_check_digit_is_told_and_looked_up_all_the_same(
    database: Connection, database_url: str
) -> None:
    await database.execute(
        "INSERT INTO instruments (symbol, name, asset_class, isin) VALUES ('ODD', 'Odd', 'equity', $1)",
        "US0378331006",
    )
    async with running_api(database_url, NOWHERE) as client:
        right, held, unknown, malformed = await look_up(
            client,
            {"type": "isin", "value": APPLE},
            {"type": "isin", "value": "US0378331006"},
            {"type": "figi", "value": "BBG000B9Y5X3"},
            {"type": "sedol", "value": "APPLE"},
        )
    assert "warning" not in right
    assert [match["symbol"] for match in held["matches"]] == ["ODD"]
    assert "check digit" in held["warning"] and "check digit" in unknown["warning"]
    assert (unknown["matches"], malformed["matches"]) == ([], [])
    assert "is no valid sedol" in malformed["warning"]


NO_BATCHES: list[tuple[object, str, str]] = [
    ({"identifiers": []}, "identifiers", "give 1 to 1000"),
    ({"identifiers": [{"type": "id", "value": "ins_1"}] * 1001}, "identifiers", "at most 1000"),
    ({}, "identifiers", "is required"),
    ({"identifiers": {"type": "isin"}}, "identifiers", "must be a list"),
    ({"identifiers": [], "limit": 1}, "limit", "is unknown"),
    ([], "body", "must be an object"),
]


async def test_what_is_no_batch_is_refused(database_url: str) -> None:
    async with running_api(database_url, NOWHERE) as client:
        for body, field, message in NO_BATCHES:
            async with client.post(LOOKUP, json=body) as response:
                errors = (await problem(response, 400))["errors"]
            assert any(error["field"] == field and message in error["message"] for error in errors), errors


async def test_a_thousand_at_once_and_the_same_again(shop: Client) -> None:
    results = await look_up(
        shop,
        *({"type": "isin", "value": APPLE} for _ in range(500)),
        *({"type": "symbol", "value": f"NONE{number}"} for number in range(499)),
        {"type": "symbol", "value": "TWIN"},
    )
    assert [result["total"] for result in results] == [2] * 500 + [0] * 499 + [2]


async def test_nothing_is_lost_among_many(
    shop: Client, import_instruments: Import, monkeypatch: pytest.MonkeyPatch, indexer: WaitLevel
) -> None:
    """One ISIN with 200 listings among others, where a search is asked for fewer than match."""
    monkeypatch.setattr(lookups, "AT_FIRST", 50)
    await import_instruments(
        [
            equity(
                f"M{number:03}",
                f"Many {number}",
                "XNAS",
                isin="US5949181045",
                attributes={"size_class": "mega"},
            )
            for number in range(200)
        ]
    )
    await indexer()
    asked = [{"type": "isin", "value": "US5949181045"}, {"type": "isin", "value": "DE0007236101"}]
    asked += [{"type": "symbol", "value": "M150"}, {"type": "isin", "value": "US5949181045", "mic": "XETR"}]
    many, siemens, one, none = await look_up(shop, *asked)
    assert (many["total"], len(many["matches"]), many["ambiguous"]) == (200, 25, False)
    assert (siemens["total"], one["total"], none["total"]) == (2, 1, 0)
    assert "partial" not in many


async def test_more_than_can_be_looked_at_is_said(
    api: Client, import_instruments: Import, monkeypatch: pytest.MonkeyPatch, indexer: WaitLevel
) -> None:
    monkeypatch.setattr(lookups, "AT_FIRST", 5)
    monkeypatch.setattr(lookups, "LOOKED_AT", 10)
    await import_instruments(
        [equity(f"M{number:03}", f"Many {number}", isin="US5949181045") for number in range(20)]
    )
    await indexer()
    await is_answered_by(api, "redis")
    asked = [{"type": "isin", "value": "US5949181045"}, {"type": "symbol", "value": "M007"}]
    many, one = await look_up(api, *asked)
    assert (many["total"], many["partial"]) == (10, True) and many["partial_reason"]
    assert (one["total"], "partial" in one) == (1, False)


async def test_a_batch_is_one_round_trip(
    api: Client, import_instruments: Import, indexer: WaitLevel, redis_client: Redis
) -> None:
    await import_instruments(ROWS)
    await indexer()
    await is_answered_by(api, "redis")

    async def searches() -> int:
        stats = await redis_client.info("commandstats")
        return int(stats.get("cmdstat_FT.SEARCH", {"calls": 0})["calls"])

    before = await searches()
    await look_up(api, *({"type": "isin", "value": f"US{number:09}0"} for number in range(1000)))
    assert await searches() - before == 10, "a hundred in each"


async def test_answers_say_where_they_come_from(shop: Client, request: pytest.FixtureRequest) -> None:
    source = request.node.callspec.params["shop"]
    async with shop.post(LOOKUP, json={"identifiers": [{"type": "isin", "value": APPLE}]}) as response:
        assert response.headers["X-Search-Source"] == source
        assert (response.headers["X-Index-Generation"] == "none") == (source == "postgres")
        assert response.headers["X-Index-Age"] and response.headers["Server-Timing"].startswith(source)


async def test_where_all_is_refused_no_server_is_named(shop: Client) -> None:
    async with shop.post(LOOKUP, json={"identifiers": [{"type": "isin", "value": ""}]}) as response:
        assert response.status == 200
        assert "X-Search-Source" not in response.headers and "Server-Timing" not in response.headers


async def test_a_large_batch_waits_for_its_turn_and_not_for_ever(
    database_url: str, redis_url: str, indexer: WaitLevel, monkeypatch: pytest.MonkeyPatch
) -> None:
    await indexer()
    monkeypatch.setattr(lookups, "LARGE_AT_ONCE", 0)
    monkeypatch.setattr(lookups, "TURN_S", 0.01)
    async with running_api(database_url, redis_url) as client, asyncio.timeout(10):
        await is_answered_by(client, "redis")
        large = [{"type": "isin", "value": APPLE}] * 101
        async with client.post(LOOKUP, json={"identifiers": large}) as response:
            assert "or send up to 100" in (await problem(response, 503))["detail"]
            assert response.headers["Retry-After"]
        assert len(await look_up(client, *large[:100])) == 100


async def test_who_had_a_symbol_on_a_day(
    shop: Client, import_instruments: Import, database: Connection
) -> None:
    await import_instruments(
        [
            equity("FB", "Meta Platforms", isin="US30303M1027", listed_on="2012-05-18"),
            equity("VIE.PA", "Renamed in Paris", "XPAR"),
            equity("PCLN", "Renamed twice"),
        ]
    )
    end = (
        "UPDATE instruments SET dated_aliases = jsonb_set(dated_aliases, '{0,valid_to}', to_jsonb($2::text)) "
    )
    for old, new, day in (("FB", "META", "2022-06-09"), ("VIE.PA", "VEOL.PA", "2010-01-01")):
        await database.execute("UPDATE instruments SET symbol = $2 WHERE symbol = $1", old, new)
        await database.execute(end + "WHERE symbol = $1", new, day)
    for old, new in (("PCLN", "BKNG"), ("BKNG", "PCLN")):
        await database.execute("UPDATE instruments SET symbol = $2 WHERE symbol = $1", old, new)

    async def holders(symbol: str, day: str, **more: str) -> list[str]:
        return await found(shop, "symbol", symbol, as_of=day, **more)

    assert await holders("fb", "2020-01-01") == ["META"]
    assert await holders("FB", "2022-06-08") == ["META"]
    assert await holders("FB", "2022-06-09") == []
    assert await holders("META", "2022-06-09") == ["META"]
    assert await holders("META", "2020-01-01") == []
    assert await found(shop, "symbol", "FB") == []
    assert await holders("VIE", "2009-12-31", mic="XPAR") == ["VEOL.PA"]
    assert await holders("VIE", "2009-12-31", mic="XNAS") == []
    assert await holders("VIE.PA", "2009-12-31", currency="USD") == []
    assert await holders("LATE", "2000-01-01") == ["LATE", "LATE"]
    assert await holders("LATE", "2001-01-01") == ["LATE"], "the other one was delisted that day"
    assert await holders("PCLN", "2999-01-01") == ["PCLN"], "it has it again"
    assert await holders("BKNG", "2999-01-01") == []
    results = await look_up(
        shop,
        {"type": "symbol", "value": "FB", "as_of": "2020-01-01"},
        {"type": "isin", "value": APPLE},
        {"type": "symbol", "value": "FB", "as_of": "2023-01-01"},
    )
    assert [result["total"] for result in results] == [1, 2, 0]

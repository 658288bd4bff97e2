"""Writes of instruments over HTTP: what they store, who wins, what is refused, and when it is found."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import orjson
import pytest

from app.auth.api_keys import key_hash
from app.domain.access import INSTRUMENTS_READ, INSTRUMENTS_WRITE
from app.store.api_keys import add_key
from app.store.locks import Lock, take
from app.store.postgres import Connection
from tests.integration.conftest import (
    Client,
    Import,
    WaitLevel,
    eventually,
    get_json,
    is_lock_awaited,
    running_api,
    running_indexer,
)
from tests.wire import wire_to

PATH = "/v1/instruments"
WRITER = {"X-API-Key": "writer"}
APPLE_ISIN = "US0378331005"
NEW: dict[str, Any] = {
    "symbol": "ACME",
    "name": "Acme Corporation",
    "asset_class": "equity",
    "mic": "XNYS",
    "currency": "USD",
}
FULL: dict[str, Any] = {
    **NEW,
    "status": "suspended",
    "mic": "xnys",
    "exchange": "NYSE",
    "currency": "usd",
    "country": "us",
    "sector": "Industrials",
    "industry": "Anvils",
    "identifiers": {"isin": "us-0378331005", "lei": None},
    "primary": True,
    "cfi": "esvufr",
    "aliases": ["Acme  Inc", "Acme Inc"],
    "listed_on": "1999-01-31",
    "delisted_on": "2999-12-31",
    "tick_size": "0.010",
    "lot_size": "100",
    "contract": {"underlying": "X", "strike": "1.50", "expiry": "2026-12-18", "option_type": "call"},
    "attributes": {"website": "acme.example"},
}
Answer: TypeAlias = tuple[int, Any, Any]


@pytest.fixture
async def key(database_url: str) -> None:
    for owner, scopes in (("writer", (INSTRUMENTS_READ, INSTRUMENTS_WRITE)), ("reader", (INSTRUMENTS_READ,))):
        await add_key(database_url, owner=owner, scopes=scopes, secret_sha256=key_hash(owner))


@pytest.fixture
async def api(database_url: str, redis_url: str, key: None) -> AsyncIterator[Client]:
    """The API without an indexer: what is read from Postgres is told apart from what is searched."""
    async with running_api(database_url, redis_url) as client:
        yield client


async def call(api: Client, method: str, path: str, **options: Any) -> Answer:
    """Status, headers and JSON of an answer."""
    headers = {**WRITER, **options.pop("headers", {})}
    async with api.request(method, path, headers=headers, **options) as response:
        return response.status, response.headers, await response.json(content_type=None)


async def create(api: Client, **changes: Any) -> str:
    """The path of a new instrument."""
    status, headers, instrument = await call(api, "POST", PATH, json={**NEW, **changes})
    assert status == 201, instrument
    return str(headers["Location"])


async def patch(api: Client, path: str, document: Any, match: str = "*") -> Answer:
    return await call(api, "PATCH", path, json=document, headers={"If-Match": match})


async def delist(api: Client, path: str, match: str = "*", **query: str) -> Answer:
    return await call(api, "DELETE", path, params=query, headers={"If-Match": match})


async def fresh(api: Client, path: str) -> Any:
    return (await call(api, "GET", path, headers={"Cache-Control": "no-cache"}))[2]


def fields(answer: Answer) -> list[str]:
    _, headers, problem = answer
    assert headers["Content-Type"] == "application/problem+json"
    return [error["field"] for error in problem.get("errors", [])]


# Creations.


async def test_a_creation_is_answered_from_the_committed_row(api: Client, database: Connection) -> None:
    status, headers, instrument = await call(
        api, "POST", PATH, json=FULL, headers={"X-Request-ID": "request-7"}
    )
    assert (status, headers["ETag"], headers["Location"]) == (201, '"1"', f"{PATH}/{instrument['id']}")
    shown = {name: value for name, value in instrument.items() if name not in ("id", "updated_at")}
    none = dict.fromkeys(("cusip", "sedol", "figi", "composite_figi", "share_class_figi", "lei"))
    assert shown == {
        **FULL,
        "mic": "XNYS",
        "currency": "USD",
        "country": "US",
        "identifiers": {"isin": APPLE_ISIN, **none},
        "cfi": "ESVUFR",
        "aliases": ["Acme Inc"],
        "version": 1,
    }
    assert await fresh(api, headers["Location"]) == instrument
    (entry,) = (await get_json(api, f"{headers['Location']}/history"))["history"]
    assert (entry["operation"], entry["actor"], entry["request_id"]) == ("created", "key:1", "request-7")
    edited = await database.fetchval("SELECT edited_fields FROM instruments")
    assert {"is_primary", "isin", "name", "attributes.website", "contract"} <= set(edited)
    assert "lei" not in edited


async def test_a_creation_fills_in_what_follows(api: Client) -> None:
    path = await create(api, mic=None, exchange="NASDAQ", primary=None, aliases=None, attributes=None)
    instrument = await fresh(api, path)
    assert (instrument["mic"], instrument["primary"], instrument["status"]) == (None, False, "active")
    assert (instrument["aliases"], instrument["attributes"]) == ([], {})
    without_mic = {name: value for name, value in NEW.items() if name != "mic"}
    *_, instrument = await call(api, "POST", PATH, json={**without_mic, "exchange": "NASDAQ"})
    assert instrument["mic"] == "XNAS"
    *_, instrument = await call(api, "POST", PATH, json={**NEW, "delisted_on": "2020-01-31"})
    assert instrument["status"] == "delisted"


async def test_a_retry_is_answered_as_before(api: Client, database: Connection) -> None:
    once = {"Idempotency-Key": "k1"}
    first = await call(api, "POST", PATH, json=NEW, headers=once)
    again = await call(api, "POST", PATH, json=NEW, headers=once)
    assert first[0] == again[0] == 201 and first[2] == again[2]
    assert first[1]["Location"] == again[1]["Location"] and first[1]["ETag"] == again[1]["ETag"]
    assert "Idempotent-Replayed" not in first[1] and again[1]["Idempotent-Replayed"] == "true"
    assert (await call(api, "POST", PATH, json={**NEW, "symbol": "B"}, headers=once))[0] == 422
    assert (await call(api, "POST", PATH, json=NEW))[0] == 409
    assert await database.fetchval("SELECT count(*) FROM instruments") == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"symbol": ""}, ["symbol"]),
        ({"symbol": 5}, ["symbol"]),
        ({"symbol": "x" * 33}, ["symbol"]),
        ({"symbol": None, "name": None, "asset_class": None}, ["symbol", "name", "asset_class"]),
        ({"name": "A\0B"}, ["name"]),
        ({"name": "x" * 301}, ["name"]),
        ({"asset_class": "house"}, ["asset_class"]),
        ({"status": "gone"}, ["status"]),
        ({"mic": "NASDAQ"}, ["mic"]),
        ({"mic": "XN\u00e4S"}, ["mic"]),
        ({"exchange": "x" * 33}, ["exchange"]),
        ({"currency": "QQQ", "country": "ZZ"}, ["currency", "country"]),
        ({"currency": "GBX", "country": "Germany"}, ["currency", "country"]),
        ({"identifiers": {"isin": "US0378331006", "sedol": "1", "wkn": "1"}}, ["isin", "sedol", "wkn"]),
        ({"identifiers": {"lei": "5493001KJTIIGC8Y1RB1"}}, ["lei"]),
        ({"identifiers": []}, ["identifiers"]),
        ({"primary": "yes"}, ["primary"]),
        ({"cfi": "QQQQQQ"}, ["cfi"]),
        ({"aliases": [f"x{n}" for n in range(51)]}, ["aliases"]),
        ({"aliases": ["x"] * 151}, ["aliases"]),
        ({"aliases": ["good", "", 5]}, ["aliases[1]", "aliases[2]"]),
        ({"listed_on": "31.1.2020", "delisted_on": 5}, ["listed_on", "delisted_on"]),
        ({"listed_on": "20260131", "delisted_on": "2026-W05-6"}, ["listed_on", "delisted_on"]),
        ({"listed_on": "2020-01-31", "delisted_on": "2020-01-30"}, ["delisted_on"]),
        ({"status": "active", "delisted_on": "2020-01-30"}, ["status"]),
        ({"status": "delisted", "delisted_on": "2999-01-30"}, ["delisted_on"]),
        ({"tick_size": 0.01, "lot_size": "0"}, ["tick_size", "lot_size"]),
        ({"tick_size": "1e99", "lot_size": "1" + "0" * 100}, ["tick_size", "lot_size"]),
        (
            {"contract": {"strike": 5, "multiplier": "-1", "expiry": "soon", "x": {}}},
            ["expiry", "strike", "multiplier", "x"],
        ),
        ({"attributes": {"a": 5, "b": {"c": [[]]}, "": "x", "d\0": "x"}}, ["a", "b", "", "d\0"]),
        ({"attributes": {f"a{n}": "x" for n in range(101)}}, ["attributes"]),
        ({"sectr": "x", "name": ""}, ["name", "sectr"]),
        (
            {"id": "ins_1", "version": 1, "updated_at": None, "mic": "X"},
            ["id", "version", "updated_at", "mic"],
        ),
    ],
)
async def test_a_refusal_names_every_bad_field(
    api: Client, database: Connection, changes: dict[str, Any], expected: list[str]
) -> None:
    answer = await call(api, "POST", PATH, json={**NEW, **changes})
    assert answer[0] == 400, answer
    assert len(fields(answer)) == len(expected)
    for field, part in zip(fields(answer), expected, strict=True):
        assert part in field
    assert await database.fetchval("SELECT count(*) FROM instruments") == 0


@pytest.mark.parametrize(
    "body",
    [
        b'{"symbol":"\\ud800"}',
        b'{"symbol":"\xed\xa0\x80"}',
        b'{"attributes":' + b'{"a":' * 40 + b"1" + b"}" * 41,
        b'{"contract":' + b"[" * 2000,
        b"[]",
        b"null",
        b"5",
    ],
)
async def test_what_is_no_instrument_at_all_is_refused(api: Client, body: bytes) -> None:
    for method, path in (("POST", PATH), ("PATCH", await create(api))):
        headers = {"Content-Type": "application/json", "If-Match": "*"}
        assert (await call(api, method, path, data=body, headers=headers))[0] == 400


async def test_sql_in_a_value_is_a_value(api: Client) -> None:
    evil = "'); DROP TABLE instruments; --"
    path = await create(api, symbol=evil, name=evil, attributes={evil: evil}, aliases=[evil])
    *_, instrument = await patch(api, path, {"sector": evil, "attributes": {evil: None, "x": evil}})
    assert (instrument["symbol"], instrument["sector"], instrument["attributes"]) == (evil, evil, {"x": evil})


async def test_a_symbol_is_unique_at_its_venue_among_the_living(api: Client) -> None:
    holder = await create(api)
    number = holder.rpartition("/")[2]
    for changes in ({}, {"mic": None, "exchange": "XNYS"}):
        answer = await call(api, "POST", PATH, json={**NEW, **changes})
        assert answer[0] == 409 and fields(answer) == ["symbol"] and number in answer[2]["detail"]
    other = await create(api, symbol="OTHER")
    answer = await patch(api, other, {"symbol": "ACME"})
    assert answer[0] == 409 and number in answer[2]["detail"]
    assert (await patch(api, other, {"symbol": "ACME", "mic": "XNAS"}))[0] == 200
    assert (await patch(api, other, {"mic": "XNYS"}))[0] == 409
    assert (await delist(api, holder))[0] == 200
    assert (await patch(api, other, {"mic": "XNYS"}))[0] == 200
    revival = await patch(api, holder, {"status": "active", "delisted_on": None})
    assert revival[0] == 409 and other.rpartition("/")[2] in revival[2]["detail"]


async def test_of_creations_at_one_time_one_has_the_symbol(api: Client) -> None:
    answers = await asyncio.gather(*(call(api, "POST", PATH, json=NEW) for _ in range(8)))
    assert sorted(status for status, *_ in answers) == [201] + [409] * 7
    (holder,) = (body["id"] for status, _, body in answers if status == 201)
    assert all(holder in body["detail"] for status, _, body in answers if status == 409)


async def test_of_renamings_at_one_time_one_has_the_symbol(api: Client) -> None:
    paths = [await create(api, symbol=f"S{n}") for n in range(6)]
    answers = await asyncio.gather(*(patch(api, path, {"symbol": "ONE"}) for path in paths))
    assert sorted(status for status, *_ in answers) == [200] + [409] * 5
    (holder,) = (body["id"] for status, _, body in answers if status == 200)
    assert all(holder in body["detail"] for status, _, body in answers if status == 409)


# Patches.


async def test_a_patch_merges(api: Client) -> None:
    path = await create(api, **{name: FULL[name] for name in ("identifiers", "contract", "attributes")})
    status, headers, instrument = await patch(
        api,
        path,
        {
            "name": "Acme SE",
            "currency": None,
            "identifiers": {"isin": None, "lei": "5493001KJTIIGC8Y1R12"},
            "contract": {"strike": None, "multiplier": "100"},
            "attributes": {"website": None, "family": "x"},
            "aliases": ["A"],
        },
        '"1"',
    )
    assert (status, headers["ETag"], instrument["version"]) == (200, '"2"', 2)
    assert (instrument["name"], instrument["currency"], instrument["symbol"]) == ("Acme SE", None, "ACME")
    assert instrument["identifiers"]["isin"] is None and instrument["identifiers"]["lei"]
    assert instrument["contract"] == {
        "underlying": "X",
        "expiry": "2026-12-18",
        "option_type": "call",
        "multiplier": "100",
    }
    assert (instrument["attributes"], instrument["aliases"]) == ({"family": "x"}, ["A"])
    *_, instrument = await patch(api, path, {"contract": None, "attributes": None, "identifiers": None})
    assert (instrument["contract"], instrument["attributes"]) == (None, {})
    assert set(instrument["identifiers"].values()) == {None}


async def test_a_patch_that_changes_nothing_is_no_change(api: Client) -> None:
    path = await create(api, **FULL)
    instrument = await fresh(api, path)
    same = {name: value for name, value in instrument.items() if name not in ("version", "updated_at")}
    for document in ({}, same, {"tick_size": "0.0100"}, {"attributes": {"unheard": None}}):
        status, headers, answered = await patch(api, path, document, '"1"')
        assert (status, headers["ETag"], answered) == (200, '"1"', instrument)


async def test_a_patch_looks_only_at_what_it_names(api: Client, database: Connection) -> None:
    await database.execute(
        "INSERT INTO instruments "
        "(symbol, name, asset_class, isin, contract, attributes, delisted_on, status) VALUES "
        "('A', E'soft\\u00adhyphen', 'equity', 'US0378331006', '{\"odd\": [1]}', '{\"b\": 2}', '2999-01-01', "
        "'delisted')"
    )
    *_, instrument = await patch(api, f"{PATH}/ins_1", {"sector": "Energy", "attributes": {"c": "d"}})
    assert (instrument["sector"], instrument["attributes"]) == ("Energy", {"b": 2, "c": "d"})
    assert instrument["contract"] == {"odd": [1]}


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"id": "ins_999"}, "id"),
        ({"id": None}, "id"),
        ({"version": 1}, "version"),
        ({"updated_at": None}, "updated_at"),
        ({"symbol": None}, "symbol"),
        ({"status": None}, "status"),
        ({"primary": None}, "primary"),
        ({"attributes": {f"a{n}": "x" for n in range(100)}}, "attributes"),
        ({"delisted_on": "1990-01-01"}, "delisted_on"),
        ({"unheard": "x"}, "unheard"),
    ],
)
async def test_a_patch_that_cannot_be_names_the_field(api: Client, document: Any, field: str) -> None:
    path = await create(api, attributes={"website": "x"}, listed_on="2000-01-01")
    answer = await patch(api, path, document)
    assert (answer[0], fields(answer)) == (400, [field])
    assert (await fresh(api, path))["version"] == 1


async def test_a_former_symbol_stays_an_alias_that_is_not_written_twice(
    api: Client, database: Connection
) -> None:
    path = await create(api, aliases=["Common"])
    *_, instrument = await patch(api, path, {"symbol": "NEW"})
    assert instrument["aliases"] == ["Common", "ACME"]
    *_, instrument = await patch(api, path, {"aliases": [*instrument["aliases"], "More"]})
    assert sorted(instrument["aliases"]) == ["ACME", "Common", "More"]
    assert await database.fetchval("SELECT aliases FROM instruments") == ["Common", "More"]


async def test_writes_need_the_version_that_was_read(api: Client) -> None:
    path = await create(api)
    for method in ("PATCH", "DELETE"):
        body = {"json": {"name": "N"}} if method == "PATCH" else {}
        assert (await call(api, method, path, **body))[0] == 428
        status, headers, _ = await call(api, method, path, headers={"If-Match": '"7"'}, **body)
        assert (status, headers["ETag"]) == (412, '"1"')
        answer = await call(api, method, path, headers={"If-Match": "1"}, **body)
        assert (answer[0], fields(answer)) == (400, ["If-Match"])
        assert (await call(api, method, f"{PATH}/ins_99", headers={"If-Match": "*"}, **body))[0] == 404
        assert (await call(api, method, f"{PATH}/x", headers={"If-Match": "*"}, **body))[0] == 404
    assert (await fresh(api, path))["version"] == 1


async def test_of_patches_of_one_version_one_wins(api: Client) -> None:
    path = await create(api)
    version = 1
    for turn in range(5):
        answers = await asyncio.gather(
            *(patch(api, path, {"name": f"{turn}-{n}"}, f'"{version}"') for n in range(8))
        )
        assert sorted(status for status, *_ in answers) == [200] + [412] * 7
        version += 1
        (won,) = (body["name"] for status, _, body in answers if status == 200)
        assert (await fresh(api, path))["name"] == won
        assert {headers["ETag"] for status, headers, _ in answers if status == 412} == {f'"{version}"'}
    history = (await get_json(api, f"{path}/history"))["history"]
    assert [entry["version"] for entry in history] == [6, 5, 4, 3, 2, 1]


async def test_other_paths_take_no_writes(api: Client) -> None:
    for method in ("PATCH", "DELETE"):
        status, headers, _ = await call(api, method, f"{PATH}/suggest", headers={"If-Match": "*"})
        assert (status, headers["Allow"]) == (405, "GET,HEAD")


async def test_readers_may_not_write(api: Client) -> None:
    path = await create(api)
    for headers, status in (({"X-API-Key": "reader"}, 403), ({"X-API-Key": ""}, 401)):
        for method, where in (
            ("POST", PATH),
            ("PATCH", path),
            ("DELETE", path),
            ("POST", f"{PATH}/bulk"),
        ):
            assert (await call(api, method, where, headers=headers))[0] == status


# Primary listings.


async def test_one_listing_of_an_issue_is_primary(api: Client) -> None:
    isin = {"identifiers": {"isin": APPLE_ISIN}}
    first = await create(api, **isin, primary=True)
    second = await create(api, symbol="B", primary=True, **isin)
    other = await create(api, symbol="C", primary=True)
    assert [(await fresh(api, path))["primary"] for path in (first, second, other)] == [False, True, True]
    assert (await patch(api, first, {"primary": True}))[0] == 200
    assert [(await fresh(api, path))["primary"] for path in (first, second, other)] == [True, False, True]
    assert (await patch(api, other, isin))[0] == 200
    assert [(await fresh(api, path))["primary"] for path in (first, second, other)] == [False, False, True]


async def test_of_listings_made_primary_at_one_time_one_stays(api: Client) -> None:
    isin = {"identifiers": {"isin": APPLE_ISIN}}
    paths = [await create(api, symbol=f"S{n}", **isin) for n in range(6)]
    answers = await asyncio.gather(*(patch(api, path, {"primary": True}) for path in paths))
    assert {status for status, *_ in answers} == {200}
    assert sum([(await fresh(api, path))["primary"] for path in paths]) == 1


@pytest.mark.parametrize("in_bulk", [False, True])
@pytest.mark.parametrize("change", [{"identifiers": {"isin": APPLE_ISIN}}, {"primary": True}])
async def test_who_makes_a_listing_primary_holds_no_row_that_another_demotes(
    api: Client, database: Connection, change: dict[str, Any], in_bulk: bool
) -> None:
    """Otherwise the two would wait in a circle."""
    number = (await create(api, primary="primary" not in change)).rpartition("/")[2]
    async with database.transaction():
        await take(database, Lock.PRIMARIES)
        if in_bulk:
            line, headers = orjson.dumps({"id": number, **change}), {"Content-Type": "application/x-ndjson"}
            request = call(api, "POST", f"{PATH}/bulk", data=line, headers=headers)
        else:
            request = patch(api, f"{PATH}/{number}", change)
        writing = asyncio.create_task(request)
        await eventually(lambda: is_lock_awaited(database))
        await database.execute("UPDATE instruments SET is_primary = false")
    assert (await writing)[0] == 200
    assert (await fresh(api, f"{PATH}/{number}"))["version"] > 1


async def test_what_concerns_no_issue_waits_for_no_primaries(
    api: Client, database: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.store.writing.LOCK_TIMEOUT", "50ms")
    path = await create(api, primary=True)
    instrument = await fresh(api, path)
    same = {name: value for name, value in instrument.items() if name not in ("version", "updated_at")}
    async with database.transaction():
        await take(database, Lock.PRIMARIES)
        assert (await patch(api, path, {**same, "name": "N"}))[0] == 200
        assert (await patch(api, path, {"identifiers": {"isin": APPLE_ISIN}}))[0] == 503


async def test_an_import_heeds_who_was_made_primary_by_hand(api: Client, import_instruments: Import) -> None:
    rows = [
        {"symbol": symbol, "name": "N", "asset_class": "equity", "mic": mic, "isin": APPLE_ISIN}
        for symbol, mic in (("A", "XNAS"), ("B", "XFRA"), ("C", "XETR"))
    ]
    await import_instruments(rows)
    paths = [f"{PATH}/ins_{n}" for n in (1, 2, 3)]
    assert [(await fresh(api, path))["primary"] for path in paths] == [True, False, False]
    await patch(api, paths[1], {"primary": True})
    await import_instruments(rows)
    assert [(await fresh(api, path))["primary"] for path in paths] == [False, True, False]
    await patch(api, paths[1], {"primary": False})
    await import_instruments(rows)
    assert [(await fresh(api, path))["primary"] for path in paths] == [True, False, False]


# Imports.


async def test_an_import_leaves_alone_what_was_written(api: Client, import_instruments: Import) -> None:
    row = {"symbol": "A", "name": "Source", "asset_class": "equity", "mic": "XNAS", "sector": "S"}
    attributes = {"website": "source.example", "family": "one"}
    await import_instruments([{**row, "attributes": attributes}])
    await patch(
        api, f"{PATH}/ins_1", {"name": "Hand", "sector": None, "attributes": {"website": None, "own": "x"}}
    )
    await import_instruments([{**row, "attributes": {**attributes, "family": "two"}, "industry": "I"}])
    instrument = await fresh(api, f"{PATH}/ins_1")
    assert (instrument["name"], instrument["sector"], instrument["industry"]) == ("Hand", None, "I")
    assert instrument["attributes"] == {"family": "two", "own": "x"}
    await import_instruments([{**row, "attributes": attributes}], overwrite=True)
    instrument = await fresh(api, f"{PATH}/ins_1")
    assert (instrument["name"], instrument["sector"]) == ("Source", "S")
    assert instrument["attributes"] == {**attributes, "own": "x"}


async def test_what_is_written_while_an_import_runs_stays(
    api: Client, database_url: str, database: Connection, import_instruments: Import
) -> None:
    """The import waits for a row, after it has merged, and another row is written meanwhile."""
    rows = [{"symbol": symbol, "name": "Old", "asset_class": "equity", "mic": "XNAS"} for symbol in "AB"]
    await import_instruments(rows)
    async with database.transaction():
        await database.execute("UPDATE instruments SET sector = 'held' WHERE symbol = 'A'")
        importing = asyncio.ensure_future(import_instruments([{**row, "name": "New"} for row in rows]))
        await eventually(lambda: somebody_waits(database))
        assert (await patch(api, f"{PATH}/ins_2", {"industry": "Hand"}))[0] == 200
    report = await importing
    assert (report.changed, report.rejected) == (0, 2)
    records = await database.fetch("SELECT name, sector, industry FROM instruments ORDER BY id")
    assert [tuple(record) for record in records] == [("Old", "held", None), ("Old", None, "Hand")]
    assert (await import_instruments([{**row, "name": "New"} for row in rows])).changed == 2


async def somebody_waits(database: Connection) -> bool:
    await database.execute("SELECT pg_stat_clear_snapshot()")
    return bool(
        await database.fetchval(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() "
            "AND wait_event_type = 'Lock')"
        )
    )


# Delistings.


async def test_a_delisting_keeps_the_instrument(api: Client) -> None:
    path = await create(api)
    status, headers, instrument = await delist(api, path, '"1"')
    today = datetime.now(UTC).date().isoformat()
    assert (status, headers["ETag"]) == (200, '"2"')
    assert (instrument["status"], instrument["delisted_on"]) == ("delisted", today)
    assert await fresh(api, path) == instrument
    assert (await delist(api, path, '"2"'))[1]["ETag"] == '"2"', "again: no change"
    assert (await delist(api, path, '"2"', effective_at=today))[0] == 200
    assert (await delist(api, path, '"2"', effective_at="2020-01-01"))[0] == 409
    history = (await get_json(api, f"{path}/history"))["history"]
    assert [(entry["operation"], entry["actor"]) for entry in history] == [
        ("updated", "key:1"),
        ("created", "key:1"),
    ]
    *_, instrument = await patch(api, path, {"status": "active", "delisted_on": None})
    assert (instrument["status"], instrument["delisted_on"]) == ("active", None)


@pytest.mark.parametrize(
    ("effective_at", "status", "delisted_on", "due_at"),
    [
        ("2020-01-31", "delisted", "2020-01-31", None),
        ("2020-01-31T23:30:00-01:00", "delisted", "2020-02-01", None),
        ("2999-01-31", "active", "2999-01-31", "2999-01-31T00:00:00+00:00"),
        ("2999-01-31T23:30:00.5-01:00", "active", "2999-02-01", "2999-02-01T00:30:00.500000+00:00"),
        ("2999-01-31t00:30:00z", "active", "2999-01-31", "2999-01-31T00:30:00+00:00"),
    ],
)
async def test_a_delisting_takes_effect_when_it_says(
    api: Client, database: Connection, effective_at: str, status: str, delisted_on: str, due_at: str | None
) -> None:
    path = await create(api)
    *_, instrument = await delist(api, path, effective_at=effective_at)
    assert (instrument["status"], instrument["delisted_on"]) == (status, delisted_on)
    due = await database.fetchval("SELECT due_at FROM instruments")
    assert (due and due.isoformat()) == due_at


@pytest.mark.parametrize(
    "effective_at",
    [
        "",
        "soon",
        "2999-02-30",
        "2999-01-01T00:00:00",
        "2999-01-01 00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "1990-01-01",
    ],
)
async def test_a_delisting_at_no_such_time_is_refused(api: Client, effective_at: str) -> None:
    path = await create(api, listed_on="2000-01-01")
    answer = await delist(api, path, effective_at=effective_at)
    assert (answer[0], fields(answer)) == (400, ["effective_at"])
    assert (await fresh(api, path))["version"] == 1


async def test_a_delisting_that_lies_ahead_can_be_moved_and_called_off(
    api: Client, database: Connection
) -> None:
    path = await create(api)
    await delist(api, path, effective_at="2999-01-31T12:00:00Z")
    await delist(api, path, effective_at="2999-01-31")
    assert await database.fetchval("SELECT delist_at FROM instruments") is None
    await delist(api, path, effective_at="2999-01-31T12:00:00Z")
    await patch(api, path, {"delisted_on": "2999-02-01"})
    assert await database.fetchval("SELECT delist_at FROM instruments") is None
    *_, instrument = await patch(api, path, {"delisted_on": None})
    assert instrument["delisted_on"] is None
    assert await database.fetchval("SELECT due_at FROM instruments") is None


async def test_an_import_does_not_call_a_delisting_off(
    api: Client, import_instruments: Import, database: Connection
) -> None:
    row = {"symbol": "A", "name": "N", "asset_class": "equity", "mic": "XNAS"}
    rows = [row, {**row, "symbol": "B"}, {**row, "symbol": "C", "delisted_on": "2999-01-01"}]
    await import_instruments(rows)
    await delist(api, f"{PATH}/ins_1", effective_at="2999-01-31T12:00:00Z")
    await patch(api, f"{PATH}/ins_2", {"delisted_on": "2999-01-31"})
    before = await database.fetch("SELECT * FROM instruments ORDER BY id")
    await import_instruments([{**each, "status": "active"} for each in rows])
    assert await database.fetch("SELECT * FROM instruments ORDER BY id") == before
    await database.execute("UPDATE instruments SET delisted_on = '2020-01-01'")
    rows[2] = {**rows[2], "delisted_on": "2020-01-01"}
    await import_instruments(rows)
    states = await database.fetch("SELECT status FROM instruments ORDER BY id")
    assert [record["status"] for record in states] == ["delisted"] * 3


# Searches.


async def hits(api: Client, q: str, **query: str) -> list[str]:
    return [hit["id"] for hit in (await get_json(api, f"{PATH}/search", q=q, **query))["hits"]]


async def test_what_is_written_is_searched_for(
    database_url: str, redis_url: str, indexer: WaitLevel, key: None
) -> None:
    await indexer()  # until then Postgres is searched
    async with running_api(database_url, redis_url) as api:
        start = (await get_json(api, f"{PATH}/changes"))["next"]
        path = await create(api)
        number = path.rpartition("/")[2]
        await eventually(lambda: found(api, "acme corporation", [number]))
        assert (await patch(api, path, {"name": "Zenith"}))[0] == 200
        await eventually(lambda: found(api, "zenith", [number]))
        assert await hits(api, "corporation") == []
        assert (await delist(api, path))[0] == 200
        await eventually(lambda: found(api, "zenith", []))
        assert await hits(api, "zenith", status="delisted") == [number]
        (change,) = (await get_json(api, f"{PATH}/changes", since=start))["changes"]
        assert (change["id"], change["instrument"]["version"]) == (number, 3)
        assert change["instrument"]["status"] == "delisted"


async def found(api: Client, q: str, expected: list[str]) -> bool:
    return await hits(api, q) == expected


async def is_indexed(api: Client, path: str) -> bool:
    return bool((await call(api, "GET", path))[1]["X-Search-Source"] == "redis")


async def test_a_stale_reading_does_not_loop(
    database_url: str, redis_url: str, redis_client: Any, key: None
) -> None:
    async with running_api(database_url, redis_url) as api:
        path = await create(api)
        async with running_indexer(database_url, redis_client):
            await eventually(lambda: is_indexed(api, path))
        *_, headers, _ = await patch(api, path, {"name": "Two"}, '"1"')
        status, headers, _ = await patch(api, path, {"name": "Three"}, headers["ETag"])
        assert status == 200, "right after a patch, with the ETag that it answered"
        _, stale, instrument = await call(api, "GET", path)
        assert (stale["ETag"], instrument["name"]) == ('"1"', "Acme Corporation"), "nobody indexes now"
        status, refused, _ = await patch(api, path, {"sector": "S"}, stale["ETag"])
        assert (status, refused["ETag"]) == (412, headers["ETag"])
        _, fresh_headers, instrument = await call(api, "GET", path, headers={"Cache-Control": "no-cache"})
        assert (fresh_headers["ETag"], instrument["name"]) == (headers["ETag"], "Three")
        status, _, instrument = await patch(api, path, {"sector": "S"}, fresh_headers["ETag"])
        assert (status, instrument["sector"], instrument["name"]) == (200, "S", "Three")


async def test_a_delisting_that_lies_ahead_takes_effect_by_itself(
    database_url: str, redis_url: str, indexer: WaitLevel, key: None
) -> None:
    await indexer()
    async with running_api(database_url, redis_url) as api:
        path, other = await create(api), await create(api, symbol="STAYS")
        number = path.rpartition("/")[2]
        at = datetime.now(UTC) + timedelta(seconds=3)
        *_, instrument = await delist(api, path, effective_at=at.isoformat())
        assert instrument["status"] == "active"
        await delist(api, other, effective_at="2999-01-01")
        await eventually(lambda: found(api, "acme", [number, other.rpartition("/")[2]]))
        await eventually(lambda: found(api, "acme", [other.rpartition("/")[2]]))
        assert datetime.now(UTC) >= at, "and not before"
        history = (await get_json(api, f"{path}/history"))["history"]
        assert (history[0]["actor"], history[0]["request_id"]) == ("schedule", None)
        assert history[0]["changes"]["status"] == {"from": "active", "to": "delisted"}
        assert await hits(api, "acme", status="delisted") == [number]


# Faults.


async def test_without_postgres_nothing_is_half_done(
    database_url: str, redis_url: str, key: None, database: Connection
) -> None:
    async with wire_to(database_url) as wire, running_api(wire.url, redis_url) as api:
        path = await create(api)
        await wire.cut()
        for answer in (
            await call(api, "POST", PATH, json={**NEW, "symbol": "B"}),
            await patch(api, path, {"name": "N"}),
            await delist(api, path),
            await call(
                api,
                "POST",
                f"{PATH}/bulk",
                data=b'{"symbol":"B","name":"B","asset_class":"etf"}',
                headers={"Content-Type": "application/x-ndjson"},
            ),
        ):
            assert (answer[0], "Retry-After" in answer[1]) == (503, True)
        wire.mend()
        assert await database.fetchval("SELECT count(*) FROM instrument_history") == 1
        assert (await patch(api, path, {"name": "N"}, '"1"'))[0] == 200


async def test_a_row_that_is_held_for_long_is_a_503(
    api: Client, database: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.store.writing.LOCK_TIMEOUT", "50ms")
    path = await create(api)
    async with database.transaction():
        await database.execute("UPDATE instruments SET name = 'held'")
        status, headers, _ = await patch(api, path, {"name": "N"})
        assert (status, "Retry-After" in headers) == (503, True)

"""Bulk writes: all or nothing, or line by line; bounded in everything; measured elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryFile
from typing import IO, Any

import orjson
import pytest

from app.store import bulk_writes
from app.store.locks import Lock, take
from app.store.postgres import Connection
from app.web.at_once import MAX_BULK_WRITES
from tests.integration.conftest import Client, Import, eventually, running_api
from tests.integration.test_instrument_writes import PATH, WRITER, Answer, call, create, fresh, key

__all__ = ["key"]

BULK = f"{PATH}/bulk"
NDJSON = {"Content-Type": "application/x-ndjson"}
COUNTS = ("created", "updated", "delisted", "unchanged", "rejected")


@pytest.fixture
async def api(database_url: str, redis_url: str, key: None) -> AsyncIterator[Client]:
    async with running_api(database_url, redis_url, max_bulk_bytes=200_000) as client:
        yield client


def new(symbol: str, **fields: Any) -> dict[str, Any]:
    return {"symbol": symbol, "name": f"Name of {symbol}", "asset_class": "equity", "mic": "XNYS", **fields}


def body_of(*lines: Any) -> bytes:
    return b"\n".join(line if isinstance(line, bytes) else orjson.dumps(line) for line in lines)


async def send(api: Client, *lines: Any, query: str = "", headers: dict[str, str] | None = None) -> Answer:
    headers = {**NDJSON, **(headers or {})}
    return await call(api, "POST", BULK + query, data=body_of(*lines), headers=headers)


def counts(answer: Answer) -> tuple[int, ...]:
    assert answer[0] == 200, answer
    return tuple(answer[2][name] for name in COUNTS)


def problems(answer: Answer) -> list[tuple[int, str]]:
    return [(error["line"], error["field"]) for error in answer[2]["errors"]]


async def symbols(database: Connection) -> list[tuple[str, str]]:
    records = await database.fetch("SELECT symbol, status FROM instruments ORDER BY id")
    return [(record["symbol"], record["status"]) for record in records]


async def test_lines_create_update_and_delist(api: Client, database: Connection) -> None:
    a, b, c = [(await create(api, symbol=symbol)).rpartition("/")[2] for symbol in "ABC"]
    answer = await send(
        api,
        {"op": "create", **new("D", identifiers={"isin": "US0378331005"}, tick_size="0.01")},
        new("E"),
        b"  ",
        {"op": "update", "id": a, "version": 1, "name": "Changed", "attributes": {"x": "y"}},
        {"id": b, "name": "Acme Corporation"},
        {"op": "delist", "id": c},
        {"op": "delist", "id": b, "version": 1, "effective_at": "2999-01-01T12:00:00Z"},
        headers={"X-Request-ID": "bulk-1"},
    )
    assert counts(answer) == (2, 1, 2, 1, 0) and answer[2]["errors"] == []
    assert await symbols(database) == [
        ("A", "active"),
        ("B", "active"),
        ("C", "delisted"),
        ("D", "active"),
        ("E", "active"),
    ]
    assert (await fresh(api, f"{PATH}/{a}"))["name"] == "Changed"
    assert (await fresh(api, f"{PATH}/{b}"))["delisted_on"] == "2999-01-01"
    by = await database.fetch("SELECT DISTINCT actor, request_id FROM instrument_history WHERE version = 2")
    assert [tuple(record) for record in by] == [("key:1", "bulk-1")]
    assert await database.fetchval("SELECT edited_fields FROM instruments WHERE symbol = 'A'") == sorted(
        ["asset_class", "attributes.x", "currency", "mic", "name", "symbol"]
    )


BAD = (
    (b"{", "line"),
    (b"[]", "body"),
    ({"op": "erase"}, "op"),
    ({"op": "create", "symbol": "X"}, "name"),
    (new("X", id="ins_1", op="create"), "id"),
    (new("X", version=1), "version"),
    (new("X", mic="NASDAQ"), "mic"),
    (new("X", unheard=1), "unheard"),
    (new("A"), "symbol"),
    ({"op": "update", "name": "N"}, "id"),
    ({"op": "update", "id": "x"}, "id"),
    ({"id": "ins_999", "name": "N"}, "id"),
    ({"id": "ins_1", "name": None}, "name"),
    ({"id": "ins_1", "version": 7}, "version"),
    ({"id": "ins_1", "version": 2**31}, "version"),
    ({"id": "ins_1", "effective_at": "2999-01-01"}, "effective_at"),
    ({"op": "delist", "id": "ins_1", "name": "N"}, "name"),
    ({"op": "delist", "id": "ins_1", "effective_at": "soon"}, "effective_at"),
    ({"op": "delist", "id": "ins_2", "effective_at": "2010-01-01"}, "id"),
    ({"id": "ins_1", "symbol": "HELD"}, "symbol"),
    (b'{"name":"\\ud800"}', "line"),
    (b'{"a":' + b"[" * 2000, "line"),
    (b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", "line"),
    ({f"a{n}": 1 for n in range(1001)}, "line"),
)


@pytest.mark.parametrize(("line", "field"), BAD)
async def test_a_bad_line_is_named_and_nothing_applied(
    api: Client, database: Connection, line: Any, field: str
) -> None:
    await create(api, symbol="A")
    await create(api, symbol="OLD", status="delisted", delisted_on="2020-01-01")
    await create(api, symbol="HELD")
    before = await database.fetch("SELECT * FROM instruments ORDER BY id")
    good = [new("B"), {"id": "ins_3", "sector": "S"}, b""]
    answer = await send(api, *good, line, new("C"))
    assert answer[0] == 400 and "line 4" in answer[2]["detail"]
    assert problems(answer)[0] == (4, field)
    assert await database.fetch("SELECT * FROM instruments ORDER BY id") == before
    answer = await send(api, *good, line, new("C"), query="?atomic=false")
    assert counts(answer) == (2, 1, 0, 0, 1)
    assert problems(answer)[0] == (4, field)
    assert [symbol for symbol, _ in await symbols(database)] == ["A", "OLD", "HELD", "B", "C"]


async def test_lines_take_effect_in_their_order(api: Client, database: Connection) -> None:
    """Each needs what the one before it did."""
    a, b = [(await create(api, symbol=symbol)).rpartition("/")[2] for symbol in "AB"]
    answer = await send(
        api,
        {"id": a, "symbol": "C"},
        {"id": b, "symbol": "A"},
        new("B"),
        {"op": "delist", "id": a},
        new("C"),
        {"id": a, "status": "active", "delisted_on": None, "symbol": "D"},
        {"id": a, "symbol": "E"},
        new("D"),
    )
    assert counts(answer) == (3, 4, 1, 0, 0)
    found = [
        tuple(record) for record in await database.fetch("SELECT id, symbol FROM instruments ORDER BY id")
    ]
    assert [symbol for _, symbol in found] == ["E", "A", "B", "C", "D"]
    answer = await send(api, {"id": b, "symbol": "E"}, {"id": a, "symbol": "F"})
    assert problems(answer) == [(1, "symbol")]


async def test_a_symbol_twice_in_one_body_is_refused(api: Client, database: Connection) -> None:
    answer = await send(api, new("A"), new("B"), new("A"))
    assert problems(answer) == [(3, "symbol")] and "ins_" in answer[2]["errors"][0]["message"]
    assert await symbols(database) == []
    assert counts(await send(api, new("A"), new("B"), new("A"), query="?atomic=false")) == (2, 0, 0, 0, 1)


async def test_the_last_of_several_primaries_stays(api: Client, database: Connection) -> None:
    isin = {"identifiers": {"isin": "US0378331005"}, "primary": True}
    await create(api, symbol="A", **isin)
    assert counts(await send(api, new("B", **isin), new("C", **isin))) == (2, 0, 0, 0, 0)
    primaries = await database.fetch("SELECT symbol FROM instruments WHERE is_primary")
    assert [record["symbol"] for record in primaries] == ["C"]


async def test_a_hundred_problems_are_told(api: Client) -> None:
    answer = await send(api, *(new(f"S{n}", mic="x") for n in range(150)))
    assert [line for line, _ in problems(answer)] == list(range(1, 101))
    answer = await send(api, *(new(f"S{n}", mic="x") for n in range(150)), query="?atomic=false")
    assert answer[2]["rejected"] == 150 and len(problems(answer)) == 100


async def test_a_retry_is_answered_as_before(api: Client, database: Connection) -> None:
    once = {"Idempotency-Key": "k"}
    first = await send(api, new("A"), headers=once)
    again = await send(api, new("A"), headers=once)
    assert first[2] == again[2] and again[1]["Idempotent-Replayed"] == "true"
    assert (await send(api, new("A"), query="?atomic=true", headers=once))[1]["Idempotent-Replayed"] == "true"
    assert (await send(api, new("A"), query="?atomic=false", headers=once))[0] == 422
    assert (await send(api, new("B"), headers=once))[0] == 422
    assert len(await symbols(database)) == 1


async def test_a_body_is_bounded(api: Client, database: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = await send(api, new("A"), new("B", name="x" * 70_000))
    assert answer[0] == 400 and problems(answer) == [(2, "line")]
    assert (await send(api, b" " * 200_001))[0] == 413
    chunks = (b"\n" * 100_000 for _ in range(3))
    assert (await call(api, "POST", BULK, data=_stream(chunks), headers=NDJSON))[0] == 413
    monkeypatch.setattr("app.store.bulk_writes.MAX_LINES", 2)
    answer = await send(api, new("A"), b"", new("B"), new("C"))
    assert answer[0] == 400 and problems(answer) == [(4, "line")]
    for empty in (b"\n \n", b""):
        answer = await send(api, empty)
        assert (answer[0], answer[2]["errors"][0]["field"]) == (400, "body")
    assert (await call(api, "POST", BULK, json=new("A")))[0] == 415
    answer = await send(api, new("A"), query="?atomic=maybe")
    assert (answer[0], answer[2]["errors"][0]["field"]) == (400, "atomic")
    assert await symbols(database) == []


def full_file(buffering: int) -> IO[bytes]:
    return Path("/dev/full").open("r+b", buffering)


@pytest.mark.parametrize("buffering", [0, -1])
async def test_a_full_disk_is_a_503(api: Client, monkeypatch: pytest.MonkeyPatch, buffering: int) -> None:
    monkeypatch.setattr("app.web.bulk_writes.TemporaryFile", lambda: full_file(buffering))
    status, headers, _ = await send(api, new("A"))
    assert (status, "Retry-After" in headers) == (503, True)


async def test_without_a_temporary_folder_it_is_a_503(
    api: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    status, headers, problem = await send(api, new("A"))
    assert (status, "Retry-After" in headers) == (503, True) and "no room" in problem["detail"]


async def test_bodies_are_few_at_a_time(api: Client) -> None:
    begun, end = [asyncio.Event() for _ in range(MAX_BULK_WRITES)], asyncio.Event()

    async def slow_body(begins: asyncio.Event) -> AsyncIterator[bytes]:
        yield body_of(new("A"))
        begins.set()
        await end.wait()

    async def write_slowly(begins: asyncio.Event) -> int:
        """Until it is let in: one that only looks whether there is room may have taken its place."""
        while True:
            status, *_ = await call(api, "POST", BULK, data=slow_body(begins), headers=NDJSON)
            if status != 503:
                return status

    coming = [asyncio.create_task(write_slowly(event)) for event in begun]
    await asyncio.gather(*(event.wait() for event in begun))

    async def is_refused() -> bool:
        status, headers, _ = await send(api, b"{")
        return (status, headers.get("Retry-After")) == (503, "30")

    await eventually(is_refused)
    end.set()
    await asyncio.gather(*coming)
    assert (await send(api, new("B")))[0] == 200


async def _stream(chunks: Any) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_who_leaves_in_the_middle_leaves_nothing(
    api: Client, database: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: list[Any] = []

    def kept() -> Any:
        files.append(TemporaryFile())  # noqa: SIM115 - the handler closes it
        return files[-1]

    async def has_come() -> bool:
        return bool(files) and files[0].tell() == len(lines)

    async def is_over() -> bool:
        return bool(files[0].closed)

    monkeypatch.setattr("app.web.bulk_writes.TemporaryFile", kept)
    base = api._base_url
    assert base is not None and base.host and base.port
    _, writer = await asyncio.open_connection(base.host, base.port)
    head = f"POST {BULK} HTTP/1.1\r\nHost: x\r\nX-API-Key: writer\r\nContent-Type: application/x-ndjson\r\n"
    lines = body_of(*(new(f"S{n}") for n in range(100)))
    writer.write(f"{head}Content-Length: {len(lines) + 1000}\r\n\r\n".encode() + lines)
    await eventually(has_come)
    writer.close()
    await eventually(is_over)
    assert await symbols(database) == []
    assert counts(await send(api, new("A"))) == (1, 0, 0, 0, 0)
    assert await symbols(database) == [("A", "active")]


async def test_one_bulk_write_or_import_goes_on_at_a_time(
    api: Client, database: Connection, import_instruments: Import
) -> None:
    async with database.transaction():
        await take(database, Lock.IMPORTS)
        status, headers, _ = await send(api, new("A"))
        assert (status, headers["Retry-After"]) == (503, "5")
    assert counts(await send(api, new("A", primary=True))) == (1, 0, 0, 0, 0)
    report = await import_instruments([{**new("A"), "name": "Other"}])
    assert report.unchanged == 1


def any_text(random: Random, most: int) -> str:
    """Of letters mostly; and of controls, combining characters, bidirectional marks, and pictures."""
    rare = ((0, 31), (0x80, 0x17F), (0x300, 0x36F), (0x2000, 0x206F), (0x1F300, 0x1F6FF))
    picked = (random.choice(rare) if random.random() < 0.05 else (32, 126) for _ in range(most))
    return "".join(chr(random.randint(*each)) for each in picked)


def any_line(random: Random) -> dict[str, Any]:
    """A creation or a patch of which each field is right, about right, or anything."""

    def text() -> Any:
        return random.choice(
            (any_text(random, 6), any_text(random, 6), "", None, 5, "USD", "US", "XNYS", "ESVUFR")
        )

    def size() -> Any:
        return random.choice(("1e-18", "9" * 19, "0.1", "\u0661", "1_0", "-1", "0", "NaN", "", 1, None))

    def day() -> Any:
        return random.choice(("0001-01-01", "9999-12-31", "2020-02-29", "0000-01-01", "", None, {}))

    makers: dict[str, Callable[[], Any]] = {
        **dict.fromkeys(
            ("name", "mic", "exchange", "currency", "country", "sector", "industry", "cfi"), text
        ),
        **dict.fromkeys(("tick_size", "lot_size"), size),
        **dict.fromkeys(("listed_on", "delisted_on"), day),
        "status": lambda: random.choice(("active", "suspended", "delisted", "", 1)),
        "aliases": lambda: [text(), text()],
        "attributes": lambda: {any_text(random, 3): text()},
        "contract": lambda: random.choice(
            ({"strike": "-1e3", "expiry": "2026-01-01"}, {"x": 1}, {}, None, [])
        ),
        "identifiers": lambda: {random.choice(("isin", "lei", "figi", "cusip")): any_text(random, 12)},
    }
    fields = {name: make() for name, make in makers.items() if random.random() < 0.15}
    if random.random() < 0.3:
        return {"id": f"ins_{random.randint(1, 9)}", **fields}
    return {"symbol": any_text(random, 6), "name": any_text(random, 9), "asset_class": "bond", **fields}


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_a_line_holds_the_others_are_applied(api: Client, seed: int) -> None:
    """What the rules let through, the database takes."""
    random = Random(seed)  # noqa: S311 - test data
    await create(api)
    for _ in range(4):
        lines = [any_line(random) for _ in range(250)]
        answer = await send(api, *lines, {"id": "ins_1", "name": "N"}, query="?atomic=false")
        assert sum(counts(answer)) == len(lines) + 1
        assert all(answer[2][name] > 0 for name in ("created", "updated", "rejected"))


async def test_more_lines_than_a_batch(api: Client, database: Connection) -> None:
    lines = [{"symbol": f"S{n}", "name": "N", "asset_class": "etf"} for n in range(1001)]
    assert counts(await send(api, *lines)) == (1001, 0, 0, 0, 0)
    edits = [{"id": f"ins_{n}", "name": "M"} for n in range(1, 1002)]
    answer = await send(api, *edits, {"id": "ins_5000"})
    assert problems(answer) == [(1002, "id")]
    assert await database.fetchval("SELECT count(*) FROM instruments WHERE name = 'N'") == 1001
    assert counts(await send(api, *edits, *edits)) == (0, 1001, 0, 1001, 0)


async def test_others_are_answered_while_lines_are_applied(api: Client) -> None:
    lines = [new(f"S{n}") for n in range(1500)]
    sending = asyncio.create_task(send(api, *lines))
    answered = 0

    async def is_done() -> bool:
        nonlocal answered
        if not sending.done():
            async with api.get("/health/live", headers=WRITER) as response:
                assert response.status == 200
            answered += 1
        return sending.done()

    await eventually(is_done)
    assert counts(await sending) == (1500, 0, 0, 0, 0)
    assert answered > 1


async def test_lines_that_take_long_to_read_let_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_writes, "_MOST_AT_A_STRETCH_S", 0.0)
    lines, report = [(n, b"{}") for n in range(1, 11)], bulk_writes._Report(atomic=False)
    reading, turns = asyncio.create_task(bulk_writes._read(lines, report)), 0
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > len(lines) and report.rejected == len(lines)

"""Aliases and former symbols: edited by hand, told by files, found by searches while they should be."""

import csv
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from app.auth.api_keys import key_hash
from app.domain.access import INSTRUMENTS_READ, INSTRUMENTS_WRITE
from app.ingest.aliases import convert, known_aliases
from app.ingest.files import file_source
from app.ingest.importer import ImportReport, import_aliases, import_rows
from app.ingest.rows import RowSource
from app.ingest.sample import sample_source
from app.store.api_keys import add_key
from app.store.postgres import Connection
from tests.integration.conftest import Client, Import, WaitLevel, get_json, running_api
from tests.integration.test_api import problem, symbols

KEY = {"X-API-Key": "writer"}
ALIASES = "/v1/instruments/ins_1/aliases"
META = {"symbol": "META", "name": "Meta Platforms", "asset_class": "equity", "mic": "XNAS"}
FB: dict[str, Any] = {"alias": "FB", "kind": "symbol", "valid_from": "2012-05-18", "valid_to": "2022-06-09"}
TODAY = datetime.now(UTC).date()


@pytest.fixture
async def api(
    database_url: str, redis_url: str, indexer: WaitLevel, import_instruments: Import
) -> AsyncIterator[Client]:
    """The API over one instrument, with the indexer behind it and a key that may write."""
    await import_instruments([META])
    await add_key(
        database_url,
        owner="writer",
        scopes=(INSTRUMENTS_READ, INSTRUMENTS_WRITE),
        secret_sha256=key_hash("writer"),
    )
    await indexer()
    async with running_api(database_url, redis_url) as client:
        yield client


async def add(api: Client, *, status: int = 201, headers: dict[str, str] | None = None, **alias: Any) -> Any:
    async with api.post(ALIASES, json=alias, headers={**KEY, **(headers or {})}) as response:
        assert response.status == status, await response.text()
        return await problem(response, status) if status != 201 else (await response.json(), response.headers)


async def remove(
    api: Client, alias: str, *, status: int = 204, headers: dict[str, str] | None = None, **which: str
) -> Any:
    path = f"{ALIASES}/{quote(alias, safe='')}"
    async with api.delete(path, params=which, headers={**KEY, **(headers or {})}) as response:
        assert response.status == status, await response.text()
        return await problem(response, status) if status != 204 else response.headers["ETag"]


async def listed(api: Client) -> list[Any]:
    return list((await get_json(api, ALIASES))["aliases"])


async def tell(url: str, folder: Path, *rows: dict[str, str], **options: bool) -> ImportReport:
    """Import aliases, of META where a row does not say."""
    source = RowSource("told", "aliases", iter([{"symbol": "META", **row} for row in rows]), convert)
    return await import_aliases(url, [source], folder / "rejects.csv", actor="tests", **options)


def reasons(folder: Path) -> list[tuple[str, str]]:
    """Row and reason of what was rejected."""
    with (folder / "rejects.csv").open(encoding="utf-8", newline="") as file:
        return [(row["row"], row["reason"]) for row in csv.DictReader(file)]


# Edited by hand.


async def test_aliases_are_added_listed_found_and_removed(api: Client, indexer: WaitLevel) -> None:
    added, headers = await add(api, alias="  the   Face Book ", kind="name")
    assert added == {
        "alias": "the Face Book",
        "kind": "name",
        "valid_from": None,
        "valid_to": None,
        "in_force": True,
    }
    assert headers["ETag"] == '"2"'
    former, headers = await add(api, **FB)
    assert (former["in_force"], headers["ETag"]) == (False, '"3"')
    async with api.get(ALIASES) as response:
        assert (await response.json(), response.headers["ETag"]) == ({"aliases": [added, former]}, '"3"')
    await indexer()
    assert await symbols(api, q="fb") == await symbols(api, q="the face book") == ["META"]

    assert await remove(api, "THE FACE BOOK") == '"4"'
    await indexer()
    assert await symbols(api, q="the face book") == []
    assert await listed(api) == [former]
    history = (await get_json(api, "/v1/instruments/ins_1/history"))["history"]
    assert history[0]["changes"]["aliases"] == {"from": ["the Face Book"], "to": []}
    assert history[1]["changes"]["dated_aliases"]["to"] == [FB]
    assert (history[0]["actor"].partition(":")[0], bool(history[0]["request_id"])) == ("key", True)


async def test_an_alias_is_added_once(api: Client) -> None:
    await add(api, alias="google", kind="name")
    await add(api, **FB)
    refused = await add(api, status=409, alias="GOOGLE", kind="name")
    assert "'google'" in refused["detail"]
    await add(api, status=409, **FB)
    await add(api, status=409, alias="fb", kind="symbol", valid_from="2022-06-08")
    await add(api, alias="FB", kind="symbol", valid_from="2022-06-09")
    await add(api, alias="FB", kind="name")
    assert len(await listed(api)) == 4


async def test_what_cannot_be_an_alias_is_refused(api: Client) -> None:
    refused = await add(api, status=400, alias="\0", kind="isin", valid_from="yesterday")
    assert [error["field"] for error in refused["errors"]] == ["kind", "valid_from"]
    async with api.post(ALIASES, json=[], headers=KEY) as response:
        await problem(response, 400)
    async with api.post("/v1/instruments/ins_9/aliases", json=FB, headers=KEY) as response:
        await problem(response, 404)
    async with api.get("/v1/instruments/ins_9/aliases") as response:
        await problem(response, 404)
    async with api.get("/v1/instruments/x/aliases") as response:
        await problem(response, 404)
    async with api.post(ALIASES, json=FB) as response:
        await problem(response, 401)
    assert await listed(api) == []


async def test_if_match_guards_who_wants_it(api: Client) -> None:
    lost = {"If-Match": '"9"'}
    await add(api, status=412, headers=lost, **FB)
    await add(api, headers={"If-Match": '"1"'}, **FB)
    await remove(api, "FB", status=412, headers=lost)
    assert await listed(api)
    await remove(api, "FB", headers={"If-Match": '"1", "2"'})


async def test_which_of_several_is_to_be_said(api: Client) -> None:
    await add(api, **FB)
    await add(api, alias="FB", kind="symbol", valid_to="2012-05-18")
    await add(api, alias="FB", kind="name")
    assert "several fit" in (await remove(api, "fb", status=409))["detail"]
    await remove(api, "x", status=404)
    await remove(api, "FB", status=400, kind="isin")
    await remove(api, "fb", kind="symbol", valid_from="none")
    await remove(api, "FB", kind="name")
    assert [entry["valid_from"] for entry in await listed(api)] == ["2012-05-18"]
    await remove(api, "FB")


@pytest.mark.parametrize("alias", ["a/b", "50% off", "a?b#c", "ä ö", "{x}", "a+b", "%2F1"])
async def test_any_alias_can_be_removed(api: Client, alias: str) -> None:
    await add(api, alias=alias, kind="symbol")
    await remove(api, alias)
    assert await listed(api) == []


async def test_a_row_that_is_held_for_long_is_a_503(
    api: Client, database: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.store.writing.LOCK_TIMEOUT", "50ms")
    await add(api, **FB)
    async with database.transaction():
        await database.execute("UPDATE instruments SET name = 'held'")
        for refusal in (
            await add(api, status=503, alias="Facebook", kind="name"),
            await remove(api, "FB", status=503),
        ):
            assert "lock timeout" in refusal["detail"]


async def test_there_is_a_limit(api: Client, database: Connection) -> None:
    full = orjson.dumps([{**FB, "alias": f"S{number}"} for number in range(100)]).decode()
    await database.execute("UPDATE instruments SET dated_aliases = $1", full)
    assert "100 dated" in (await add(api, status=409, **FB))["detail"]
    await database.execute(
        "UPDATE instruments SET aliases = ARRAY(SELECT 'n' || n FROM generate_series(1, 50) n)"
    )
    assert "50 names" in (await add(api, status=409, alias="x", kind="name"))["detail"]


# Dates take effect.


async def test_names_find_an_instrument_while_they_are_valid_and_symbols_go_on(
    api: Client, indexer: WaitLevel, database: Connection
) -> None:
    tomorrow = (TODAY + timedelta(days=1)).isoformat()
    for kind in ("name", "symbol"):
        await add(api, alias=f"former {kind}", kind=kind, valid_to=TODAY.isoformat())
        await add(api, alias=f"present {kind}", kind=kind, valid_from=TODAY.isoformat(), valid_to=tomorrow)
        await add(api, alias=f"future {kind}", kind=kind, valid_from=tomorrow)
    await indexer()

    async def finding() -> set[str]:
        entries = [entry["alias"] for entry in await listed(api)]
        return {alias for alias in entries if await symbols(api, q=alias)}

    assert await finding() == {"former symbol", "present name", "present symbol"}
    in_force = {entry["alias"] for entry in await listed(api) if entry["in_force"]}
    assert in_force == {"present name", "present symbol"}
    assert await database.fetchval("SELECT due_at::date FROM instruments") == TODAY + timedelta(days=1)

    # The day after, for which the dates move instead.
    await database.execute(
        "UPDATE instruments SET dated_aliases = replace(replace(dated_aliases::text, $1, $2), $3, $1)::jsonb",
        TODAY.isoformat(),
        (TODAY - timedelta(days=1)).isoformat(),
        tomorrow,
    )
    await database.execute("UPDATE instruments SET due_at = NULL")
    await indexer()
    assert await finding() == {"former symbol", "present symbol", "future name", "future symbol"}
    assert await database.fetchval("SELECT due_at FROM instruments") is None


# A change of the symbol.


async def test_the_symbol_before_a_change_goes_on_finding_it(
    api: Client, indexer: WaitLevel, database: Connection, import_instruments: Import
) -> None:
    await import_instruments([{**META, "symbol": "FB", "name": "Meta", "mic": "XMEX"}])
    await indexer()
    await database.execute("UPDATE instruments SET symbol = 'FB0' WHERE id = 2")
    await database.execute(
        "UPDATE instruments SET dated_aliases = jsonb_set(dated_aliases, '{0,valid_to}', '\"2022-06-09\"') "
        "WHERE id = 2"
    )
    report = await import_instruments([{**META, "symbol": "FB", "name": "Meta", "mic": "XMEX"}])
    assert report.changed == 1, "the source's row is the same instrument, and its symbol another again"
    await indexer()
    assert await symbols(api, q="fb0") == await symbols(api, q="fb") == ["FB"]
    history = (await get_json(api, "/v1/instruments/ins_2/history"))["history"]
    assert history[0]["changes"]["symbol"] == {"from": "FB0", "to": "FB"}
    (former, *_) = reversed(history[0]["changes"]["dated_aliases"]["to"])
    assert former == {
        "alias": "FB0",
        "kind": "symbol",
        "valid_from": "2022-06-09",
        "valid_to": TODAY.isoformat(),
    }


@pytest.mark.parametrize(
    ("listed_on", "symbols", "former"),
    [
        (None, ["meta", "Meta", "META"], []),
        (None, ["MTEA", "META2"], ["META"]),
        (None, ["MTEA", "META"], ["META"]),
        (TODAY - timedelta(days=1), ["META2"], ["META"]),
        (TODAY, ["META2"], []),
        (TODAY + timedelta(days=1), ["META2"], []),
    ],
    ids=["case", "slip", "slip and back", "listed yesterday", "listed today", "listed tomorrow"],
)
async def test_a_symbol_leaves_none_that_it_did_not_have_for_a_day(
    import_instruments: Import,
    database: Connection,
    listed_on: date | None,
    symbols: list[str],
    former: list[str],
) -> None:
    await import_instruments([{**META, "listed_on": listed_on and listed_on.isoformat()}])
    for symbol in symbols:
        await database.execute("UPDATE instruments SET symbol = $1", symbol)
    stored = await database.fetchrow("SELECT symbol, dated_aliases FROM instruments")
    assert stored is not None and stored["symbol"] == symbols[-1]
    assert [entry["alias"] for entry in orjson.loads(stored["dated_aliases"])] == former


# Told by files.


async def test_a_file_tells_aliases_once(
    api: Client, indexer: WaitLevel, database_url: str, database: Connection, tmp_path: Path
) -> None:
    rows = [FB, {"alias": "facebook", "kind": "name", "mic": "XNAS"}, {"alias": "Facebook", "kind": "name"}]
    first = await tell(database_url, tmp_path, *rows)
    assert (first.read, first.changed, first.unchanged, first.duplicates, first.rejected) == (3, 2, 0, 0, 1)
    before = await database.fetch("SELECT * FROM instruments")
    again = await tell(database_url, tmp_path, *rows[:2])
    assert (again.read, again.changed, again.unchanged) == (2, 0, 2)
    assert await database.fetch("SELECT * FROM instruments") == before
    await indexer()
    assert await symbols(api, q="fb") == await symbols(api, q="FACEBOOK") == ["META"]
    history = (await get_json(api, "/v1/instruments/ins_1/history"))["history"]
    assert [entry["actor"] for entry in history] == ["tests", "tests"]


async def test_what_cannot_be_told_is_rejected_with_its_reason(
    database_url: str, import_instruments: Import, tmp_path: Path
) -> None:
    isin = "US30303M1027"
    await import_instruments(
        [
            {**META, "isin": isin},
            {**META, "mic": "XMEX"},
            {**META, "mic": "XETR", "status": "delisted"},
            {**META, "symbol": "GONE", "status": "delisted"},
        ]
    )
    name = {"alias": "facebook", "kind": "name"}
    report = await tell(
        database_url,
        tmp_path,
        name,
        {**name, "symbol": "NONE"},
        {**name, "mic": "XPAR"},
        {**name, "mic": "nowhere"},
        {**name, "isin": isin[:-1] + "0"},
        {**name, "kind": "isin"},
        {**name, "alias": ""},
        {**name, "valid_from": "1.1.2020"},
        {**name, "valid_from": "2020-01-01", "valid_to": "2019-01-01"},
        {**name, "symbol": ""},
        {**name, "surplus": "x"},
        {**name, "isin": isin},
        {**name, "mic": "XMEX"},
        {**name, "mic": "XETR"},
        {**name, "symbol": "GONE"},
    )
    assert (report.read, report.changed, report.rejected) == (15, 4, 11)
    told = reasons(tmp_path)
    assert sorted(int(row) for row, _ in told) == list(range(1, 12))
    assert ("1", "several instruments fit (ins_1, ins_2); give mic or isin") in told
    assert ("2", "no instrument has this symbol (and mic and isin)") in told
    assert ("9", "must be after valid_from (2020-01-01)") in told


async def test_an_import_of_instruments_neither_loses_nor_repeats_aliases(
    api: Client, database_url: str, import_instruments: Import, tmp_path: Path
) -> None:
    await import_instruments([{**META, "aliases": ["of the source"]}])
    await add(api, alias="by hand", kind="name")
    await add(api, **FB)
    await tell(database_url, tmp_path, {"alias": "of a file", "kind": "name"})
    before = await listed(api)
    for aliases in (["of the source"], ["another"], []):
        await import_instruments([{**META, "aliases": aliases, "sector": f"S{len(aliases)}"}])
        assert await listed(api) == before
    assert [entry["alias"] for entry in before] == ["of the source", "by hand", "FB", "of a file"]


async def test_a_source_goes_on_replacing_its_names_where_nobody_edited_them(
    api: Client, database_url: str, import_instruments: Import, tmp_path: Path
) -> None:
    await import_instruments([{**META, "aliases": ["first"]}])
    await add(api, **FB)
    await tell(database_url, tmp_path, {"alias": "of a file", "kind": "name"})
    await import_instruments([{**META, "aliases": ["second"]}])
    assert [entry["alias"] for entry in await listed(api)] == ["second", "FB", "of a file"]


async def test_a_file_does_not_bring_back_what_was_removed_by_hand_unless_it_may(
    api: Client, database_url: str, tmp_path: Path
) -> None:
    await tell(database_url, tmp_path, FB, {"alias": "facebook", "kind": "name"})
    await remove(api, "facebook")
    again = await tell(database_url, tmp_path, FB, {"alias": "facebook", "kind": "name"})
    assert (again.changed, again.unchanged, again.rejected) == (0, 1, 1)
    assert "removed by hand" in reasons(tmp_path)[0][1]
    assert [entry["alias"] for entry in await listed(api)] == ["FB"]
    forced = await tell(database_url, tmp_path, {"alias": "facebook", "kind": "name"}, overwrite=True)
    assert forced.changed == 1


async def test_other_dates_replace_only_with_overwrite(
    api: Client, database_url: str, tmp_path: Path
) -> None:
    await add(api, **FB)
    other = {**FB, "valid_to": "2022-06-10"}
    assert (await tell(database_url, tmp_path, other)).rejected == 1
    assert "--overwrite" in reasons(tmp_path)[0][1]
    for changed in (1, 0):
        report = await tell(database_url, tmp_path, other, FB, overwrite=True)
        assert (report.changed, report.rejected) == (changed, 1), "the first row of a file counts"
    assert [entry["valid_to"] for entry in await listed(api)] == ["2022-06-10"]


@pytest.mark.parametrize(
    ("file_name", "content"),
    [
        ("a.csv", "symbol,mic,alias,kind,valid_from,valid_to\nMETA,XNAS,FB,symbol,2012-05-18,2022-06-09\n"),
        ("a.ndjson", orjson.dumps({"symbol": "META", **FB}).decode()),
    ],
)
async def test_files_of_aliases_are_told_by_their_content(
    api: Client, database_url: str, tmp_path: Path, file_name: str, content: str
) -> None:
    file = tmp_path / file_name
    file.write_text(content)
    source = file_source(file, format_name=None, source=None, counted=lambda _: None)
    report = await import_aliases(database_url, [source], tmp_path / "rejects.csv", actor="tests")
    assert (report.read, report.changed) == (1, 1)
    assert [entry["alias"] for entry in await listed(api)] == ["FB"]


async def test_the_known_aliases_fit_the_sample(
    database_url: str, database: Connection, tmp_path: Path
) -> None:
    rejects = tmp_path / "rejects.csv"
    await import_rows(database_url, [sample_source()], rejects, actor="tests")
    report = await import_aliases(database_url, [known_aliases()], rejects, actor="tests")
    assert report.changed > 60 and report.duplicates == 0
    assert {reason for _, reason in reasons(tmp_path)} == {"no instrument has this symbol (and mic and isin)"}
    found = await database.fetch(
        "SELECT symbol FROM instruments WHERE alias_keys(aliases, dated_aliases) && ARRAY['FB', 'DAX']"
    )
    assert {record["symbol"] for record in found} == {"META", "^GDAXI"}


async def test_who_takes_a_former_symbol_comes_first(
    api: Client, indexer: WaitLevel, database: Connection, import_instruments: Import
) -> None:
    large = {"attributes": {"size_class": "mega"}}
    await import_instruments([{**META, "symbol": "FB", "name": "Facebook", **large}], source="other")
    await database.execute("UPDATE instruments SET symbol = 'META2', mic = 'XMEX' WHERE symbol = 'FB'")
    await import_instruments([{**META, "symbol": "FB", "name": "ProShares S&P 500 Dynamic Buffer"}])
    await indexer()
    assert await symbols(api, q="FB") == ["FB", "META2"]

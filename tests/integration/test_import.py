"""An import merges: each row read is accounted for, ids last, hand edits stay, and it is all or nothing."""

import csv
import lzma
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app.ingest.files import file_source
from app.ingest.generic import convert
from app.ingest.importer import REJECTS_HEADER, ImportReport, import_rows
from app.ingest.rows import ImportFailed, RowSource
from app.ingest.sample import sample_source
from app.store.postgres import Connection
from tests.integration.conftest import Import

APPLE_ISIN = "US0378331005"
SAP_ISIN = "DE0007164600"
APPLE_SHARE_CLASS = "BBG001S5N8V8"


def row(symbol: str = "AAPL", **fields: Any) -> dict[str, Any]:
    return {"symbol": symbol, "asset_class": "equity", "name": f"{symbol} Inc.", "mic": "XNAS"} | fields


ROWS = [row(f"T{number}") for number in range(10)]


def accounted(report: ImportReport) -> bool:
    """Every row read is exactly one of these."""
    became = report.created + report.changed + report.unchanged + report.duplicates + report.rejected
    return report.read == became


async def stored(connection: Connection, symbol: str = "AAPL") -> asyncpg.Record:
    """The one instrument of a symbol."""
    (record,) = await connection.fetch("SELECT * FROM instruments WHERE symbol = $1", symbol)
    return record


async def everything(connection: Connection) -> list[asyncpg.Record]:
    return await connection.fetch("SELECT * FROM instruments ORDER BY id")


async def history_length(connection: Connection) -> int:
    return int(await connection.fetchval("SELECT count(*) FROM instrument_history"))


async def edit(connection: Connection, symbol: str, /, **fields: str) -> None:
    """Set fields as somebody does by hand."""
    for name, value in fields.items():
        await connection.execute(
            f"UPDATE instruments SET {name} = $2, edited_fields = edited_fields || $3::text[]"  # noqa: S608
            " WHERE symbol = $1",
            symbol,
            value,
            [name],
        )


async def primaries(connection: Connection) -> set[str]:
    records = await connection.fetch("SELECT mic FROM instruments WHERE is_primary")
    return {record["mic"] for record in records}


def rejects(folder: Path) -> list[dict[str, str]]:
    with (folder / "rejects.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# Every row is accounted for.


async def test_rows_are_created_then_unchanged_then_changed(import_instruments: Import) -> None:
    first = await import_instruments(ROWS)
    again = await import_instruments([*ROWS[:-1], row("T9", name="Another Name"), row("NEW")])
    assert (first.read, first.created, first.changed, first.unchanged) == (10, 10, 0, 0)
    assert (again.read, again.created, again.changed, again.unchanged) == (11, 1, 1, 9)


async def test_every_row_read_is_exactly_one_thing(import_instruments: Import) -> None:
    await import_instruments([row("SAME"), row("CHANGES"), row("TAKEN")])
    report = await import_instruments(
        [
            row("SAME"),
            row("CHANGES", name="Changed"),
            row("NEW"),
            row("NEW", sector="Energy"),
            row("NEW", asset_class="etf"),
            row("BAD", asset_class="stock"),
            row("ODD", isin="US0378331006", name=""),
        ]
    )
    assert report == ImportReport(
        read=7,
        created=2,
        changed=1,
        unchanged=1,
        duplicates=1,
        rejected=2,
        delisted=0,
        delisting_held_back=False,
        dropped_values=1,
        replaced_values=1,
    )
    assert accounted(report)


async def test_an_import_of_nothing_does_nothing(import_instruments: Import, tmp_path: Path) -> None:
    await import_instruments(ROWS)
    report = await import_instruments([], delist_missing=True)
    assert (report.read, report.delisted) == (0, 0)
    assert rejects(tmp_path) == []


async def test_the_sample_is_imported_whole_and_again_without_a_change(
    database_url: str, database: Connection, tmp_path: Path
) -> None:
    first = await import_rows(database_url, [sample_source()], tmp_path / "rejects.csv", actor="tests")
    before = await everything(database)
    again = await import_rows(database_url, [sample_source()], tmp_path / "rejects.csv", actor="tests")
    assert (first.created, first.duplicates, first.rejected) == (first.read, 0, 0)
    assert again.unchanged == first.read
    assert await everything(database) == before


# The same again changes nothing.


async def test_importing_the_same_again_writes_nothing(
    import_instruments: Import, database: Connection
) -> None:
    rows = [
        *ROWS,
        row(
            "FULL",
            isin=APPLE_ISIN,
            aliases=["One", "Two"],
            tick_size="0.010",
            contract={"multiplier": 50},
            attributes={"family": "x"},
            listed_on="2020-01-31",
        ),
        row("GONE", status="delisted"),
        row("BARE", mic=None),
    ]
    await import_instruments(rows)
    before = await everything(database)
    report = await import_instruments(rows)
    assert report.unchanged == len(rows)
    assert await everything(database) == before, "ids, versions and times stay too"
    assert await history_length(database) == len(rows)


async def test_the_order_of_rows_does_not_matter_to_ids(
    import_instruments: Import, database: Connection
) -> None:
    await import_instruments(ROWS)
    before = await everything(database)
    await import_instruments(ROWS[::-1])
    assert await everything(database) == before


async def test_a_changed_name_is_version_two_with_one_history_row(
    import_instruments: Import, database: Connection
) -> None:
    await import_instruments([row(), row("OTHER")])
    before = await stored(database)
    await import_instruments([row(name="Apple Computer"), row("OTHER")])
    after = await stored(database)
    assert (after["id"], after["version"], after["name"]) == (before["id"], 2, "Apple Computer")
    assert after["changed_xid"] > before["changed_xid"]
    history = await database.fetch(
        "SELECT version, operation, actor, document ->> 'name' AS name FROM instrument_history"
        " WHERE instrument_id = $1 ORDER BY version",
        after["id"],
    )
    assert [tuple(record) for record in history] == [
        (1, "created", "tests", "AAPL Inc."),
        (2, "updated", "tests", "Apple Computer"),
    ]
    assert (await stored(database, "OTHER"))["version"] == 1


# Duplicates and claims to one symbol.


async def test_duplicates_in_a_run_fill_gaps_and_the_earliest_that_knows_wins(
    import_instruments: Import, database: Connection, tmp_path: Path
) -> None:
    report = await import_instruments(
        [
            row(name="First", attributes={"a": "1"}),
            row(name="Second", sector="Second", attributes={"a": "2", "b": "2"}),
            row(name="Third", sector="Third", industry="Third", attributes={"b": "3", "c": "3"}),
        ]
    )
    assert (report.created, report.duplicates) == (1, 2)
    record = await stored(database)
    assert (record["name"], record["sector"], record["industry"]) == ("First", "Second", "Third")
    assert record["attributes"] == '{"a": "1", "b": "2", "c": "3"}'
    assert [(line["row"], line["severity"]) for line in rejects(tmp_path)] == [
        ("2", "duplicate"),
        ("3", "duplicate"),
    ]


async def test_a_living_row_is_kept_before_a_delisted_one(
    import_instruments: Import, database: Connection
) -> None:
    report = await import_instruments([row(name="Old", status="delisted"), row(name="Living")])
    assert (report.created, report.duplicates) == (1, 1)
    record = await stored(database)
    assert (record["name"], record["status"]) == ("Living", "active")


async def test_the_same_symbol_at_another_venue_is_another_instrument(
    import_instruments: Import, database: Connection
) -> None:
    report = await import_instruments([row(), row(mic="XLON"), row(mic=None), row(mic=None, exchange="OWN")])
    assert report.created == 4
    assert len(await everything(database)) == 4


async def test_another_asset_class_under_a_symbol_of_the_run_is_rejected(
    import_instruments: Import, database: Connection, tmp_path: Path
) -> None:
    report = await import_instruments([row(), row(asset_class="etf", sector="Lost")])
    assert (report.created, report.duplicates, report.rejected) == (1, 0, 1)
    (reject,) = rejects(tmp_path)
    assert (reject["row"], reject["severity"], reject["field"]) == ("2", "rejected", "symbol")
    assert "another asset class" in reject["reason"]
    assert (await stored(database))["sector"] is None


async def test_another_asset_class_under_a_symbol_that_is_taken_is_rejected(
    import_instruments: Import, database: Connection, tmp_path: Path
) -> None:
    await import_instruments([row()])
    before = await stored(database)
    report = await import_instruments([row(asset_class="etf")], source="other")
    assert (report.created, report.changed, report.rejected) == (0, 0, 1)
    assert accounted(report)
    (reject,) = rejects(tmp_path)
    assert reject["reason"] == f"symbol AAPL at venue XNAS belongs to ins_{before['id']}"
    assert await stored(database) == before


async def test_the_symbol_of_a_delisted_instrument_is_free_for_another_source(
    import_instruments: Import, database: Connection
) -> None:
    await import_instruments([row(name="Old", status="delisted")])
    report = await import_instruments([row(name="New")], source="other")
    assert report.created == 1
    assert [record["name"] for record in await everything(database)] == ["Old", "New"]


# What one source may do to what is there.


async def test_another_source_only_fills_gaps(import_instruments: Import, database: Connection) -> None:
    await import_instruments([row(sector="Technology", attributes={"a": "own"})])
    before = await stored(database)
    report = await import_instruments(
        [row(name="Other", sector="Other", country="US", attributes={"a": "other", "b": "other"})],
        source="other",
    )
    after = await stored(database)
    assert report.changed == 1
    assert (after["id"], after["source"]) == (before["id"], "tests")
    assert (after["name"], after["sector"], after["country"]) == ("AAPL Inc.", "Technology", "US")
    assert after["attributes"] == '{"a": "own", "b": "other"}'


async def test_another_source_that_knows_nothing_new_changes_nothing(
    import_instruments: Import, database: Connection
) -> None:
    await import_instruments([row(sector="Technology")])
    before = await everything(database)
    report = await import_instruments([row(name="Other", sector="Other", status="suspended")], source="other")
    assert report.unchanged == 1
    assert await everything(database) == before


async def test_its_own_source_replaces_what_it_says(import_instruments: Import, database: Connection) -> None:
    await import_instruments([row(sector="Old", attributes={"a": "old", "b": "kept"}, aliases=["Old"])])
    await import_instruments([row(sector="New", attributes={"a": "new"}, aliases=["New"])])
    record = await stored(database)
    assert (record["sector"], record["aliases"]) == ("New", ["New"])
    assert record["attributes"] == '{"a": "new", "b": "kept"}'


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("exchange", "NMS"),
        ("currency", "USD"),
        ("country", "US"),
        ("sector", "Technology"),
        ("industry", "Consumer Electronics"),
        ("isin", APPLE_ISIN),
        ("cfi", "ESVUFR"),
        ("listed_on", "1980-12-12"),
        ("tick_size", "0.01"),
        ("lot_size", "100"),
        ("contract", {"multiplier": 1}),
        ("attributes", {"family": "x"}),
        ("aliases", ["Apple Computer"]),
        ("name", "Apple Incorporated"),
    ],
)
async def test_an_empty_value_never_erases(
    import_instruments: Import, database: Connection, field: str, value: Any
) -> None:
    await import_instruments([row(**{field: value})])
    before = await stored(database)
    report = await import_instruments([row(**{field: ""})])
    assert await stored(database) == before
    assert report.unchanged == 1


# Hand edits.


async def test_edited_fields_survive_an_import(import_instruments: Import, database: Connection) -> None:
    await import_instruments([row(sector="Old")])
    await edit(database, "AAPL", name="By Hand")
    before = await stored(database)
    report = await import_instruments([row(name="Source", sector="New")])
    after = await stored(database)
    assert report.changed == 1
    assert (after["name"], after["sector"]) == ("By Hand", "New")
    assert after["edited_fields"] == before["edited_fields"] == ["name"]


async def test_an_import_that_brings_only_edited_fields_changes_nothing(
    import_instruments: Import, database: Connection
) -> None:
    await import_instruments([row()])
    await edit(database, "AAPL", name="By Hand")
    before = await everything(database)
    assert (await import_instruments([row(name="Source")])).unchanged == 1
    assert await everything(database) == before


async def test_overwrite_replaces_edited_fields(import_instruments: Import, database: Connection) -> None:
    await import_instruments([row()])
    await edit(database, "AAPL", name="By Hand")
    await import_instruments([row(name="Source")], overwrite=True)
    assert (await stored(database))["name"] == "Source"


async def test_another_source_does_not_fill_what_was_emptied_by_hand(
    import_instruments: Import, database: Connection
) -> None:
    await import_instruments([row(sector="Wrong")])
    await database.execute("UPDATE instruments SET sector = NULL, edited_fields = '{sector}'")
    await import_instruments([row(sector="Wrong")], source="other")
    assert (await stored(database))["sector"] is None


async def test_a_symbol_renamed_by_hand_keeps_its_id_when_its_row_comes_again(
    import_instruments: Import, database: Connection
) -> None:
    await import_instruments([row("FB")])
    before = await stored(database, "FB")
    await edit(database, "FB", symbol="META")
    report = await import_instruments([row("FB", name="Facebook, Inc.")])
    after = await stored(database, "META")
    assert (report.created, report.changed) == (0, 1)
    assert (after["id"], after["name"]) == (before["id"], "Facebook, Inc.")
    assert len(await everything(database)) == 1


async def test_a_row_whose_symbol_was_given_to_another_by_hand_is_rejected(
    import_instruments: Import, database: Connection, tmp_path: Path
) -> None:
    await import_instruments([row("FB")])
    await edit(database, "FB", symbol="META")
    holder = await stored(database, "META")
    report = await import_instruments([row("FB"), row("META", name="Somebody Else")])
    assert (report.unchanged, report.rejected) == (1, 1)
    assert rejects(tmp_path)[0]["reason"] == f"symbol META at venue XNAS belongs to ins_{holder['id']}"


# What a source no longer names.


async def test_delist_missing_delists_what_the_source_no_longer_names(
    import_instruments: Import, database: Connection
) -> None:
    await import_instruments([row("STAYS"), row("GOES")])
    await import_instruments([row("OTHERS", mic="XLON")], source="other")
    await database.execute("INSERT INTO instruments (symbol, name, asset_class) VALUES ('HAND', 'H', 'bond')")
    report = await import_instruments([row("STAYS"), row("NEW")], delist_missing=True)
    assert (report.read, report.created, report.unchanged, report.delisted) == (2, 1, 1, 1)
    status = {record["symbol"]: record["status"] for record in await everything(database)}
    assert status == {
        "STAYS": "active",
        "GOES": "delisted",
        "OTHERS": "active",
        "HAND": "active",
        "NEW": "active",
    }
    today = await database.fetchval("SELECT current_date")
    assert (await stored(database, "GOES"))["delisted_on"] == today


async def test_without_delist_missing_nothing_is_delisted(
    import_instruments: Import, database: Connection
) -> None:
    await import_instruments([row("STAYS"), row("GOES")])
    assert (await import_instruments([row("STAYS")])).delisted == 0
    assert (await stored(database, "GOES"))["status"] == "active"


async def test_a_status_set_by_hand_is_not_delisted(import_instruments: Import, database: Connection) -> None:
    await import_instruments([row("STAYS"), row("HELD")])
    await edit(database, "HELD", status="suspended")
    assert (await import_instruments([row("STAYS")], delist_missing=True)).delisted == 0


async def test_what_is_delisted_already_is_not_delisted_again(
    import_instruments: Import, database: Connection
) -> None:
    await import_instruments([row("STAYS"), row("GOES")])
    await import_instruments([row("STAYS")], delist_missing=True)
    before = await everything(database)
    assert (await import_instruments([row("STAYS")], delist_missing=True)).delisted == 0
    assert await everything(database) == before


async def test_what_its_source_names_again_lives_again(
    import_instruments: Import, database: Connection
) -> None:
    await import_instruments([row("STAYS"), row("BACK")])
    before = await stored(database, "BACK")
    await import_instruments([row("STAYS")], delist_missing=True)
    await import_instruments([row("STAYS"), row("BACK")])
    after = await stored(database, "BACK")
    assert (after["id"], after["status"]) == (before["id"], "active")


# One primary listing for each issue.


@pytest.mark.parametrize(
    ("rows", "mic"),
    [
        pytest.param(
            [{"mic": "XFRA", "isin": APPLE_ISIN}, {"mic": "XNAS", "isin": APPLE_ISIN}], "XNAS", id="home"
        ),
        pytest.param(
            [{"mic": "XNYS", "isin": SAP_ISIN}, {"mic": "XFRA", "isin": SAP_ISIN}],
            "XFRA",
            id="home is lighter",
        ),
        pytest.param(
            [{"mic": "XFRA", "isin": SAP_ISIN}, {"mic": "XETR", "isin": SAP_ISIN}], "XETR", id="heaviest"
        ),
        pytest.param(
            [
                {"mic": "XNAS", "isin": APPLE_ISIN, "status": "delisted"},
                {"mic": "XFRA", "isin": APPLE_ISIN},
            ],
            "XFRA",
            id="living",
        ),
        pytest.param(
            [
                {"mic": "XFRA", "share_class_figi": APPLE_SHARE_CLASS, "country": "US"},
                {"mic": "XNAS", "share_class_figi": APPLE_SHARE_CLASS, "country": "US"},
            ],
            "XNAS",
            id="share class",
        ),
        pytest.param(
            [
                {"mic": "XFRA", "isin": APPLE_ISIN},
                {"mic": "XNAS", "isin": APPLE_ISIN, "share_class_figi": APPLE_SHARE_CLASS},
                {"mic": "XLON", "share_class_figi": APPLE_SHARE_CLASS},
            ],
            "XNAS",
            id="ISIN and share class",
        ),
    ],
)
async def test_one_listing_of_an_issue_is_primary(
    import_instruments: Import, database: Connection, rows: list[Mapping[str, Any]], mic: str
) -> None:
    await import_instruments([row(**fields) for fields in rows])
    assert await primaries(database) == {mic}
    await import_instruments([row(**fields) for fields in rows[::-1]])
    assert await primaries(database) == {mic}


async def test_every_issue_has_its_own_primary(import_instruments: Import, database: Connection) -> None:
    await import_instruments([row(isin=APPLE_ISIN), row("SAP", mic="XETR", isin=SAP_ISIN)])
    assert await primaries(database) == {"XNAS", "XETR"}


@pytest.mark.parametrize(
    ("fields", "primary"),
    [
        ({"mic": "XNAS", "country": "US"}, True),
        ({"mic": "XFRA", "country": "US"}, False),
        ({"mic": "XNYS", "country": "IE"}, True),
        ({"mic": "XNYS", "country": "IE", "name": "Some Company ADR"}, False),
        ({"mic": "OTCM", "country": "IE"}, False),
        ({"mic": "XFRA", "country": None}, True),
        ({"mic": None, "country": "US"}, True),
    ],
)
async def test_without_identifiers_the_venue_tells_what_is_primary(
    import_instruments: Import, database: Connection, fields: Mapping[str, Any], primary: bool
) -> None:
    await import_instruments([row(**fields)])
    assert (await stored(database))["is_primary"] is primary


async def test_a_better_listing_that_comes_later_becomes_primary(
    import_instruments: Import, database: Connection
) -> None:
    await import_instruments([row("APC", mic="XFRA", isin=APPLE_ISIN)])
    assert await primaries(database) == {"XFRA"}
    report = await import_instruments([row(isin=APPLE_ISIN)], source="other")
    assert report.created == 1
    assert await primaries(database) == {"XNAS"}
    assert (await stored(database, "APC"))["version"] == 2


async def test_a_primary_set_by_hand_stays(import_instruments: Import, database: Connection) -> None:
    await import_instruments([row("APC", mic="XFRA", isin=APPLE_ISIN)])
    await database.execute("UPDATE instruments SET edited_fields = '{is_primary}'")
    await import_instruments([row(isin=APPLE_ISIN)], source="other")
    assert (await stored(database, "APC"))["is_primary"] is True


# All or nothing, and a report.


async def test_a_file_that_breaks_halfway_leaves_nothing_behind(
    import_instruments: Import, database_url: str, database: Connection, tmp_path: Path
) -> None:
    await import_instruments(ROWS)
    before = await everything(database)
    names = (sha256(b"%d" % number).hexdigest() for number in range(20_000))  # hardly compressible
    lines = "".join(f"{name[:16]},equity,{name}\n" for name in names)
    content = lzma.compress(f"symbol,asset_class,name\n{lines}".encode())
    file = tmp_path / "torn.csv.xz"
    file.write_bytes(content[: len(content) // 2])
    sources = [
        RowSource("whole", "tests", iter([row("T0", name="Changed"), row("NEW")]), convert),
        file_source(file, format_name=None, source=None, counted=lambda _: None),
    ]
    with pytest.raises(ImportFailed, match=r"torn\.csv\.xz cannot be read to its end"):
        await import_rows(database_url, sources, tmp_path / "rejects.csv", actor="tests")
    assert await everything(database) == before
    assert await history_length(database) == len(ROWS)


async def test_rejects_name_the_file_and_the_row_in_it(database_url: str, tmp_path: Path) -> None:
    bad = row("BAD", asset_class="stock")
    files: dict[str, list[dict[str, Any]]] = {
        "one.csv": [row("A"), bad, row("B", isin="US0378331006")],
        "empty.csv": [],
        "two.csv": [row("C", country="Atlantis"), row("D"), row("A"), row("B", asset_class="etf"), bad],
    }
    sources = [RowSource(name, "tests", iter(rows), convert) for name, rows in files.items()]
    report = await import_rows(database_url, sources, tmp_path / "rejects.csv", actor="tests")
    assert accounted(report)
    lines = rejects(tmp_path)
    assert tuple(lines[0]) == REJECTS_HEADER == ("file", "row", "severity", "field", "value", "reason")
    assert sorted(tuple(line.values())[:5] for line in lines) == [
        ("one.csv", "2", "rejected", "asset_class", "stock"),
        ("one.csv", "3", "dropped", "isin", "US0378331006"),
        ("two.csv", "1", "dropped", "country", "Atlantis"),
        ("two.csv", "3", "duplicate", "symbol", ""),
        ("two.csv", "4", "rejected", "symbol", ""),
        ("two.csv", "5", "rejected", "asset_class", "stock"),
    ]
    assert all(line["reason"] for line in lines)


async def test_the_rejects_of_an_earlier_run_are_replaced(import_instruments: Import, tmp_path: Path) -> None:
    await import_instruments([row(asset_class="stock")])
    assert len(rejects(tmp_path)) == 1
    await import_instruments([row()])
    assert rejects(tmp_path) == []


async def test_overwrite_gives_a_renamed_symbol_back_and_frees_the_name(
    import_instruments: Import, database: Connection
) -> None:
    await import_instruments([row("FB")])
    await edit(database, "FB", symbol="META")
    report = await import_instruments([row("FB"), row("META")], overwrite=True)
    assert (report.created, report.changed) == (1, 1)
    assert {record["symbol"] for record in await everything(database)} == {"FB", "META"}


async def test_what_lives_again_has_no_day_of_delisting(
    import_instruments: Import, database: Connection
) -> None:
    await import_instruments([row("STAYS"), row("BACK")])
    await import_instruments([row("STAYS")], delist_missing=True)
    await import_instruments([row("STAYS"), row("BACK")])
    assert (await stored(database, "BACK"))["delisted_on"] is None


async def test_a_primary_that_is_delisted_as_missing_hands_over(
    import_instruments: Import, database: Connection
) -> None:
    await import_instruments([row(isin=APPLE_ISIN), row("APC", mic="XFRA", isin=APPLE_ISIN)])
    report = await import_instruments([row("APC", mic="XFRA", isin=APPLE_ISIN)], delist_missing=True)
    assert report.delisted == 1
    assert await primaries(database) == {"XFRA"}


async def test_a_real_name_replaces_the_symbol_that_stood_in(
    import_instruments: Import, database: Connection
) -> None:
    await import_instruments([row("A", name=""), row("B", name=""), row("B", name="Real B")])
    await import_instruments([row("A", name="Real A", aliases=["Alpha"])], source="other")
    names = await database.fetch("SELECT symbol, name, aliases FROM instruments ORDER BY symbol")
    assert [tuple(record) for record in names] == [("A", "Real A", ["Alpha"]), ("B", "Real B", [])]


async def test_another_sources_delisted_row_is_another_instrument(
    import_instruments: Import, database: Connection
) -> None:
    await import_instruments([row("A")])
    gone = row("A", status="delisted", delisted_on="2001-01-01", isin="US0378331005")
    assert (await import_instruments([gone], source="other")).created == 1
    living = await database.fetchrow("SELECT isin, delisted_on FROM instruments WHERE status = 'active'")
    assert living is not None and tuple(living) == (None, None)


async def test_nothing_is_delisted_while_a_row_is_rejected(
    import_instruments: Import, database: Connection
) -> None:
    await import_instruments([row("S"), row("N")])
    report = await import_instruments([row("S"), row("N", status="typo")], delist_missing=True)
    assert (report.delisted, report.delisting_held_back) == (0, True)
    assert await database.fetchval("SELECT count(*) FROM instruments WHERE status = 'active'") == 2


async def test_dates_that_contradict_each_other_reject_their_row_only(
    import_instruments: Import, database: Connection
) -> None:
    await import_instruments([row("A", listed_on="2020-01-01")])
    report = await import_instruments([row("A", delisted_on="2019-01-01"), row("OK")])
    assert (report.created, report.rejected) == (1, 1)
    assert await database.fetchval("SELECT delisted_on FROM instruments WHERE symbol = 'A'") is None


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "\0 foo"},
        {"aliases": ["x\0y"]},
        {"attributes": {"a": "x\0"}},
        {"contract": {"a": ["x\0"]}},
        {"tick_size": "1e200000"},
        {"lot_size": "1e-20000"},
        {"tick_size": "1e999999999"},
    ],
)
async def test_no_value_of_one_row_fails_the_run(import_instruments: Import, fields: dict[str, Any]) -> None:
    report = await import_instruments([row("ODD", **fields), row("OK")])
    assert report.created == 2


async def test_equal_listings_keep_their_primary_in_any_order(
    import_instruments: Import, database: Connection
) -> None:
    rows = [row("A", mic=None, exchange=code, isin="US0378331005") for code in ("ZA", "ZB")]
    await import_instruments(rows)
    report = await import_instruments(rows[::-1])
    assert report.changed == 0
    assert await database.fetchval("SELECT count(*) FROM instrument_history") == 2

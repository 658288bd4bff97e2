"""The quality report: each reason finds what it is meant for, and nothing in a sound row."""

from typing import Any, Final

import orjson
import pytest

from app.store.postgres import Connection
from app.store.quality import COVERED_FIELDS, REASONS, Coverage, QualityReport, read_quality

SOUND: Final[dict[str, Any]] = {
    "symbol": "AAPL",
    "name": "Apple Inc.",
    "asset_class": "equity",
    "mic": "XNAS",
    "exchange": "NMS",
    "currency": "USD",
    "country": "US",
    "isin": "US0378331005",
    "cusip": "037833100",
    "figi": "BBG000B9XRY4",
    "composite_figi": "BBG000BLNQ16",
    "share_class_figi": "BBG001S5N8V8",
    "cfi": "ESVUFR",
    "is_primary": True,
    "listed_on": "1980-12-12",
}
BARE: Final[dict[str, Any]] = {"symbol": "AAPL", "name": "Apple Inc.", "asset_class": "equity", "mic": "XNAS"}
"""A row that says too little to contradict itself."""
ABROAD: Final = SOUND | {
    "mic": "XFRA",
    "currency": "EUR",
    "figi": None,
    "composite_figi": None,
    "is_primary": False,
}
"""The sound row's second listing."""
OTHER_ISIN: Final = "US5949181045"


async def add(database: Connection, *rows: dict[str, Any]) -> None:
    """Rows as they are given: no trigger mends them."""
    await database.execute("SET session_replication_role = replica")
    for row in rows:
        stamped = {
            "status": "active",
            "is_primary": False,
            "version": 1,
            "changed_xid": "5",
            "aliases": [],
            "dated_aliases": [],
            "attributes": {},
            "edited_fields": [],
            "created_at": "2026-01-01",
            "updated_at": "2026-01-01",
            **row,
        }
        columns = ", ".join(stamped)
        await database.execute(
            f"INSERT INTO instruments ({columns}) "  # noqa: S608
            f"SELECT {columns} FROM jsonb_populate_record(NULL::instruments, $1::text::jsonb)",
            orjson.dumps(stamped).decode(),
        )


def found(report: QualityReport) -> dict[str, list[str]]:
    """The symbols that each reason names."""
    return {
        finding.reason: sorted(example.symbol for example in finding.examples)
        for finding in report.findings
        if finding.count
    }


async def test_sound_rows_are_not_suspicious(database: Connection, database_url: str) -> None:
    gone = SOUND | {"symbol": "OLD", "status": "delisted"}
    bond = BARE | {"symbol": "BND", "isin": "XS0971721963", "country": "DE", "is_primary": True}
    await add(database, SOUND, ABROAD | {"symbol": "APC"}, gone, bond)
    report = await read_quality(database_url, 10)
    assert found(report) == {}
    assert [finding.reason for finding in report.findings] == list(REASONS)
    assert (report.living, report.delisted) == (3, 1)


CASES: Final[dict[str, tuple[dict[str, Any], ...]]] = {
    "name_is_symbol": (BARE | {"name": "AAPL"},),
    "name_unprintable": (BARE | {"name": "App\u00adle"},),
    "name_with_lost_letter": (BARE | {"name": "Apple ? Inc."},),
    "no_venue": (BARE | {"mic": None},),
    "unknown_mic": (BARE | {"mic": "QQQQ"},),
    "isin_only_in_symbol": (BARE | {"symbol": "US0378331005.F"},),
    "isin_not_of_symbol": (SOUND | {"symbol": f"{OTHER_ISIN}.F"},),
    "isin_of_other_country": (SOUND | {"country": "DE"},),
    "isin_twice_at_venue": (SOUND, ABROAD | {"mic": "XNAS", "symbol": "APPL"}),
    "isin_of_different_names": (
        SOUND | {"name": "Something Else"},
        ABROAD | {"symbol": "APC", "name": "Apple"},
    ),
    "isin_of_share_classes": (
        SOUND,
        ABROAD | {"symbol": "APC", "share_class_figi": "BBG001S5PL01", "is_primary": True},
    ),
    "share_class_of_isins": (SOUND, ABROAD | {"symbol": "APC", "isin": OTHER_ISIN, "cusip": None}),
    "cusip_of_isins": (
        SOUND,
        SOUND
        | {"symbol": "APC", "isin": "IT0005003782", "country": "IT", "mic": "XMIL"}
        | {"figi": None, "composite_figi": None, "share_class_figi": None},
    ),
    "cusip_not_in_isin": (SOUND | {"cusip": "594918104"},),
    "figi_shared": (SOUND, ABROAD | {"symbol": "APC", "figi": SOUND["figi"]}),
    "figi_of_two_levels": (SOUND | {"composite_figi": SOUND["figi"]},),
    "primary_not_one": (SOUND | {"is_primary": False},),
    "cfi_of_other_class": (SOUND | {"asset_class": "bond"},),
    "listed_in_future": (SOUND | {"listed_on": "2999-01-01"},),
    "change_overdue": (SOUND | {"delisted_on": "2026-01-01", "due_at": "2026-01-01"},),
}

SAID_OF_ALL: Final = frozenset(
    {
        "isin_twice_at_venue",
        "isin_of_share_classes",
        "share_class_of_isins",
        "cusip_of_isins",
        "figi_shared",
    }
)
"""Reasons that name all rows of a case; of the other cases the last is the suspicious one."""


def test_every_reason_has_a_case() -> None:
    assert CASES.keys() | {"invalid_code", "currency_unusual"} == REASONS.keys()


@pytest.mark.parametrize("reason", CASES)
async def test_a_reason_finds_what_it_is_meant_for(
    reason: str, database: Connection, database_url: str
) -> None:
    await add(database, *CASES[reason])
    report = await read_quality(database_url, 10)
    several = {
        "isin_twice_at_venue",
        "isin_of_share_classes",
        "share_class_of_isins",
        "cusip_of_isins",
        "figi_shared",
    }
    expected = CASES[reason] if reason in several else CASES[reason][-1:]
    assert found(report) == {reason: sorted(row["symbol"] for row in expected)}


async def test_two_primaries_are_told_as_none_is(database: Connection, database_url: str) -> None:
    await add(database, SOUND, ABROAD | {"symbol": "APC", "is_primary": True})
    assert found(await read_quality(database_url, 10)) == {"primary_not_one": ["AAPL", "APC"]}


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("isin", "US0378331006", "isin US0378331006 has a wrong check digit; compare it with its source"),
        ("lei", "HWUPKR0MPOU8FGXBT395", "lei HWUPKR0MPOU8FGXBT395 has a wrong check digit"),
        ("cfi", "ESVUFQ", "cfi ESVUFQ is no ISO 10962 code: letter 6, Q, is no form of ES"),
        ("currency", "QQQ", "currency QQQ is no ISO 4217 currency"),
        ("currency", "GBX", "currency GBX is no ISO 4217 currency"),
        ("country", "QQ", "country QQ is no country of ISO 3166-1 today"),
    ],
)
async def test_a_code_that_its_standard_does_not_know_is_told_why(
    field: str, value: str, reason: str, database: Connection, database_url: str
) -> None:
    await add(database, BARE | {field: value, "is_primary": True})
    (finding, *_) = (await read_quality(database_url, 10)).findings
    assert (finding.reason, finding.count) == ("invalid_code", 1)
    assert finding.examples[0].detail.startswith(reason)


async def test_a_currency_is_unusual_below_one_in_a_hundred(database: Connection, database_url: str) -> None:
    rows = [BARE | {"symbol": f"U{n}", "currency": "USD"} for n in range(100)]
    await add(database, *rows, BARE | {"symbol": "MX", "currency": "MXN"})
    assert found(await read_quality(database_url, 10)) == {"currency_unusual": ["MX"]}
    await add(database, BARE | {"symbol": "MY", "currency": "MXN"})
    assert found(await read_quality(database_url, 10)) == {}


async def test_examples_are_few_and_the_count_is_whole(database: Connection, database_url: str) -> None:
    await add(
        database, *(BARE | {"symbol": f"S{n}", "name": f"S{n}", "isin": "US0378331006"} for n in range(5))
    )
    for examples in (0, 2):
        findings = {
            finding.reason: finding for finding in (await read_quality(database_url, examples)).findings
        }
        for reason in ("name_is_symbol", "invalid_code"):
            assert (findings[reason].count, len(findings[reason].examples)) == (5, examples)


async def test_coverage_counts_the_living_by_class_and_venue(database: Connection, database_url: str) -> None:
    await add(
        database,
        SOUND,
        BARE | {"symbol": "B"},
        BARE | {"symbol": "C", "mic": None, "exchange": "NIM", "asset_class": "index"},
        SOUND | {"symbol": "D", "status": "delisted"},
    )
    report = await read_quality(database_url, 0)
    nothing = dict.fromkeys(COVERED_FIELDS, 0)
    given = {name: 1 for name in COVERED_FIELDS if name in SOUND}
    assert report.coverage == [
        Coverage("XNAS", "equity", 2, nothing | given | {"mic": 2}),
        Coverage("NIM", "index", 1, nothing),
    ]
    assert (report.living, report.delisted) == (3, 1)

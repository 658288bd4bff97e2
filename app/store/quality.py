"""How complete the instruments are, and which look wrong: one consistent view of Postgres, only read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import asyncpg

from app.domain.cfi import InvalidCfi, canonical_cfi
from app.domain.countries import country_code
from app.domain.currencies import quotation
from app.domain.identifiers import IDENTIFIER_FIELDS, InvalidIdentifier, canonical_identifier
from app.domain.instrument import public_id
from app.domain.venues import VENUES
from app.store.instruments import open_snapshot
from app.store.postgres import Connection
from app.store.statements import Statements

SQL: Final = Statements("quality.sql")

BATCH: Final = 5000
"""Rows that are checked at a time."""

COVERED_FIELDS: Final = (
    *IDENTIFIER_FIELDS,
    *("cfi", "mic", "currency", "country", "sector", "listed_on"),
)

INVALID_CODE: Final = "invalid_code"
"""The one reason that Python finds, by the rules of the standards; the others are statements."""

REASONS: Final[Mapping[str, str]] = {
    INVALID_CODE: "an identifier, CFI code, currency or country that its standard does not know",
    "isin_twice_at_venue": "another living listing at the venue has the same ISIN",
    "isin_of_different_names": "shares no word of its name with the primary listing of its ISIN",
    "isin_not_of_symbol": "the symbol is another ISIN",
    "isin_only_in_symbol": "the symbol is an ISIN, the field is empty",
    "isin_of_share_classes": "the ISIN goes with several share class FIGIs",
    "share_class_of_isins": "the share class FIGI goes with several ISINs",
    "isin_of_other_country": "the ISIN begins with another country than the issuer's; "
    "receipts and companies registered abroad are among them",
    "cusip_of_isins": "the CUSIP goes with several ISINs",
    "cusip_not_in_isin": "the ISIN of the United States or Canada holds another CUSIP",
    "figi_shared": "another living listing has the same FIGI",
    "figi_of_two_levels": "one FIGI stands for listing, composite or share class at once",
    "primary_not_one": "of its issue no living listing is primary, or several are",
    "cfi_of_other_class": "the category of the CFI code is not one of its class",
    "name_is_symbol": "the name is only the symbol",
    "name_unprintable": "the name has characters that cannot be seen",
    "name_with_lost_letter": "the name has a character that was lost on its way",
    "no_venue": "neither a MIC nor an exchange code",
    "unknown_mic": "a MIC that this version does not know; it has no weight in ranking",
    "currency_unusual": "fewer than one in a hundred of the venue's listings have its currency",
    "listed_in_future": "active, and listed on a day to come",
    "change_overdue": "a delisting or an alias that is due was not carried out; does an indexer run?",
}
"""Why an instrument is suspicious, in words. What is delisted is told only for codes."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Living instruments of one class at one venue, and how many of them have each of COVERED_FIELDS."""

    venue: str | None
    asset_class: str
    living: int
    having: dict[str, int]


@dataclass(frozen=True, slots=True)
class Example:
    id: str
    symbol: str
    venue: str | None
    detail: str


@dataclass(slots=True)
class Finding:
    """How many instruments (of invalid ones, codes) one of REASONS finds, and the first of them."""

    reason: str
    count: int = 0
    examples: list[Example] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class QualityReport:
    taken_at: datetime
    living: int
    delisted: int
    coverage: list[Coverage]
    findings: list[Finding]
    """One of each reason, in the order of REASONS."""


async def read_quality(url: str, examples: int) -> QualityReport:
    """The report with up to `examples` instruments for each reason. Raises PostgresUnavailable."""
    taken_at = datetime.now(UTC)
    async with open_snapshot(url) as snapshot:
        connection = snapshot.connection
        coverage = [
            Coverage(
                record["venue"],
                record["asset_class"],
                record["living"],
                {name: record[name] for name in COVERED_FIELDS},
            )
            for record in await connection.fetch(SQL["coverage"])
        ]
        delisted = await connection.fetchval(SQL["count_delisted"])
        findings = [
            await (
                _invalid_codes(connection, examples)
                if reason == INVALID_CODE
                else _found(connection, reason, examples)
            )
            for reason in REASONS
        ]
    return QualityReport(taken_at, sum(group.living for group in coverage), delisted, coverage, findings)


async def _found(connection: Connection, reason: str, examples: int) -> Finding:
    parameters = (list(VENUES),) if reason == "unknown_mic" else ()
    records = await connection.fetch(SQL[reason], max(examples, 1), *parameters)
    total = records[0]["total"] if records else 0
    return Finding(reason, total, [_example(record, record["detail"]) for record in records[:examples]])


async def _invalid_codes(connection: Connection, examples: int) -> Finding:
    finding = Finding(INVALID_CODE)
    cursor = await connection.cursor(SQL["codes"])
    while records := await cursor.fetch(BATCH):
        for record in records:
            for name, check in _CHECKS.items():
                value = record[name]
                if value is None or (wrong := check(value)) is None:
                    continue
                finding.count += 1
                if len(finding.examples) < examples:
                    finding.examples.append(_example(record, f"{name} {value} {wrong}"))
    return finding


def _example(record: asyncpg.Record, detail: str) -> Example:
    return Example(public_id(record["id"]), record["symbol"], record["venue"], detail)


def _identifier_error(name: str) -> Callable[[str], str | None]:
    def error_of(value: str) -> str | None:
        try:
            canonical_identifier(name, value)
        except InvalidIdentifier as error:
            return str(error)
        return None

    return error_of


def _cfi_error(value: str) -> str | None:
    try:
        canonical_cfi(value)
    except InvalidCfi as error:
        return str(error)
    return None


def _currency_error(value: str) -> str | None:
    found = quotation(value)
    return None if found and found.currency == value else "is no ISO 4217 currency"


def _country_error(value: str) -> str | None:
    return None if country_code(value) == value else "is no country of ISO 3166-1 today"


_CHECKS: Final[Mapping[str, Callable[[str], str | None]]] = {
    **{name: _identifier_error(name) for name in IDENTIFIER_FIELDS},
    "cfi": _cfi_error,
    "currency": _currency_error,
    "country": _country_error,
}
"""What is wrong with a value of a field; None: nothing."""

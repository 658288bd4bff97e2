"""Files of aliases: names that people use for instruments, and symbols that these had, with their dates.

CSV with a header, or one JSON object per line, with the same fields. A row names its instrument by the symbol
of today, and by `mic` and `isin` where that is not enough.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from importlib import resources
from typing import Final

from app.domain.alias import MAX_ALIAS_LENGTH, Alias, AliasKind, checked_alias
from app.domain.days import parse_day
from app.domain.errors import InvalidInput
from app.domain.identifiers import InvalidIdentifier, canonical_identifier
from app.domain.instrument_fields import mic_code
from app.ingest.rows import BROKEN, Row, RowReader, RowRejected, RowSource

NAME: Final = "aliases"
REQUIRED_COLUMNS: Final = frozenset({"symbol", "alias", "kind"})
COLUMNS: Final = REQUIRED_COLUMNS | {"mic", "isin", "valid_from", "valid_to"}
_KNOWN_FILE: Final = "known_aliases.csv"


@dataclass(frozen=True, slots=True)
class AliasRow:
    """An alias, and the symbol, MIC and ISIN of its instrument; None where the row does not say."""

    symbol: str
    mic: str | None
    isin: str | None
    alias: Alias


def convert(row: RowReader) -> AliasRow:
    """The alias that a row tells. Raises RowRejected: it is right in everything, or not told."""
    if (reason := row.row.get(BROKEN)) is not None:
        raise RowRejected("line", "", str(reason))
    if unknown := sorted(set(row.row) - COLUMNS):
        raise RowRejected(
            unknown[0], row.row[unknown[0]], f"unknown field; known are {', '.join(sorted(COLUMNS))}"
        )
    kind = (_text(row, "kind") or "").lower()
    if kind not in tuple(AliasKind):
        raise RowRejected("kind", kind, f"must be one of {', '.join(AliasKind)}")
    alias = Alias(_text(row, "alias") or "", AliasKind(kind), _day(row, "valid_from"), _day(row, "valid_to"))
    try:
        return AliasRow(row.symbol(), _mic(row), _isin(row), checked_alias(alias))
    except InvalidInput as error:
        first = error.errors[0]
        raise RowRejected(first.field, row.row.get(first.field), first.message) from error


def known_aliases() -> RowSource[AliasRow]:
    """Well-known names and former symbols, which come with the project."""
    return RowSource(_KNOWN_FILE, NAME, _known_rows(), convert)


def _known_rows() -> Iterator[Row]:
    with resources.files("app.ingest").joinpath(_KNOWN_FILE).open(encoding="utf-8") as file:
        yield from csv.DictReader(file)


def _text(row: RowReader, column: str) -> str | None:
    """As `RowReader.text`, where what cannot be used rejects the row."""
    text = row.text(column, MAX_ALIAS_LENGTH)
    if row.findings:
        raise RowRejected(column, row.findings[0].value, row.findings[0].reason)
    return text


def _day(row: RowReader, column: str) -> date | None:
    text = _text(row, column)
    if text is None:
        return None
    day = parse_day(text)
    if day is None:
        raise RowRejected(column, text, "is not a date like 2026-01-31")
    return day


def _mic(row: RowReader) -> str | None:
    text = _text(row, "mic")
    try:
        return None if text is None else mic_code(text)
    except ValueError as error:
        raise RowRejected("mic", text, str(error)) from error


def _isin(row: RowReader) -> str | None:
    text = _text(row, "isin")
    try:
        return None if text is None else canonical_identifier("isin", text)
    except InvalidIdentifier as error:
        raise RowRejected("isin", text, str(error)) from error

"""What a format module works with: a row, the findings about it, and the field rules all formats share."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import IO, Any, Final, Generic, TypeAlias, TypeVar

from app.domain.countries import country_code
from app.domain.currencies import quotation
from app.domain.identifiers import IDENTIFIER_FIELDS, InvalidIdentifier, canonical_identifier
from app.domain.instrument import MAX_NAME_LENGTH, MAX_SYMBOL_LENGTH
from app.domain.instrument_fields import (
    MAX_ATTRIBUTE_LENGTH,
    MAX_EXCHANGE_LENGTH,
    MAX_TEXT_LENGTH,
    calendar_date,
    mic_code,
    positive_decimal,
)
from app.domain.venues import mic_of_code

Row: TypeAlias = Mapping[str, Any]
T = TypeVar("T")
Record = TypeVar("Record")
"""What rows become: listings, or aliases."""

BROKEN: Final = "(line)"
"""Key of a row that could not be parsed; its value says why."""


class ImportFailed(Exception):
    """A file that cannot be imported at all; nothing of the run was written."""


class RowRejected(Exception):
    """One row that cannot be used."""

    def __init__(self, field_name: str, value: object, reason: str) -> None:
        super().__init__(reason)
        self.finding = Finding(Severity.REJECTED, field_name, str(value), reason)


class Severity(StrEnum):
    REJECTED = "rejected"  # the row is not imported
    DUPLICATE = "duplicate"  # another row of the run is the same
    DROPPED = "dropped"  # the row is imported without this value
    REPLACED = "replaced"  # the row is imported with another value


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a row that its owner should know."""

    severity: Severity
    field: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Format(Generic[Record]):
    """A source format: how to read rows from a file of it, and what a row becomes."""

    name: str
    source: str
    """Whose instruments these are; the same source under the same key is the same instrument."""
    read: Callable[[IO[bytes]], Iterator[Row]]
    convert: Callable[["RowReader"], Record]


@dataclass(frozen=True, slots=True)
class RowSource(Generic[Record]):
    """Rows to import, read once, and what each becomes."""

    name: str
    source: str
    rows: Iterator[Row]
    convert: Callable[["RowReader"], Record]


@dataclass(slots=True)
class RowReader:
    """One row, read field by field; what cannot be used is noted in `findings`, not lost silently."""

    row: Row
    findings: list[Finding] = field(default_factory=list)

    def drop(self, field_name: str, value: object, reason: str) -> None:
        self.findings.append(Finding(Severity.DROPPED, field_name, str(value), reason))

    def text(self, column: str, max_length: int = MAX_TEXT_LENGTH) -> str | None:
        """The column's text with white space tidied; None if empty. What is too long is dropped."""
        value = self.row.get(column)
        if value is None:
            return None
        if isinstance(value, bool | dict | list):
            self.drop(column, value, "is not text")
            return None
        text = tidy(str(value))
        if len(text) > max_length:
            self.drop(column, text, f"is {len(text)} characters long; at most {max_length} are kept")
            return None
        return text or None

    def symbol(self) -> str:
        """Raises RowRejected."""
        value = self.row.get("symbol")
        symbol = (
            " ".join(str(value).split())
            if isinstance(value, str | int) and not isinstance(value, bool)
            else ""
        )
        if not symbol or len(symbol) > MAX_SYMBOL_LENGTH or not symbol.isprintable():
            raise RowRejected("symbol", value or "", f"must be 1 to {MAX_SYMBOL_LENGTH} printable characters")
        return symbol

    def name(self) -> str | None:
        """The name; where no source has one, the symbol will stand in."""
        name = self.text("name", MAX_NAME_LENGTH)
        if name is None:
            self.findings.append(
                Finding(Severity.REPLACED, "name", "", "is missing; the symbol stands in for it")
            )
        return name

    def country(self) -> str | None:
        name = self.text("country")
        code = country_code(name) if name else None
        if name and code is None:
            self.drop("country", name, "is no country of ISO 3166-1 today")
        return code

    def currency(self) -> tuple[str | None, dict[str, str]]:
        """The ISO 4217 currency, and the attribute that keeps a quotation unit such as GBX."""
        code = self.text("currency")
        if code is None:
            return None, {}
        found = quotation(code)
        if found is None:
            self.drop("currency", code, "is neither an ISO 4217 currency nor a known quotation unit")
            return None, {}
        return found.currency, {"quotation_unit": found.unit} if found.unit else {}

    def venue(self) -> tuple[str | None, str | None]:
        """MIC and exchange code; the code's MIC where the source gives none and the code is a market's."""
        exchange = self.text("exchange", MAX_EXCHANGE_LENGTH)
        mic = self.parsed("mic", mic_code)
        if mic is not None:
            return mic, exchange
        return (mic_of_code(exchange) if exchange else None), exchange

    def identifiers(self, columns: Mapping[str, str]) -> dict[str, str]:
        """Verified identifiers; `columns` maps field to column. A wrong check digit drops the value only."""
        found = {}
        for field_name, column in columns.items():
            value = self.text(column)
            if value is None:
                continue
            try:
                found[field_name] = canonical_identifier(field_name, value)
            except InvalidIdentifier as error:
                self.drop(field_name, value, str(error))
        return found

    def attributes(self, columns: Mapping[str, str]) -> dict[str, str]:
        """Descriptive texts kept as they are; `columns` maps attribute to column."""
        texts = ((name, self.text(column, MAX_ATTRIBUTE_LENGTH)) for name, column in columns.items())
        return {name: text for name, text in texts if text is not None}

    def decimal(self, column: str) -> Decimal | None:
        """A positive decimal number of sane size; None if empty, dropped if it is none."""
        return self.parsed(column, positive_decimal)

    def date(self, column: str) -> date | None:
        return self.parsed(column, calendar_date)

    def parsed(self, column: str, parse: Callable[[str], T]) -> T | None:
        """What `parse` makes of the column's text; None if it is empty, dropped for a ValueError's reason."""
        text = self.text(column)
        if text is None:
            return None
        try:
            return parse(text)
        except ValueError as error:
            self.drop(column, text, str(error))
            return None


def tidy(text: str) -> str:
    """`text` with single spaces, and without NUL characters, which Postgres cannot hold."""
    return " ".join(text.replace("\0", "").split())


SAME_NAME_IDENTIFIERS: Final = {name: name for name in IDENTIFIER_FIELDS}

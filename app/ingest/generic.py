"""Files that people write for this project: CSV with a header, or one JSON object per line.

Columns carry the names of the API's Instrument; `symbol` and `asset_class` are required, unknown
columns are refused so that a misspelt one is not lost. In CSV, `aliases` are separated by `|`, and
`contract` and `attributes` are JSON objects; NDJSON takes real arrays and objects, and identifiers
either beside the other fields or inside `identifiers`.
"""

from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any, Final

import orjson

from app.domain.cfi import canonical_cfi
from app.domain.identifiers import IDENTIFIER_FIELDS
from app.domain.instrument import AssetClass, Listing, Status
from app.domain.instrument_fields import MAX_ALIASES, MAX_ATTRIBUTE_LENGTH
from app.ingest.rows import (
    BROKEN,
    SAME_NAME_IDENTIFIERS,
    Finding,
    RowReader,
    RowRejected,
    Severity,
    tidy,
)

CSV: Final = "csv"
NDJSON: Final = "ndjson"
REQUIRED_COLUMNS: Final = frozenset({"symbol", "asset_class"})
COLUMNS: Final = REQUIRED_COLUMNS | {
    *("name", "status", "mic", "exchange", "currency", "country", "sector", "industry", *IDENTIFIER_FIELDS),
    *("cfi", "aliases", "listed_on", "delisted_on", "tick_size", "lot_size", "contract", "attributes"),
}
_NESTED_IDENTIFIERS: Final = "identifiers"


def convert(row: RowReader) -> Listing:
    """The listing that a row of either format describes."""
    if (reason := row.row.get(BROKEN)) is not None:
        raise RowRejected("line", "", str(reason))
    _flatten_identifiers(row)
    if unknown := sorted(set(row.row) - COLUMNS):
        raise RowRejected(
            unknown[0], row.row[unknown[0]], f"unknown field; known are {', '.join(sorted(COLUMNS))}"
        )
    mic, exchange = row.venue()
    currency, unit = row.currency()
    listed_on, delisted_on = row.date("listed_on"), row.date("delisted_on")
    if listed_on and delisted_on and delisted_on < listed_on:
        raise RowRejected("delisted_on", delisted_on, f"is before listed_on ({listed_on})")
    return Listing(
        symbol=row.symbol(),
        name=row.name(),
        asset_class=AssetClass(_choice(row, "asset_class", tuple(AssetClass), None)),
        status=_status(row, delisted_on),
        mic=mic,
        exchange=exchange,
        currency=currency,
        country=row.country(),
        sector=row.text("sector"),
        industry=row.text("industry"),
        identifiers=row.identifiers(SAME_NAME_IDENTIFIERS),
        cfi=row.parsed("cfi", canonical_cfi),
        aliases=_aliases(row),
        listed_on=listed_on,
        delisted_on=delisted_on,
        tick_size=row.decimal("tick_size"),
        lot_size=row.decimal("lot_size"),
        contract=_object(row, "contract"),
        attributes=_attributes(row) | unit,
    )


def _flatten_identifiers(row: RowReader) -> None:
    nested = row.row.get(_NESTED_IDENTIFIERS, {}) or {}
    if _NESTED_IDENTIFIERS in row.row and isinstance(nested, dict):
        row.row = {**{k: v for k, v in row.row.items() if k != _NESTED_IDENTIFIERS}, **nested}


def _status(row: RowReader, delisted_on: date | None) -> Status:
    """Of what was delisted by now: `delisted`, whatever else the row says."""
    status = Status(_choice(row, "status", tuple(Status), Status.ACTIVE))
    if status is Status.DELISTED or delisted_on is None or delisted_on > datetime.now(UTC).date():
        return status
    if row.text("status"):
        reason = f"contradicts delisted_on ({delisted_on}); delisted stands in for it"
        row.findings.append(Finding(Severity.REPLACED, "status", status, reason))
    return Status.DELISTED


def _choice(row: RowReader, column: str, choices: tuple[str, ...], default: str | None) -> str:
    value = (row.text(column) or default or "").lower()
    if value not in choices:
        raise RowRejected(column, value, f"must be one of {', '.join(choices)}")
    return value


def _aliases(row: RowReader) -> tuple[str, ...]:
    value = row.row.get("aliases")
    parts = value.split("|") if isinstance(value, str) else value or []
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        row.drop("aliases", value, "is not a list of texts")
        return ()
    aliases = tuple(dict.fromkeys(part for part in (tidy(text) for text in parts) if part))
    if len(aliases) > MAX_ALIASES:
        row.drop("aliases", len(aliases), f"are too many; at most {MAX_ALIASES} are kept")
        return aliases[:MAX_ALIASES]
    return aliases


def _object(row: RowReader, column: str) -> dict[str, Any] | None:
    value = row.row.get(column)
    if value in (None, ""):
        return None
    if isinstance(value, str):
        with suppress(orjson.JSONDecodeError):  # then it is refused below, as all that is no object
            value = orjson.loads(value)
    if not isinstance(value, dict) or rb"\u0000" in orjson.dumps(value):
        row.drop(column, value, "is not a JSON object without NUL characters")
        return None
    return value


def _attributes(row: RowReader) -> dict[str, str]:
    found = {}
    for name, value in (_object(row, "attributes") or {}).items():
        plain = isinstance(value, str | int | float) and not isinstance(value, bool)
        if plain and 0 < len(str(value)) <= MAX_ATTRIBUTE_LENGTH:
            found[name] = str(value)
        else:
            row.drop(
                f"attributes.{name}", value, f"must be a text of at most {MAX_ATTRIBUTE_LENGTH} characters"
            )
    return found

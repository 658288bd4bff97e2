"""The one projection: an instrument's row to the hash that RediSearch indexes and the JSON that callers get.

Full rebuilds, refreshes and single reads from Postgres all come through here, so that an instrument
looks the same wherever it is read from.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, Protocol

import orjson

from app.domain.identifiers import IDENTIFIER_FIELDS
from app.domain.instrument import decimal_text, public_id
from app.domain.ranking import prominence, rank
from app.domain.text import symbol_key, words
from app.search.schema import SEPARATOR, tag_value


class Row(Protocol):
    """A row of the statement fragment `instrument_columns`: columns by name; jsonb as text."""

    def __getitem__(self, column: str, /) -> Any: ...


MAX_SHORT_PREFIX: Final = 2
"""Prefixes of up to this many characters are indexed as values of their own.

A prefix query expands to every term that begins so, and RediSearch stops expanding at a limit: with
one letter it would miss documents without a word.
"""

_JSON_OPTIONS: Final = orjson.OPT_UTC_Z | orjson.OPT_PASSTHROUGH_SUBCLASS


def instrument_json(row: Row) -> bytes:
    """The instrument as the contract shows it, finished for sending."""
    contract, attributes = row["contract"], row["attributes"]
    return orjson.dumps(
        {
            "id": public_id(row["id"]),
            "symbol": row["symbol"],
            "name": row["name"],
            "asset_class": row["asset_class"],
            "status": row["status"],
            "mic": row["mic"],
            "exchange": row["exchange"],
            "currency": row["currency"],
            "country": row["country"],
            "sector": row["sector"],
            "industry": row["industry"],
            "identifiers": {name: row[name] for name in IDENTIFIER_FIELDS},
            "primary": row["is_primary"],
            "cfi": row["cfi"],
            "aliases": row["aliases"],
            "listed_on": row["listed_on"],
            "delisted_on": row["delisted_on"],
            "tick_size": row["tick_size"],
            "lot_size": row["lot_size"],
            "contract": None if contract is None else orjson.Fragment(contract),
            "attributes": orjson.Fragment(attributes),
            "version": row["version"],
            "updated_at": row["updated_at"],
        },
        default=decimal_text,
        option=_JSON_OPTIONS,
    )


def document_values(row: Row) -> tuple[str | bytes | int, ...]:
    """The values of `schema.FIELDS`, in that order; "" where there is none, so that none is left over."""
    number = row["id"]
    symbol = tag_value(symbol_key(row["symbol"]))
    name_words = words(row["name"])
    aliases = [symbol_key(alias) for alias in row["aliases"]]
    points = prominence(
        row["status"], row["asset_class"], row["size_class"], row["mic"], primary=row["is_primary"]
    )
    return (
        row["version"],
        instrument_json(row),
        symbol,
        _tags(row[name] for name in IDENTIFIER_FIELDS),
        " ".join(name_words),
        name_words[0] if name_words else "",
        _tags(_short_prefixes(symbol, *name_words[:1], *aliases)),
        _tags(aliases),
        row["asset_class"],
        row["mic"] or "",
        row["currency"] or "",
        row["country"] or "",
        tag_value(row["sector"] or ""),
        row["status"],
        rank(points, number),
        _microseconds(row["updated_at"]),
    )


def _tags(values: Iterable[str | None]) -> str:
    """The values of one TAG field, each once."""
    return SEPARATOR.join(dict.fromkeys(tag_value(value) for value in values if value))


def _short_prefixes(*texts: str) -> list[str]:
    return [text[:length].lower() for text in texts for length in range(1, MAX_SHORT_PREFIX + 1)]


def _microseconds(time: datetime) -> int:
    return round(time.timestamp() * 1_000_000)

"""The one projection: an instrument's row to the hash that RediSearch indexes and the JSON that callers get.

Full rebuilds, refreshes and single reads from Postgres all come through here, so that an instrument
looks the same wherever it is read from.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

import orjson

from app.domain.identifiers import IDENTIFIER_FIELDS
from app.domain.instrument import AssetClass, decimal_text, public_id
from app.domain.names import core_words, name_key, read_name
from app.domain.ranking import points_of, prominence, rank
from app.domain.sort_key import NAMES, SYMBOLS
from app.domain.symbols import roots
from app.domain.text import symbol_key
from app.search.lanes import lane_key, lane_of
from app.search.schema import SEPARATOR, tag_value
from app.search.stored_json import stored


class Row(Protocol):
    """A row of the statement fragment `instrument_columns`: columns by name; jsonb as text."""

    def __getitem__(self, column: str, /) -> Any: ...


MAX_SHORT_PREFIX: Final = 2
"""Prefixes of up to this many characters are indexed as values of their own.

A prefix query expands to every term that begins so, and RediSearch stops expanding at a limit: with
one letter it would miss documents without a word.
"""
WORD_START: Final = 3
"""The beginnings of a name's words are indexed up to this length: a prefix so short begins hundreds of words,
and RediSearch opens the list of each."""

_JSON_OPTIONS: Final = orjson.OPT_UTC_Z | orjson.OPT_PASSTHROUGH_SUBCLASS


def instrument_json(row: Row) -> bytes:
    """The instrument as the API shows it, finished for sending."""
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


def document_values(row: Row) -> tuple[str | bytes, ...]:
    """The values of `schema.FIELDS`, in that order; "" where there is none, so that none is left over."""
    asset_class, symbol = row["asset_class"], tag_value(symbol_key(row["symbol"]))
    name = read_name(row["name"])
    aliases = [tag_value(symbol_key(alias)) for alias in row["aliases"]]
    searched = " ".join(name.searched)
    # EUR/USD is not USD/EUR, whose words are the same.
    is_ordered = asset_class == AssetClass.CURRENCY
    lane = lane_of(asset_class, row["status"], row["currency"] or "")
    keys = (
        row_rank(row, name.words),
        _microseconds(row["updated_at"]),
        NAMES.key(searched),
        SYMBOLS.key(symbol),
    )
    return (
        str(row["version"]),
        stored(instrument_json(row)),
        symbol,
        _tags(roots(symbol, row["mic"], asset_class, row["name"])),
        _tags([row[kind] for kind in IDENTIFIER_FIELDS]),
        searched,
        "" if is_ordered else name_key(core_words(name.words, asset_class)),
        _tags(name.first),
        _tags(_short_prefixes(symbol, *name.words[:1], *aliases)),
        _tags(word[:WORD_START] for word in name.searched),
        _tags(aliases),
        asset_class,
        row["mic"] or "",
        row["currency"] or "",
        row["country"] or "",
        tag_value(row["sector"] or ""),
        row["status"],
        *map(str, keys),
        *(str(lane_key(lane, key)) for key in keys),
    )


def row_rank(row: Row, name_words: Sequence[str]) -> int:
    """The sort key by relevance: ascending order is most prominent first."""
    return rank(prominence(points_of(row, name_words)), row["id"])


def _tags(values: Iterable[str | None]) -> str:
    """The values of one TAG field, each once; none holds a separator."""
    return SEPARATOR.join(filter(None, dict.fromkeys(values)))


def _short_prefixes(*texts: str) -> list[str]:
    return [text[:length].lower() for text in texts for length in range(1, MAX_SHORT_PREFIX + 1)]


def _microseconds(time: datetime) -> int:
    return round(time.timestamp() * 1_000_000)

"""A batch of identifiers to RediSearch expressions: many in one, for one search for each would cost more.

Values are `PARAMS`, as in `app.search.expression`. An expression finds candidates: `identifiers` holds all
kinds together, so `app.search.lookup_match` looks at each document again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Final

from app.domain.identifiers import IDENTIFIER_FIELDS
from app.domain.lookup import ALIAS, SYMBOL, Sought
from app.search.schema import tag_value

KEYS_AT_ONCE: Final = 100
"""In one expression, unless one identifier alone has more."""
_FIELDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(IDENTIFIER_FIELDS, "identifiers"),
    SYMBOL: "symbol",
    ALIAS: "aliases",
}
_REMEMBERED: Final = 256
"""Kinds of identifiers that are sought together."""


@dataclass(frozen=True, slots=True)
class LookupSearch:
    """One search for those of a batch that stand at `places`; `parameters` are name and value in turn."""

    places: tuple[int, ...]
    expression: str
    parameters: tuple[str, ...]


def lookup_searches(sought: Mapping[int, Sought]) -> list[LookupSearch]:
    """The searches that find all candidates of a batch, given by place; ids are in none."""
    return [
        found for places in _chunks(sought) if (found := _search(places, [sought[place] for place in places]))
    ]


def single_search(place: int, sought: Sought) -> LookupSearch | None:
    """The search for one alone, narrowed as far as the index can; None where nothing can hold its keys."""
    search = _search((place,), [sought])
    if search is None:
        return None
    narrowing = {
        "mic": sought.mics,
        "currency": sought.currency and (sought.currency,),
        "asset_class": sought.asset_classes,
        "status": sought.statuses,
    }
    parameters = list(search.parameters)
    parts = [f"({search.expression})"]
    for field, values in narrowing.items():
        if values:
            parts.append(f"@{field}:{{{_added(sorted(values), parameters)}}}")
    return LookupSearch(search.places, " ".join(parts), tuple(parameters))


def _chunks(sought: Mapping[int, Sought]) -> Iterator[tuple[int, ...]]:
    chunk: list[int] = []
    keys = 0
    for place, one in sought.items():
        if chunk and keys + len(one.keys) > KEYS_AT_ONCE:
            yield tuple(chunk)
            chunk, keys = [], 0
        chunk.append(place)
        keys += len(one.keys)
    if chunk:
        yield tuple(chunk)


def _search(places: tuple[int, ...], sought: Sequence[Sought]) -> LookupSearch | None:
    by_field: dict[str, dict[str, None]] = {}
    for one in sought:
        keys = dict.fromkeys(filter(None, map(tag_value, one.keys)))
        for field in _fields(one.kinds):
            by_field.setdefault(field, {}).update(keys)
    parameters: list[str] = []
    parts = [f"@{field}:{{{_added(values, parameters)}}}" for field, values in by_field.items() if values]
    return LookupSearch(places, " | ".join(parts), tuple(parameters)) if parts else None


@lru_cache(_REMEMBERED)
def _fields(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Of the index, those that hold identifiers of these kinds."""
    return tuple(dict.fromkeys(_FIELDS[kind] for kind in kinds if kind in _FIELDS))


def _added(values: Iterable[str], parameters: list[str]) -> str:
    """References to the values, which become parameters."""
    first = len(parameters) // 2
    named = [(f"p{number}", value) for number, value in enumerate(values, first)]
    parameters += chain.from_iterable(named)
    return "|".join(f"${name}" for name, _ in named)

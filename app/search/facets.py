"""Facets: how often each value of a filter's field occurs among the hits of a search."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson

from app.search.expression import Plan
from app.search.schema import tag_value

Counts: TypeAlias = Mapping[str, Counter[bytes]]
"""Of each facet that was asked for: its values, b"" for none, and how many hits have each."""

_COUNT: Final = "hits"


@dataclass(frozen=True, slots=True)
class FacetValue:
    value: str
    count: int


@dataclass(frozen=True, slots=True)
class Facet:
    """The counts of `values`, `other` and `missing` add up to the hits of the search."""

    values: list[FacetValue]
    """Those that most hits have, most first."""
    other: int
    """Hits with another value."""
    missing: int
    """Hits without a value."""


def facets_of(counts: Counts, limit: int) -> dict[str, Facet]:
    """Each facet with up to `limit` values; of values with as many hits, the alphabetically first."""
    return {name: _facet(counted, limit) for name, counted in counts.items()}


def _facet(counted: Counter[bytes], limit: int) -> Facet:
    valued = [(value, count) for value, count in counted.items() if value]
    valued.sort(key=lambda item: (-item[1], item[0]))
    return Facet(
        [FacetValue(value.decode(), count) for value, count in valued[:limit]],
        other=sum(count for _, count in valued[limit:]),
        missing=counted[b""],
    )


def hits_counted(counts: Counts) -> int:
    """How many hits were counted: each once in every facet."""
    return next(iter(counts.values())).total()


def with_instruments(counts: Counts, instruments: Sequence[bytes]) -> Counts:
    """The counts with these hits besides, which are the finished JSON of instruments."""
    found = [orjson.loads(instrument) for instrument in instruments]
    return {
        name: counted + Counter(tag_value(instrument[name] or "").encode() for instrument in found)
        for name, counted in counts.items()
    }


def aggregate_arguments(index: str, plan: Plan, facets: Sequence[str], timeout_ms: int) -> list[str | int]:
    """The command that counts the hits of a plan by their values of all facets together.

    One pass over the hits costs less than one for each facet: finding and loading them is the work.
    """
    expression = " | ".join(f"({tier.expression})" for tier in plan.tiers)
    arguments: list[str | int] = ["FT.AGGREGATE", index, expression]
    arguments += ["GROUPBY", len(facets), *(f"@{name}" for name in facets)]
    arguments += ["REDUCE", "COUNT", 0, "AS", _COUNT]
    arguments += ["PARAMS", len(plan.parameters), *plan.parameters]
    return [*arguments, "TIMEOUT", timeout_ms, "DIALECT", 2]


def parse_groups(reply: Mapping[bytes, Any], facets: Sequence[str]) -> tuple[Counts, tuple[str, ...]]:
    """What `aggregate_arguments` was answered (RESP3), and its warnings: why there may be more hits."""
    groups = [result[b"extra_attributes"] for result in reply[b"results"]]
    # A search that ran out of time ends with a group of nothing.
    rows = [(group, int(group[_COUNT.encode()])) for group in groups if group]
    counts = {
        name: counted((group.get(name.encode()) or b"", hits) for group, hits in rows) for name in facets
    }
    return counts, tuple(warning.decode() for warning in reply.get(b"warning", ()))


def counted(values: Iterable[tuple[bytes, int]]) -> Counter[bytes]:
    """How many have each value, which may come several times."""
    total: Counter[bytes] = Counter()
    for value, count in values:
        total[value] += count
    return total

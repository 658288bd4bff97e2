"""Cells: how many documents have the same values of all filters.

The scripts that write and remove documents keep these counts beside them (`app/store/lua/cells.lua`), for
counting a quarter of a million documents would hold up everybody else for half a second.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, lru_cache, partial
from itertools import chain
from operator import itemgetter
from typing import Final, TypeAlias

from app.domain.query import FILTERS, Search
from app.search.facets import Counts, counted
from app.search.lanes import Lanes, lane_of
from app.search.schema import KEY_OF, tag_value

CELL_KEYS: Final = tuple(KEY_OF[name] for name in FILTERS)
"""The fields of a document whose values name its cell."""
VERSION: Final = b"version"
"""Beside the cells: another one after each change of them."""
CHANGED: Final = b"changed"
"""Beside them as well: another one after each change of any document."""
_STATUS: Final = FILTERS.index("status")
_lane_values: Final = itemgetter(*map(FILTERS.index, ("asset_class", "status", "currency")))
_SEPARATOR: Final = b"\x1f"
"""Between the values in a cell's name; whitespace to `tag_value`, so that no value holds it."""
_KEPT: Final = 256
"""Facets, and totals, that are counted once for one version of the cells."""

Filters: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]
"""Those of a search, hashable."""


def cell_name(values: Sequence[bytes]) -> bytes:
    """The field of the hash that counts the documents with these values of `CELL_KEYS`."""
    return _SEPARATOR.join(values)


class Cells:
    """The cells of one generation in one version."""

    def __init__(self, fields: Mapping[bytes, bytes]) -> None:
        self.version = fields[VERSION]
        self._cells = [
            _Cell(name.split(_SEPARATOR), name.lower().split(_SEPARATOR), int(count))
            for name, count in fields.items()
            if name not in (VERSION, CHANGED)
        ]
        self.documents = sum(cell.documents for cell in self._cells)
        # None refers to this object: what no longer holds goes with the last who uses it, and does not
        # wait for a collection of garbage, which comes seldom.
        matching = partial(_matching, self._cells, cache(partial(_by_value, self._cells)))
        self._counts = lru_cache(_KEPT)(partial(_count, matching))
        self._sums = lru_cache(_KEPT)(partial(_sum, matching))

    def count(self, search: Search) -> Counts:
        """The facets of a search that has no text."""
        filters = tuple(search.filters.items())
        return {name: self._counts(filters, name) for name in search.facets}

    def total(self, search: Search) -> int:
        """How many documents a search has that has no text."""
        return self._sums(tuple(search.filters.items()))[0]

    def lanes(self, search: Search) -> Lanes:
        """The lanes of these documents."""
        return self._sums(tuple(search.filters.items()))[1]


class _Cell:
    __slots__ = ("documents", "folded", "values")

    def __init__(self, values: list[bytes], folded: list[bytes], documents: int) -> None:
        self.values = values
        self.folded = folded
        """In lower case, as RediSearch compares them: ASCII alone, for its versions differ about the rest."""
        self.documents = documents


def _by_value(cells: list[_Cell], place: int) -> dict[bytes, list[_Cell]]:
    having: dict[bytes, list[_Cell]] = {}
    for cell in cells:
        having.setdefault(cell.folded[place], []).append(cell)
    return having


def _count(matching: "_Matching", filters: Filters, facet: str) -> Counter[bytes]:
    place = FILTERS.index(facet)
    return counted((cell.values[place], cell.documents) for cell in matching(filters))


def _sum(matching: "_Matching", filters: Filters) -> tuple[int, Lanes]:
    total = 0
    lanes = set()
    for cell in matching(filters):
        total += cell.documents
        lanes.add(_lane_values(cell.values))
    return total, frozenset(map(_lane, lanes))


def _matching(
    cells: list[_Cell], having: Callable[[int], Mapping[bytes, list[_Cell]]], filters: Filters
) -> Iterator[_Cell]:
    """Looks through those alone that the narrowest filter lets through; status lets nearly all."""
    narrowest = cells
    for place, values in _wanted(filters):
        if place == _STATUS:
            continue
        by_value = having(place)
        found = list(chain.from_iterable(by_value.get(value, ()) for value in values))
        narrowest = min(narrowest, found, key=len)
    lets_through = filter_of(filters)
    return (cell for cell in narrowest if lets_through(cell.folded))


_Matching: TypeAlias = Callable[[Filters], Iterator[_Cell]]


def is_countable(search: Search) -> bool:
    """Whether cells can say how many hits a search has: without a text, and where no case is in doubt."""
    return not search.text and all(value.isascii() for values in search.filters.values() for value in values)


def lane_of_cell(values: Sequence[bytes]) -> int:
    """The lane of what has these values of `CELL_KEYS`."""
    return _lane(_lane_values(values))


def _lane(values: tuple[bytes, bytes, bytes]) -> int:
    asset_class, status, currency = values
    return lane_of(asset_class.decode(), status.decode(), currency.decode())


def filter_of(filters: Filters) -> Callable[[Sequence[bytes]], bool]:
    """Whether filters let through what has these values of `CELL_KEYS`, in lower case."""
    wanted = _wanted(filters)
    return lambda folded: all(folded[place] in values for place, values in wanted)


def _wanted(filters: Filters) -> list[tuple[int, set[bytes]]]:
    """By place in `CELL_KEYS`, in lower case."""
    return [
        (FILTERS.index(name), {tag_value(value).lower().encode() for value in values})
        for name, values in filters
    ]

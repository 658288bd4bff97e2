"""Cells: how many documents have the same values of all filters.

The scripts that write and remove documents keep these counts beside them (`app/store/lua/cells.lua`), for
counting a quarter of a million documents would hold up everybody else for half a second.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Final, TypeAlias

from app.domain.query import FILTERS, Search
from app.search.facets import Counts, counted
from app.search.schema import KEY_OF, tag_value

CELL_KEYS: Final = tuple(KEY_OF[name] for name in FILTERS)
"""The fields of a document whose values name its cell."""
VERSION: Final = b"version"
"""Beside the cells: another one after each change of them."""
CHANGED: Final = b"changed"
"""Beside them as well: another one after each change of any document."""
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
        cells = [
            _Cell(name.split(_SEPARATOR), name.lower().split(_SEPARATOR), int(count))
            for name, count in fields.items()
            if name not in (VERSION, CHANGED)
        ]
        self.documents = sum(cell.documents for cell in cells)
        self._count = lru_cache(_KEPT)(partial(_count, cells))
        self._total = lru_cache(_KEPT)(partial(_total, cells))

    def count(self, search: Search) -> Counts:
        """The facets of a search that has no text."""
        filters = tuple(search.filters.items())
        return {name: self._count(filters, name) for name in search.facets}

    def total(self, search: Search) -> int:
        """How many documents a search has that has no text."""
        return self._total(tuple(search.filters.items()))


class _Cell:
    __slots__ = ("documents", "folded", "values")

    def __init__(self, values: list[bytes], folded: list[bytes], documents: int) -> None:
        self.values = values
        self.folded = folded
        """In lower case, as RediSearch compares them: ASCII alone, for its versions differ about the rest."""
        self.documents = documents


def is_countable(search: Search) -> bool:
    """Whether cells can say how many hits a search has: without a text, and where no case is in doubt."""
    return not search.text and all(value.isascii() for values in search.filters.values() for value in values)


def _count(cells: list[_Cell], filters: Filters, facet: str) -> Counter[bytes]:
    place = FILTERS.index(facet)
    return counted((cell.values[place], cell.documents) for cell in _matching(cells, filters))


def _total(cells: list[_Cell], filters: Filters) -> int:
    return sum(cell.documents for cell in _matching(cells, filters))


def _matching(cells: list[_Cell], filters: Filters) -> Iterator[_Cell]:
    lets_through = filter_of(filters)
    return (cell for cell in cells if lets_through(cell.folded))


def filter_of(filters: Filters) -> Callable[[Sequence[bytes]], bool]:
    """Whether filters let through what has these values of `CELL_KEYS`, in lower case."""
    wanted = [
        (FILTERS.index(name), {tag_value(value).lower().encode() for value in values})
        for name, values in filters
    ]
    return lambda folded: all(folded[place] in values for place, values in wanted)

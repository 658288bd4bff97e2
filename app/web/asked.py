"""Searches as query strings ask for them, remembered: a client asks the same again and again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol, cast

from app.domain.query import Search
from app.web.query_string import parse_pairs

_REMEMBERED: Final = 4_096
_MAX_LENGTH: Final = 500
"""Of a query string that is remembered."""


class Parse(Protocol):
    """`parse_search` or `parse_suggest`."""

    __name__: str

    def __call__(self, pairs: Sequence[tuple[str, str]], *, max_limit: int) -> Search: ...


@dataclass(slots=True)
class Asked:
    search: Search
    key: str
    """The same for all query strings that ask for the same."""


def read_asked(parse: Parse, query_string: str, max_limit: int) -> Asked:
    """Raises InvalidInput."""
    read = _remembered if len(query_string) <= _MAX_LENGTH else _read
    return read(parse, query_string, max_limit)


def _read(parse: Parse, query_string: str, max_limit: int) -> Asked:
    search = parse(parse_pairs(query_string), max_limit=max_limit)
    if search.is_plain:
        return Asked(search, f"{parse.__name__} {search.text_key}")
    identity = (
        *(parse.__name__, search.text_key, sorted(search.filters.items()), search.sort),
        *(search.limit, search.offset, search.cursor, search.highlight, search.fields),
        *(search.facets, search.facet_limit),
    )
    return Asked(search, repr(identity))


_remembered = cast("Callable[[Parse, str, int], Asked]", lru_cache(_REMEMBERED)(_read))

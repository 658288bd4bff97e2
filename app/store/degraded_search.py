"""Searches in Postgres, for as long as the index cannot be asked: bounded in everything.

Each way to match (an identifier or symbol, a symbol's beginning, words of a name) yields a few candidates by
an index of its own, and the best of those are ranked as the search index would. What is not among them is
not found, so no total is exact and no page leads to another.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from app import metrics
from app.domain.errors import PostgresUnavailable, SearchesExhausted
from app.domain.query import FILTERS, Search, Sort
from app.domain.text import fold, identifier_key, plain_words, symbol_key, words
from app.search.document import Row, instrument_json, row_rank
from app.search.page import Page
from app.store.instruments import SQL, StoredInstrument, read_instrument
from app.store.postgres import Connection, Postgres

LOOKED_AT: Final = 1000
"""Instruments that one way to match finds; how long it may look for them is bounded by time alone."""
CANDIDATES: Final = 200
"""Those of them that are ranked."""
TIMEOUT_S: Final = 1.0
_LAST_CHARACTER: Final = "\U0010ffff"
_BOUNDED: Final = (
    f"the search index cannot be asked, and of more than {CANDIDATES} instruments only some were looked at"
)

_SORT_KEYS: Final[dict[Sort, Callable[[Row], Any]]] = {
    Sort.SYMBOL: lambda row: row["symbol"],
    Sort.NAME: lambda row: fold(row["name"]),
    Sort.UPDATED_AT: lambda row: -row["updated_at"].timestamp(),
}


@dataclass(frozen=True, slots=True)
class _Way:
    """A statement that finds candidates, and what it looks for."""

    statement: str
    sought: tuple[Any, ...] = ()
    first_word: str | None = None
    """Names that begin so come first."""


class DegradedSearch:
    """No more than `max_at_once` at a time: the others are refused at once, and do not wait."""

    def __init__(self, postgres: Postgres, max_at_once: int) -> None:
        self._postgres = postgres
        self._max_at_once = max_at_once
        self._running = 0

    async def search(self, search: Search, *, inner_words: bool) -> Page:
        """The first hits. Raises SearchesExhausted and PostgresUnavailable."""
        async with self.one_more() as connection:
            return await _page(connection, search, inner_words=inner_words)

    async def instrument(self, number: int) -> StoredInstrument | None:
        """One instrument. Raises SearchesExhausted and PostgresUnavailable."""
        async with self.one_more() as connection:
            return await read_instrument(connection, number)

    @asynccontextmanager
    async def one_more(self) -> AsyncIterator[Connection]:
        """A connection for one of them, for TIMEOUT_S. Raises SearchesExhausted and PostgresUnavailable."""
        if self._running >= self._max_at_once:
            metrics.DEGRADED_SEARCHES.labels("refused").inc()
            raise SearchesExhausted(
                f"the search index cannot be asked, and Postgres answers {self._max_at_once} others already"
            )
        self._running += 1
        result = "failed"
        try:
            async with asyncio.timeout(TIMEOUT_S), self._postgres.connection() as connection:
                yield connection
            result = "answered"
        except TimeoutError as error:
            raise PostgresUnavailable(f"Postgres does not answer within {TIMEOUT_S:.0f} s") from error
        finally:
            self._running -= 1
            metrics.DEGRADED_SEARCHES.labels(result).inc()


async def _page(connection: Connection, search: Search, *, inner_words: bool) -> Page:
    filters = [_filter_values(search, name) for name in FILTERS]
    found: dict[int, Row] = {}
    bounded = False
    for way in _ways(search.text):
        rows = await connection.fetch(
            SQL[way.statement], *filters, LOOKED_AT, CANDIDATES, *way.sought, timeout=TIMEOUT_S
        )
        bounded = bounded or len(rows) == CANDIDATES
        for row in _best_first(rows, way, inner_words=inner_words):
            found.setdefault(row["id"], row)
        if search.sort is Sort.RELEVANCE and len(found) >= search.offset + search.limit:
            break
    hits = list(found.values())
    if (sort_key := _SORT_KEYS.get(search.sort)) is not None:
        hits.sort(key=sort_key)
    page = hits[search.offset : search.offset + search.limit]
    return Page(
        [instrument_json(row) for row in page],
        total=len(hits),
        generation=None,
        age_s=0.0,
        partial=_BOUNDED if bounded else None,
        next=None,
        plan="degraded",
    )


def _filter_values(search: Search, name: str) -> list[str] | None:
    """What the field may be; None: anything. Sectors are compared in lower case."""
    if name not in search.filters:
        return None
    return [value.lower() if name == "sector" else value for value in search.filters[name]]


def _ways(text: str) -> list[_Way]:
    """The ways in which an instrument can match, best first; the tiers of `app.search.expression`."""
    if not text:
        return [_Way("search_all")]
    key = symbol_key(text)
    if not key:
        return []
    ways = [
        _Way("search_exact", (key, identifier_key(key))),
        _Way("search_symbol_prefix", (key, key + _LAST_CHARACTER)),
    ]
    name_words = plain_words(text)
    if name_words:
        *whole, last = name_words
        query = " & ".join([*(f"'{word}'" for word in whole), f"'{last}':*"])
        ways.append(_Way("search_words", (query,), first_word=name_words[0]))
    return ways


def _best_first(rows: Sequence[Row], way: _Way, *, inner_words: bool) -> list[Row]:
    """The rows in the order of one tier; `inner_words`: also names that do not begin with the first word."""
    ranked = []
    for row in rows:
        is_inner = way.first_word is not None and not fold(row["name"]).startswith(way.first_word)
        if inner_words or not is_inner:
            ranked.append((is_inner, row_rank(row, words(row["name"])), row))
    return [row for *_, row in sorted(ranked, key=itemgetter(0, 1))]

"""Batches of identifiers: from those kept, looked up in the index, or in Postgres for as long as it cannot
be asked.

Who had a symbol on a past day is always read from Postgres: the index knows the present.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Container, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from app.domain.errors import CursorExpired, SearchesExhausted, SearchTimedOut
from app.domain.identifiers import IDENTIFIER_FIELDS
from app.domain.instrument import parse_public_id
from app.domain.lookup import ALIAS, ID, SYMBOL, Sought
from app.domain.text import words
from app.search.command import search_command
from app.search.document import Row, instrument_json, row_rank
from app.search.generation import state_key
from app.search.lookup_match import Matches, best_first, match_documents, match_holders
from app.search.lookup_plan import KEYS_AT_ONCE, LookupSearch, lookup_searches, single_search
from app.search.stored_json import finished
from app.store.degraded_search import TIMEOUT_S, DegradedSearch
from app.store.instruments import SQL
from app.store.lookup_cache import BatchReading, LookupCache
from app.store.postgres import Connection, Postgres
from app.store.redis_line import Command
from app.store.search_index import SearchIndex, documents_command
from app.store.searches import Searches
from app.store.source import Source

AT_FIRST: Final = 1_000
"""Documents that a search for many is asked for; where more match, each is searched for alone."""
LOOKED_AT: Final = 500
"""Documents that a search for one identifier is asked for."""
SINGLES_AT_ONCE: Final = KEYS_AT_ONCE
PATIENCE: Final = 4
"""A batch is waited for so much longer than one search."""
LARGE_AT_ONCE: Final = 2
"""Batches of more than KEYS_AT_ONCE that a process works on: Redis searches for one while another is read.

More would only wait for this process, and take that for a silence of Redis.
"""
TURN_S: Final = 2.0
"""So long such a batch waits for its turn."""
ROWS_LOOKED_AT: Final = 5_000
"""Of a whole batch, in Postgres."""


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What a batch names."""

    matches: Mapping[int, Matches]
    """By place in the batch."""
    source: Source
    generation: int | None
    """Of the index; None: Postgres was asked for all."""
    age_s: float


class Lookups:
    """Methods raise Unavailable where neither server can answer."""

    def __init__(
        self,
        searches: Searches,
        index: SearchIndex,
        degraded: DegradedSearch,
        postgres: Postgres,
        cache: LookupCache,
    ) -> None:
        self._searches = searches
        self._index = index
        self._degraded = degraded
        self._postgres = postgres
        self._cache = cache
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)

    async def look_up(self, sought: Sequence[Sought], *, is_fresh: bool = False) -> LookedUp:
        """What each names. Those of a past day are read from Postgres, all at once.

        `is_fresh`: nothing that is kept is wanted.
        """
        now = {place: one for place, one in enumerate(sought) if one.as_of is None}
        then = {place: one for place, one in enumerate(sought) if one.as_of is not None}
        found = await self._now(now, is_fresh=is_fresh) if now else LookedUp({}, Source.POSTGRES, None, 0.0)
        if not then:
            return found
        async with self._postgres.connection() as connection:
            return replace(found, matches={**found.matches, **await _holders(connection, then)})

    async def _now(self, sought: Mapping[int, Sought], *, is_fresh: bool) -> LookedUp:
        epoch = self._cache.epoch()  # before anything is read
        kept = {} if is_fresh else self._cache.kept(sought)
        readings = {one.reading for one in kept.values()}
        found = {place: one.matches for place, one in kept.items()}
        missing = {place: one for place, one in sought.items() if place not in kept}
        if not missing:
            (generation,) = {reading.generation for reading in readings}
            return LookedUp(found, Source.CACHE, generation, self._cache.age_s(readings))
        read = await self._searches.either(
            partial(self._in_index, missing), partial(self._in_postgres, missing)
        )
        if any(reading.generation != read.generation for reading in readings):
            # The index was replaced meanwhile, or cannot be asked any more.
            return await self._now(sought, is_fresh=True)
        if read.generation is None:
            return read
        reading = BatchReading(epoch, read.generation, read.age_s, time.monotonic())
        self._cache.keep(missing, read.matches, reading)
        age_s = self._cache.age_s({reading, *readings})
        return replace(read, matches={**found, **read.matches}, age_s=age_s)

    async def _in_index(self, sought: Mapping[int, Sought], *, timeout_ms: int) -> LookedUp:
        async def ask(generation: int) -> LookedUp:
            found = await _candidates(self._index, generation, sought, timeout_ms)
            return LookedUp(found, Source.REDIS, generation, await self._index.age_s(generation))

        async with self._turn(len(sought)):
            return await self._index.timed("lookup", len(sought), self._index.ask_live(ask))

    @asynccontextmanager
    async def _turn(self, count: int) -> AsyncIterator[None]:
        """A batch of so many is worked on inside. Raises SearchesExhausted where its turn does not come."""
        if count <= KEYS_AT_ONCE:
            yield
            return
        try:
            async with asyncio.timeout(TURN_S):
                await self._large.acquire()
        except TimeoutError as error:
            raise SearchesExhausted(
                f"too many large batches wait to be looked up; try again, or send up to {KEYS_AT_ONCE}"
            ) from error
        try:
            yield
        finally:
            self._large.release()

    async def _in_postgres(self, sought: Mapping[int, Sought]) -> LookedUp:
        async with self._degraded.one_more() as connection:
            return LookedUp(await _rows(connection, sought), Source.POSTGRES, None, 0.0)


async def _candidates(
    index: SearchIndex, generation: int, sought: Mapping[int, Sought], timeout_ms: int
) -> dict[int, Matches]:
    """What the index has for each: in one round trip, unless there is too much of something."""
    # 1. Searches for many identifiers each, and the documents of ids.
    searches = lookup_searches(sought)
    numbers = [number for one in sought.values() if (number := _number(one)) is not None]
    commands: list[Command] = [_command(generation, search, AT_FIRST, timeout_ms) for search in searches]
    if numbers:
        commands.append(documents_command(generation, numbers))
    commands.append(("EXISTS", state_key(generation)))
    *replies, is_there = await index.execute(commands, PATIENCE * timeout_ms)
    if not is_there:  # then what is missing says nothing
        raise CursorExpired("the index generation that was asked is gone")
    held = replies.pop() if numbers else []
    documents = finished([document for document in held if document is not None])
    found = _matches({place: one for place, one in sought.items() if ID in one.kinds}, documents)
    # 2. Those among which more match than were asked for, each by itself.
    singles: list[LookupSearch] = []
    for search, reply in zip(searches, replies, strict=True):
        documents, total = _whole(reply)
        if total > AT_FIRST:
            singles += filter(None, (single_search(place, sought[place]) for place in search.places))
        else:
            found |= _matches({place: sought[place] for place in search.places}, documents)
    for start in range(0, len(singles), SINGLES_AT_ONCE):
        some = singles[start : start + SINGLES_AT_ONCE]
        replies = await index.execute(
            [_command(generation, search, LOOKED_AT, timeout_ms) for search in some], PATIENCE * timeout_ms
        )
        for search, reply in zip(some, replies, strict=True):
            documents, total = _whole(reply)
            chosen = {place: sought[place] for place in search.places}
            found |= _matches(chosen, documents, is_partial=total > LOOKED_AT)
    return {place: found.get(place, Matches()) for place in sought}


def _number(sought: Sought) -> int | None:
    return parse_public_id(sought.keys[0]) if ID in sought.kinds else None


def _whole(reply: Any) -> tuple[list[bytes], int]:
    """A search's documents by rank, and how many match it. Raises SearchTimedOut if it left any out."""
    if warnings := reply.get(b"warning"):
        raise SearchTimedOut(f"the lookup was cut short: {b'; '.join(warnings).decode()}")
    fields = (result[b"extra_attributes"] for result in reply[b"results"])
    # A document that was removed between matching and loading comes without fields.
    return finished([held[b"json"] for held in fields if b"json" in held]), reply[b"total_results"]


def _matches(
    sought: Mapping[int, Sought], documents: Iterable[bytes], *, is_partial: bool = False
) -> dict[int, Matches]:
    return {
        place: Matches(best_first(matches), is_partial)
        for place, matches in match_documents(sought, documents).items()
    }


def _command(generation: int, search: LookupSearch, limit: int, timeout_ms: int) -> list[str | int]:
    return search_command(
        generation,
        search.expression,
        search.parameters,
        returned=["json"],
        limit=limit,
        timeout_ms=timeout_ms,
    )


async def _rows(connection: Connection, sought: Mapping[int, Sought]) -> dict[int, Matches]:
    """What Postgres has for each, bounded."""

    def keys_of(kinds: Container[str]) -> list[str]:
        return [
            key for one in sought.values() if any(kind in kinds for kind in one.kinds) for key in one.keys
        ]

    rows = await connection.fetch(
        SQL["lookup"],
        keys_of(IDENTIFIER_FIELDS),
        keys_of((SYMBOL,)),
        keys_of((ALIAS,)),
        [number for one in sought.values() if (number := _number(one)) is not None],
        ROWS_LOOKED_AT,
        timeout=TIMEOUT_S,
    )
    documents = [instrument_json(row) for row in _by_rank(rows)]
    return _matches(sought, documents, is_partial=len(rows) == ROWS_LOOKED_AT)


async def _holders(connection: Connection, sought: Mapping[int, Sought]) -> dict[int, Matches]:
    """Who had each symbol on its day."""
    asked = [(place, key, one.as_of) for place, one in sought.items() for key in one.keys]
    rows = await connection.fetch(SQL["symbol_holders"], *map(list, zip(*asked, strict=True)), LOOKED_AT)
    holders: dict[int, list[tuple[str, bytes]]] = {place: [] for place in sought}
    for row in _by_rank(rows):
        holders[row["place"]].append((row["key"], instrument_json(row)))
    return {
        place: Matches(best_first(match_holders(one, holders[place])), len(holders[place]) >= LOOKED_AT)
        for place, one in sought.items()
    }


def _by_rank(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row_rank(row, words(row["name"])))

"""Searches: in the index, or in Postgres for as long as the index cannot be asked."""

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import Any, Final, TypeVar

from app.domain.cursor import Cursor
from app.domain.errors import (
    CursorExpired,
    IndexNotReady,
    RedisUnavailable,
    SearchesExhausted,
    SearchTimedOut,
)
from app.domain.query import Search, Sort
from app.domain.ranking import Way
from app.parameters.live import LiveParameters
from app.search.command import profile_command, profile_of
from app.search.expression import PINNED, SUGGESTED, Plan, exact_plan, search_plan, typo_plan
from app.search.facets import with_instruments
from app.search.page import Page
from app.search.typos import nearest_first
from app.store.cell_counts import CellCounts
from app.store.degraded_search import DegradedSearch
from app.store.exact_pages import ExactPages
from app.store.facets import Facets
from app.store.instruments import StoredInstrument
from app.store.ordered_pages import OrderedPages
from app.store.pins import Pins
from app.store.ranked_pages import RankedPages
from app.store.search_index import REPLY_GRACE_S, SearchIndex
from app.store.source import Source

MORE_SHARES: Final = 2
"""For how many more shares of its time Redis is waited for where Postgres has no room."""
ENOUGH: Final = 2
"""Of more hits than these none is a guess."""
SURE_WAYS: Final = (PINNED, Way.EXACT, Way.NAMED)
"""What was found so is what was meant."""
SURE_WAYS_OF_WORDS: Final = (*SURE_WAYS, Way.BEGINNING)
"""The same where several words were asked for: a name that begins with them is no accident."""
NEAR_LOOKED_AT: Final = 100
"""Names that are nearly what was asked for, with so many letters wrong, of which the nearest come first."""
_CANNOT_BE_ASKED: Final = (CursorExpired, IndexNotReady, RedisUnavailable, SearchTimedOut)
"""Without a cursor: a generation that is gone by the second question is as good as none."""
_Answer = TypeVar("_Answer")


class Plans(StrEnum):
    """How a search is carried out; names it in metrics and answers."""

    EXACT = "exact"
    """What has this identifier, or this symbol at the venue that is named with it; and nothing else."""
    RANKED = "ranked"
    """All ways in which a text is found, by relevance."""
    SORTED = "sorted"
    """What a text finds, in another order."""
    CATALOG = "catalog"
    """What the filters let through."""
    SUGGEST = "suggest"
    NEAR = "near"
    """Names that are nearly what was typed."""
    FACETS = "facets"


class Searches:
    """Methods raise Unavailable where neither server can answer."""

    def __init__(
        self, index: SearchIndex, degraded: DegradedSearch, pins: Pins, parameters: LiveParameters
    ) -> None:
        cells = CellCounts(index)
        self._index = index
        self._exact = ExactPages(index)
        self._ranked = RankedPages(index)
        self._ordered = OrderedPages(index, cells, parameters)
        self._facets = Facets(index, cells)
        self._degraded = degraded
        self._pins = pins
        self._parameters = parameters
        self._share_ms = max(1, index.share_ms - round(REPLY_GRACE_S * 1000))
        self._more_ms = MORE_SHARES * index.share_ms

    @property
    def _timeout_ms(self) -> int:
        return min(self._parameters.search_timeout, self._share_ms)

    @property
    def _more_timeout_ms(self) -> int:
        return min(self._parameters.search_timeout, self._more_ms)

    async def search(self, search: Search, cursor: Cursor | None, *, guess: bool = True) -> Page:
        """A cursor leads on in the index alone; with one, raises CursorExpired and SearchTimedOut besides.

        `guess`: where a first page has few hits, names that are nearly what was asked for follow.
        """
        if cursor is not None:
            return await self._page(search, cursor, timeout_ms=self._timeout_ms)
        try:
            page = await self._page(search, None, timeout_ms=self._timeout_ms)
        except _CANNOT_BE_ASKED:
            ask = partial(self._page, search, None)
            page = await self._instead(ask, partial(self._degraded.search, search, inner_words=True))
        if not guess:
            return page
        is_whole = page.next is None and page.partial is None and not search.offset
        sure_ways = SURE_WAYS_OF_WORDS if " " in search.text else SURE_WAYS
        is_sure = bool(page.found) and page.found[0].way in sure_ways
        if page.total <= ENOUGH and is_whole and not is_sure and search.sort is Sort.RELEVANCE:
            return await self._with_near_names(search, page)
        return page

    async def _with_near_names(self, search: Search, page: Page) -> Page:
        plan = typo_plan(search)
        if not plan.tiers or page.generation is None:
            return page
        try:
            hits, reason = await self._index.timed(
                Plans.NEAR,
                search,
                self._ranked.best_of_each(page.generation, plan, NEAR_LOOKED_AT, self._timeout_ms),
            )
        except _CANNOT_BE_ASKED:
            page.is_lasting = False  # what was found exactly is an answer, for now
            return page
        page.is_lasting = reason is None
        near = [found for found in nearest_first(search.text, hits) if found.hit.json not in page.hits]
        shown = [found.hit for found in near[: search.limit - len(page.hits)]]
        if not shown:
            return page
        return replace(
            page,
            hits=[*page.hits, *(hit.json for hit in shown)],
            found=[*page.found, *shown],
            total=page.total + len(shown),
            did_you_mean=None if page.hits else near[0].meant,
            counts=page.counts and with_instruments(page.counts, [hit.json for hit in shown]),
            plan=Plans.NEAR,
        )

    async def _page(self, search: Search, cursor: Cursor | None, *, timeout_ms: int) -> Page:
        """A page of the index, with what is pinned for the query before all else."""
        if cursor is None:
            generation, pinned = None, self._pins.of(search)
        else:
            generation, pinned = cursor.generation, cursor.pinned
        is_first = cursor is None and not search.offset and search.sort is Sort.RELEVANCE
        may_be_short = self._parameters.query_optimization and is_first and not pinned
        if may_be_short and (plan := exact_plan(search)) is not None:
            page = await self._exact.page(Plans.EXACT, plan, search, timeout_ms)
            if page is not None:
                return await self._with_facets(page, search, plan, timeout_ms) if search.facets else page
        ranks = await self._index.read_ranks(pinned, generation) if pinned else ()
        plan = search_plan(search, pinned=ranks)
        page = await self._carry_out(_plan_of(search), search, plan, cursor, timeout_ms)
        if page.next is None or not pinned:
            return page
        return replace(page, next=replace(page.next, pinned=pinned))

    async def _carry_out(
        self,
        name: Plans,
        search: Search,
        plan: Plan,
        cursor: Cursor | None,
        timeout_ms: int,
    ) -> Page:
        def ask(generation: int) -> Awaitable[Page]:
            if name in (Plans.CATALOG, Plans.SORTED):
                return self._ordered.page(generation, search, plan, cursor, timeout_ms)
            if cursor is not None:
                return self._ranked.following(cursor, plan, search.limit, timeout_ms)
            return self._ranked.first(generation, plan, search.limit, search.offset, timeout_ms)

        started = time.monotonic()
        try:
            page = await (self._index.ask_live(ask) if cursor is None else ask(cursor.generation))
        finally:
            self._index.observe(name, search, started)
        page.plan = name
        if search.facets:
            return await self._with_facets(page, search, plan, timeout_ms, is_first=cursor is None)
        return page

    async def _with_facets(
        self, page: Page, search: Search, plan: Plan, timeout_ms: int, *, is_first: bool = True
    ) -> Page:
        if page.generation is None:
            return page
        counting = self._facets.count(page.generation, search, plan, timeout_ms)
        counts, warnings = await self._index.timed(Plans.FACETS, search, counting)
        return page.with_counts(counts, warnings, is_first=is_first)

    async def profiles(self, page: Page) -> list[dict[str, Any]]:
        """What Redis was asked for a page's hits, and where its time goes when it is asked once more; nothing
        where it was not asked, or cannot be."""
        commands = page.commands()
        if not commands:
            return []
        try:
            replies = await self._index.execute(list(map(profile_command, commands)), self._timeout_ms)
        except _CANNOT_BE_ASKED:
            return []
        return list(map(profile_of, commands, replies))

    async def suggest(self, search: Search) -> Page:
        """The instruments whose symbol, alias or name begins as the text does."""
        ask = partial(self._carry_out, Plans.SUGGEST, search, search_plan(search, SUGGESTED), None)
        return await self.either(ask, partial(self._degraded.search, search, inner_words=False))

    async def selection(self, search: Search, cursor: Cursor | None, timeout_ms: int) -> Page:
        """A page of what a saved search selects, which the index alone tells; pins have no say in it."""
        return await self._carry_out(_plan_of(search), search, search_plan(search), cursor, timeout_ms)

    async def either(
        self, ask: Callable[..., Awaitable[_Answer]], ask_postgres: Callable[[], Awaitable[_Answer]]
    ) -> _Answer:
        """What the index says, or Postgres while it cannot be asked. `ask` is told how long it may take."""
        with suppress(*_CANNOT_BE_ASKED):
            return await ask(timeout_ms=self._timeout_ms)
        return await self._instead(ask, ask_postgres)

    async def _instead(
        self, ask: Callable[..., Awaitable[_Answer]], ask_postgres: Callable[[], Awaitable[_Answer]]
    ) -> _Answer:
        try:
            return await ask_postgres()
        except SearchesExhausted:
            # Perhaps a pause, which many met at once. If not, the circuit is open or opens soon.
            with suppress(*_CANNOT_BE_ASKED):
                return await ask(timeout_ms=self._more_timeout_ms)
            raise

    async def instrument(self, number: int) -> tuple[StoredInstrument | None, Source]:
        """An instrument as the index has it, or where it cannot be asked, as Postgres does."""
        try:
            found = await self._index.read_instrument(number)
        except _CANNOT_BE_ASKED:
            return await self._degraded.instrument(number), Source.POSTGRES
        return (None if found is None else StoredInstrument(*found)), Source.REDIS


def _plan_of(search: Search) -> Plans:
    """How everything is found that a search finds."""
    if not search.text:
        return Plans.CATALOG
    return Plans.RANKED if search.sort is Sort.RELEVANCE else Plans.SORTED

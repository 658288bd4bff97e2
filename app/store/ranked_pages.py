"""Pages of what a text finds, by relevance: the hits of all tiers of its plan in one order."""

from collections.abc import Awaitable, Iterable, Sequence
from functools import lru_cache, partial
from operator import attrgetter
from typing import Final, NamedTuple

from app import metrics
from app.domain.cursor import Cursor
from app.domain.ranking import begins_lead, with_lead
from app.search.command import Head, packed
from app.search.expression import Plan, Tier
from app.search.page import Page
from app.search.reply import Hit, TierReply, finish, parse_reply
from app.search.stored_json import finished
from app.store.redis_line import Command
from app.store.search_index import SearchIndex

WINDOW: Final = 20
"""Of the hits of a text so many are put in order by what only their names tell, whatever a page holds."""
_REMEMBERED: Final = 1_024
"""Heads of searches; many texts have the same."""
_UNKNOWN: Final = -1
_BY_KEY: Final = attrgetter("key")


class RankedPages:
    """Methods raise CursorExpired where the generation is gone, RedisUnavailable and SearchTimedOut."""

    def __init__(self, index: SearchIndex) -> None:
        self._index = index

    def first(self, generation: int, plan: Plan, limit: int, offset: int, timeout_ms: int) -> Awaitable[Page]:
        """One page from `offset` on."""
        if offset < WINDOW:
            return self._window_page(Cursor(generation, None, offset, _UNKNOWN), plan, limit, timeout_ms)
        return self._far_page(generation, plan, limit, offset, timeout_ms)

    def following(self, cursor: Cursor, plan: Plan, limit: int, timeout_ms: int) -> Awaitable[Page]:
        """The page that a cursor leads to."""
        if cursor.after is None or cursor.in_window:
            return self._window_page(cursor, plan, limit, timeout_ms)
        return self._page(cursor, plan, limit, timeout_ms, [])

    async def _far_page(self, generation: int, plan: Plan, limit: int, offset: int, timeout_ms: int) -> Page:
        # Only the keys of all that come before tell where they end.
        before = await self._ask(generation, None, plan, offset, timeout_ms, with_json=False)
        keys = _merged(plan, before)[:offset]
        if not keys:
            return await self._made(generation, plan, (), before.total, [before], None)
        start = Cursor(generation, keys[-1].key, 0, before.total)
        return await self._page(start, plan, limit, timeout_ms, [before])

    async def best_of_each(
        self, generation: int, plan: Plan, limit: int, timeout_ms: int
    ) -> tuple[list[Hit], str | None]:
        """Up to `limit` hits of each of a plan's tiers, tier by tier; and why some may be missing, if so."""
        found = await self._ask(generation, None, plan, limit, timeout_ms)
        return finish(_hits(plan, found)), cut_short(found.replies)

    async def _page(
        self, start: Cursor, plan: Plan, limit: int, timeout_ms: int, before: Sequence["_Found"]
    ) -> Page:
        """The hits beyond a key; `before` is what told which."""
        found = await self._ask(start.generation, start.after, plan, limit, timeout_ms)
        taken = _merged(plan, found)[:limit]
        following = None
        if taken and found.total > len(taken):
            following = Cursor(start.generation, taken[-1].key, 0, start.total)
        return await self._made(start.generation, plan, taken, start.total, [*before, found], following)

    async def _window_page(self, start: Cursor, plan: Plan, limit: int, timeout_ms: int) -> Page:
        """The page from `start`, which is among the first hits: those are put in order together."""
        # How many of them lie before a cursor is not known yet, but it is within the window.
        asked = WINDOW + limit if start.in_window else max(WINDOW, start.skip + limit)
        found = await self._ask(start.generation, None, plan, asked, timeout_ms)
        merged = hits = _merged(plan, found)
        if plan.typed:
            hits = [*_as_typed(plan, merged[:WINDOW]), *merged[WINDOW:]]
        skip = start.skip
        if start.after is not None:
            skip = sum(hit.key <= start.after for hit in hits[:WINDOW])
        taken = hits[skip : skip + limit]
        end = skip + len(taken)
        total = found.total if start.total == _UNKNOWN else start.total
        following = None
        if taken and found.total > end:
            # Beyond the window nothing is moved, so what follows it follows its last key as it was.
            last = taken[-1] if end < WINDOW else merged[end - 1]
            following = Cursor(start.generation, last.key, 0, total, end < WINDOW)
        return await self._made(start.generation, plan, taken, total, [found], following)

    async def _made(
        self,
        generation: int,
        plan: Plan,
        taken: Sequence[Hit],
        total: int,
        found: Sequence["_Found"],
        following: Cursor | None,
    ) -> Page:
        age_s = self._index.live_age_s(generation)
        return Page(
            finished([hit.json for hit in taken]),
            total,
            generation,
            await self._index.age_s(generation) if age_s is None else age_s,
            cut_short([reply for each in found for reply in each.replies]),
            following,
            taken,
            commands=partial(_commands, plan, found),
        )

    async def _ask(
        self,
        generation: int,
        after: int | None,
        plan: Plan,
        limit: int,
        timeout_ms: int,
        *,
        with_json: bool = True,
    ) -> "_Found":
        """One FT.SEARCH for each tier, in one round trip; beyond the key `after`."""
        if not plan.tiers:
            return _Found((), [], 0)
        field = plan.order.field
        returned = (field,) if not with_json else ("json", field, "name") if plan.typed else ("json", field)
        heads = _heads(generation, after, plan.tiers, returned, field, limit, timeout_ms)
        replies = [
            parse_reply(reply, field)
            for reply in await self._index.execute(packed(heads, plan.parameters), timeout_ms)
        ]
        return _Found(heads, replies, sum([reply.total for reply in replies]))


class _Found(NamedTuple):
    """What was asked for a plan's tiers, what each was answered, and how many hits there are of all."""

    heads: tuple[Head, ...]
    replies: Sequence[TierReply]
    total: int


def cut_short(replies: Iterable[TierReply]) -> str | None:
    """Why some of what matches may be missing; None if nothing is."""
    warnings = [warning for reply in replies for warning in reply.warnings]
    if not warnings:
        return None
    for warning in warnings:
        metrics.SEARCHES_CUT_SHORT.labels(warning).inc()
    return "; ".join(dict.fromkeys(warnings))


def _commands(plan: Plan, found: Sequence[_Found]) -> Sequence[Command]:
    return [head.command(plan.parameters) for each in found for head in each.heads]


def _hits(plan: Plan, found: _Found) -> list[Hit]:
    return [
        Hit(with_lead(key, tier.lead), json, name, tier.way, tier.lead)
        for tier, reply in zip(plan.tiers, found.replies, strict=True)
        for key, json, name in reply.hits
    ]


def _merged(plan: Plan, found: _Found) -> list[Hit]:
    """The hits of all tiers in one order, with their keys in that order."""
    return sorted(_hits(plan, found), key=_BY_KEY)


def _as_typed(plan: Plan, hits: Sequence[Hit]) -> list[Hit]:
    """The hits in order once more, those whose names begin as was typed with a lead."""
    moved = [
        Hit(with_lead(hit.key, lead), hit.json, hit.name, hit.way, hit.lead, lead)
        if (lead := begins_lead(hit.name, plan.typed))
        else hit
        for hit in hits
    ]
    return sorted(moved, key=_BY_KEY)


@lru_cache(_REMEMBERED)
def _heads(
    generation: int,
    after: int | None,
    tiers: tuple[Tier, ...],
    returned: tuple[str, ...],
    field: str,
    limit: int,
    timeout_ms: int,
) -> tuple[Head, ...]:
    """What finds the hits of each tier by rising numbers of a field, or those alone that come after a key."""
    expressions = [
        tier.expression
        if after is None
        else f"{tier.expression} @{field}:[({with_lead(after, -tier.lead)} +inf]"
        for tier in tiers
    ]
    return tuple(
        [Head(generation, expression, returned, field, limit, timeout_ms) for expression in expressions]
    )

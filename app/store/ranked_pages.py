"""Pages of what a text finds, by relevance: the hits of all tiers of its plan in one order."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Final

from app import metrics
from app.domain.cursor import Cursor
from app.domain.ranking import begins_lead, with_lead
from app.search.command import search_command
from app.search.expression import Plan, Tier
from app.search.page import Page
from app.search.reply import Hit, TierReply, finish, parse_reply
from app.search.stored_json import finished
from app.store.search_index import SearchIndex

WINDOW: Final = 20
"""Of the hits of a text so many are put in order by what only their names tell, whatever a page holds."""
_UNKNOWN: Final = -1
_BY_KEY: Final = attrgetter("key")


class RankedPages:
    """Methods raise CursorExpired where the generation is gone, RedisUnavailable and SearchTimedOut."""

    def __init__(self, index: SearchIndex) -> None:
        self._index = index

    async def first(self, generation: int, plan: Plan, limit: int, offset: int, timeout_ms: int) -> Page:
        """One page from `offset` on."""
        start = Cursor(generation, None, offset, _UNKNOWN)
        before: list[TierReply] = []
        if offset >= WINDOW:
            # Only the keys of all that come before tell where they end.
            before = await self._ask(start, plan, offset, timeout_ms, with_json=False)
            keys = _merged(plan, before)[:offset]
            matching = sum(reply.total for reply in before)
            start = Cursor(generation, keys[-1].key if keys else None, 0, matching)
        return await self._page(start, plan, limit, timeout_ms, before)

    async def following(self, cursor: Cursor, plan: Plan, limit: int, timeout_ms: int) -> Page:
        """The page that a cursor leads to."""
        return await self._page(cursor, plan, limit, timeout_ms, ())

    async def best_of_each(
        self, generation: int, plan: Plan, limit: int, timeout_ms: int
    ) -> tuple[list[Hit], str | None]:
        """Up to `limit` hits of each of a plan's tiers, tier by tier; and why some may be missing, if so."""
        replies = await self._ask(Cursor(generation, None, 0, _UNKNOWN), plan, limit, timeout_ms)
        return finish(list(_hits(plan, replies))), cut_short(replies)

    async def _page(
        self, start: Cursor, plan: Plan, limit: int, timeout_ms: int, before: Sequence[TierReply]
    ) -> Page:
        """The hits from `start` on; `before` are the replies that told where that is."""
        if start.after is None or start.in_window:
            return await self._window_page(start, plan, limit, timeout_ms)
        replies = await self._ask(start, plan, limit, timeout_ms)
        taken = _merged(plan, replies)[:limit]
        following = None
        if taken and sum(reply.total for reply in replies) > len(taken):
            following = Cursor(start.generation, taken[-1].key, 0, start.total)
        return await self._made(start, taken, [*before, *replies], following)

    async def _window_page(self, start: Cursor, plan: Plan, limit: int, timeout_ms: int) -> Page:
        """As `_page`, where it begins among the first hits, which are put in order together."""
        # How many of them lie before a cursor is not known yet, but it is within the window.
        asked = WINDOW + limit if start.in_window else max(WINDOW, start.skip + limit)
        replies = await self._ask(replace(start, after=None), plan, asked, timeout_ms)
        merged = _merged(plan, replies)
        window = _as_typed(plan, merged[:WINDOW])
        skip = start.skip
        if start.after is not None:
            skip = sum(hit.key <= start.after for hit in window)
        taken = [*window, *merged[WINDOW:]][skip : skip + limit]
        end = skip + len(taken)
        following = None
        if taken and sum(reply.total for reply in replies) > end:
            last = window[end - 1] if end < WINDOW else merged[end - 1]
            following = Cursor(start.generation, last.key, 0, start.total, end < WINDOW)
        return await self._made(start, taken, replies, following)

    async def _made(
        self, start: Cursor, taken: Sequence[Hit], replies: Sequence[TierReply], following: Cursor | None
    ) -> Page:
        total = sum(reply.total for reply in replies) if start.total == _UNKNOWN else start.total
        return Page(
            finished([hit.json for hit in taken]),
            total,
            start.generation,
            await self._index.age_s(start.generation),
            cut_short(replies),
            replace(following, total=total) if following else None,
            taken,
            commands=[reply.command for reply in replies],
        )

    async def _ask(
        self, start: Cursor, plan: Plan, limit: int, timeout_ms: int, *, with_json: bool = True
    ) -> list[TierReply]:
        """One FT.SEARCH for each tier, in one round trip; beyond `start.after`."""
        if not plan.tiers:
            return []
        searches = [
            _arguments(start, plan, tier, limit, timeout_ms, with_json=with_json) for tier in plan.tiers
        ]
        replies = await self._index.execute(searches, timeout_ms)
        return [
            parse_reply(reply, plan.order.field, search)
            for search, reply in zip(searches, replies, strict=True)
        ]


def cut_short(replies: Iterable[TierReply]) -> str | None:
    """Why some of what matches may be missing; None if nothing is."""
    warnings = [warning for reply in replies for warning in reply.warnings]
    for warning in warnings:
        metrics.SEARCHES_CUT_SHORT.labels(warning).inc()
    return "; ".join(dict.fromkeys(warnings)) or None


def _hits(plan: Plan, replies: Sequence[TierReply]) -> Iterable[Hit]:
    return (
        Hit(with_lead(key, tier.lead), json, name, tier.way, tier.lead)
        for tier, reply in zip(plan.tiers, replies, strict=True)
        for key, json, name in reply.hits
    )


def _merged(plan: Plan, replies: Sequence[TierReply]) -> list[Hit]:
    """The hits of all tiers in one order, with their keys in that order."""
    return sorted(_hits(plan, replies), key=_BY_KEY) if replies else []


def _as_typed(plan: Plan, hits: Sequence[Hit]) -> list[Hit]:
    """The hits in order once more, those whose names begin as was typed with a lead."""
    if not plan.typed:
        return list(hits)
    moved = [
        hit._replace(key=with_lead(hit.key, lead), begins_lead=lead)
        if (lead := begins_lead(hit.name, plan.typed))
        else hit
        for hit in hits
    ]
    return sorted(moved, key=_BY_KEY)


def _arguments(
    start: Cursor, plan: Plan, tier: Tier, limit: int, timeout_ms: int, *, with_json: bool
) -> list[str | int]:
    expression = tier.expression
    if start.after is not None:
        expression = f"{expression} @{plan.order.field}:[({with_lead(start.after, -tier.lead)} +inf]"
    returned = [
        *(["json"] if with_json else []),
        plan.order.field,
        *(["name"] if plan.typed and with_json else []),
    ]
    return search_command(
        start.generation,
        expression,
        plan.parameters,
        returned=returned,
        limit=limit,
        timeout_ms=timeout_ms,
        sort_field=plan.order.field,
    )

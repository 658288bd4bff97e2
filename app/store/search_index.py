"""Reads from the search index: searches, single instruments, and how fresh the index is.

Searches name the generation that the state said is live, not the alias, so that an answer and its
`X-Index-Generation` never disagree.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog
from redis import exceptions
from redis.asyncio import Redis

from app import metrics
from app.domain.cursor import Cursor
from app.domain.errors import CursorExpired, IndexNotReady, RedisUnavailable, SearchTimedOut
from app.domain.query import Search
from app.search.expression import NUMERIC_SORT_FIELDS, Plan
from app.search.generation import document_key, index_name
from app.search.reply import Hit, TierReply, parse_reply
from app.store.index_state import IndexState, read_live_state, read_state
from app.store.matches import read_matches
from app.store.redis import execute, is_unknown_index, prepare_engine, redis_errors

STATE_POLL_S: Final = 0.5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a result. `next` is where the following one begins, None on the last."""

    hits: list[bytes]
    total: int
    generation: int
    age_s: float
    """Seconds since that generation last equalled Postgres."""
    partial: str | None
    """Why the search was cut short; None if it was not."""
    next: Cursor | None


class SearchIndex:
    """The live index. Methods raise IndexNotReady and RedisUnavailable."""

    def __init__(self, client: Redis) -> None:
        self.client = client
        self.known_state: IndexState | None = None
        """The live generation as last seen; None before the first fill."""

    @property
    def state(self) -> IndexState:
        """The live generation as last seen."""
        if self.known_state is None:
            raise IndexNotReady("the search index is not filled yet; try again in a moment")
        return self.known_state

    async def follow(self) -> None:
        """Keep the state fresh, for ever. To be run as a task."""
        reachable = True
        while True:
            try:
                if not reachable:  # it may have been restarted, with its own settings
                    await prepare_engine(self.client)
                await self.read_state()
                reachable = True
            except RedisUnavailable as error:
                if reachable:
                    log.warning("index state cannot be read", reason=str(error))
                reachable = False
            await asyncio.sleep(STATE_POLL_S)

    async def read_state(self) -> IndexState | None:
        self.known_state = await read_live_state(self.client)
        if self.known_state is not None:
            metrics.INDEX_GENERATION.set(self.known_state.generation)
        return self.known_state

    async def read_instrument(self, number: int) -> tuple[bytes, int] | None:
        """The finished JSON of an instrument and its version; None if the index does not have it."""
        key = document_key(self.state.generation, number)
        with redis_errors():
            document, version = await execute(self.client, "HMGET", key, "json", "version")
        return None if document is None else (document, int(version))

    async def read_documents(self, numbers: Sequence[int]) -> list[bytes]:
        """The finished JSON of those instruments that the index has, in the order given."""
        generation = self.state.generation
        pipeline = self.client.pipeline(transaction=False)
        for number in numbers:
            pipeline.hget(document_key(generation, number), "json")
        with redis_errors():
            return [document for document in await pipeline.execute() if document is not None]

    async def read_matches(self, search: Search, *, timeout_ms: int) -> list[int]:
        """The numbers of everything that a search selects in the index that is live now."""
        await self.read_state()
        return await read_matches(self.client, self.state.generation, search, timeout_ms=timeout_ms)

    async def search(
        self, kind: str, plan: Plan, *, limit: int, offset: int, cursor: Cursor | None, timeout_ms: int
    ) -> Page:
        """One page of a plan's hits. Raises SearchTimedOut and CursorExpired besides."""
        started = time.monotonic()
        try:
            if cursor is not None:
                return await self._page(cursor, plan, limit, timeout_ms)
            try:
                return await self._page_at(self.state.generation, plan, limit, offset, timeout_ms)
            except CursorExpired:  # that generation was removed since its number was read
                await self.read_state()
            try:
                return await self._page_at(self.state.generation, plan, limit, offset, timeout_ms)
            except CursorExpired as error:
                raise IndexNotReady("the search index is gone; the indexer will fill it again") from error
        finally:
            metrics.SEARCH_SECONDS.labels(kind).observe(time.monotonic() - started)

    async def _page_at(self, generation: int, plan: Plan, limit: int, offset: int, timeout_ms: int) -> Page:
        if offset == 0:
            return await self._page(Cursor(generation, 0, None, 0, _UNKNOWN), plan, limit, timeout_ms)
        # Only their sizes tell which tier the offset falls into.
        whole = [_Slice(tier, None, 0, 0) for tier in range(len(plan.tiers))]
        sizes = [reply.total for reply in await self._ask(generation, plan, whole, timeout_ms)]
        tier, skip = 0, offset
        while tier < len(sizes) - 1 and skip >= sizes[tier]:
            skip -= sizes[tier]
            tier += 1
        return await self._page(Cursor(generation, tier, None, skip, sum(sizes)), plan, limit, timeout_ms)

    async def _page(self, start: Cursor, plan: Plan, limit: int, timeout_ms: int) -> Page:
        """The hits from `start` on, through as many tiers as it takes."""
        slices = [_Slice(tier, None, 0, limit) for tier in range(start.tier, len(plan.tiers))]
        if slices:
            slices[0] = replace(slices[0], after=start.after, skip=start.skip)
        replies = await self._ask(start.generation, plan, slices, timeout_ms) if slices else []
        hits: list[bytes] = []
        end = start
        for slice_, reply in zip(slices, replies, strict=True):
            taken = reply.hits[: limit - len(hits)]
            hits += (hit.json for hit in taken)
            if taken:
                end = _position_after(start.generation, slice_, taken)
        matching = sum(reply.total for reply in replies)
        total = matching if start.total == _UNKNOWN else start.total
        more = bool(hits) and matching - start.skip > len(hits)
        warnings = [warning for reply in replies for warning in reply.warnings]
        for warning in warnings:
            metrics.SEARCHES_CUT_SHORT.labels(warning).inc()
        return Page(
            hits,
            total,
            start.generation,
            await self._age_s(start.generation),
            "; ".join(dict.fromkeys(warnings)) or None,
            replace(end, total=total) if more else None,
        )

    async def _age_s(self, generation: int) -> float:
        state = self.known_state
        if state is None or state.generation != generation:  # a cursor into a generation that is kept
            state = await read_state(self.client, generation)
        return state.current_age_s if state else float("inf")

    async def _ask(
        self, generation: int, plan: Plan, slices: Sequence["_Slice"], timeout_ms: int
    ) -> list[TierReply]:
        """One FT.SEARCH for each slice, in one round trip."""
        share_ms = max(1, timeout_ms // len(slices))  # Redis takes the tiers one after the other
        numeric = plan.sort_field if plan.sort_field in NUMERIC_SORT_FIELDS else None
        pipeline = self.client.pipeline(transaction=False)
        for slice_ in slices:
            pipeline.execute_command(*_search_arguments(generation, plan, slice_, numeric, share_ms))
        with redis_errors():
            try:
                replies = await pipeline.execute()
            except exceptions.ResponseError as error:
                if is_unknown_index(error):
                    raise CursorExpired(
                        "the index generation that this cursor points into is gone; restart without it"
                    ) from error
                if "timeout" in str(error).lower():
                    raise SearchTimedOut(
                        f"the search took longer than {timeout_ms} ms; narrow it down"
                    ) from error
                raise
        return [parse_reply(reply, numeric) for reply in replies]


_UNKNOWN: Final = -1


@dataclass(frozen=True, slots=True)
class _Slice:
    """Up to `limit` hits of a tier, beyond the sort key `after`, without the first `skip`."""

    tier: int
    after: int | None
    skip: int
    limit: int


def _position_after(generation: int, slice_: _Slice, taken: Sequence[Hit]) -> Cursor:
    """Where the next page begins when `taken` were the last hits seen, from `slice_`."""
    last = taken[-1].sort_key
    skip = slice_.skip + len(taken) if last is None else 0
    return Cursor(generation, slice_.tier, last, skip, _UNKNOWN)


def _search_arguments(
    generation: int, plan: Plan, slice_: _Slice, numeric: str | None, timeout_ms: int
) -> list[str | int]:
    expression = plan.tiers[slice_.tier]
    if slice_.after is not None:
        bounds = f"({slice_.after} +inf" if plan.sort_order == "ASC" else f"-inf ({slice_.after}"
        expression = f"{expression} @{plan.sort_field}:[{bounds}]"
    returned = ["json", numeric] if numeric else ["json"]
    arguments: list[str | int] = ["FT.SEARCH", index_name(generation), expression]
    arguments += ["RETURN", len(returned), *returned]
    arguments += ["SORTBY", plan.sort_field, plan.sort_order]
    arguments += ["LIMIT", slice_.skip, slice_.limit]
    arguments += ["PARAMS", len(plan.parameters), *plan.parameters]
    arguments += ["TIMEOUT", timeout_ms, "DIALECT", 2]
    return arguments

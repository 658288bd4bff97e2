"""Pages in the order of a sort key: the catalog, and what a text finds where another order than by relevance
is asked for.

RediSearch looks at everything that matches to sort it, and counts it. So a page of the catalog is asked for
within a range of its sort key that was guessed to hold enough, and the next range where it did not; its total
is known from the cells. A page of a text's matches is sorted by the number that its order has, whole; then
those in its range are put in order by their texts.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from app.domain.cursor import Cursor
from app.domain.errors import RedisUnavailable, SearchTimedOut
from app.domain.query import Search
from app.parameters.live import LiveParameters
from app.search.cells import Cells, is_countable
from app.search.command import search_command
from app.search.expression import EVERYTHING, Plan
from app.search.key_range import KeyRange
from app.search.lanes import NO_LANES, Lanes
from app.search.page import Page
from app.search.reply import Hit, TierReply, parse_reply
from app.search.stored_json import finished
from app.store.cell_counts import CellCounts
from app.store.key_samples import KeySamples
from app.store.page_ranges import Guess, ranges
from app.store.ranked_pages import cut_short
from app.store.redis_line import Command
from app.store.search_index import SearchIndex

SORTED_WHOLE: Final = 1_000
"""So few matches are sorted as quickly as a range of them is found."""


class OrderedPages:
    """Methods raise CursorExpired where the generation is gone, RedisUnavailable and SearchTimedOut.

    Without QUERY_OPTIMIZATION everything that matches is looked at.
    """

    def __init__(self, index: SearchIndex, cells: CellCounts, parameters: LiveParameters) -> None:
        self._index = index
        self._cells = cells
        self._samples = KeySamples(index)
        self._parameters = parameters

    async def page(
        self, generation: int, search: Search, plan: Plan, cursor: Cursor | None, timeout_ms: int
    ) -> Page:
        """The page of a search in the order of its plan, from its offset or a cursor on."""
        asked = _Asked(generation, plan, search.limit, timeout_ms)
        skip = search.offset if cursor is None else cursor.skip
        start = None if cursor is None else cursor.after
        if not plan.tiers:
            found = _Found()
        elif self._parameters.query_optimization and is_countable(search):
            found = await self._from_catalog(asked, search, start, skip)
        else:
            found = await self._from_matches(asked, start, skip)
        following = _next(start, skip, found, search.limit)
        total = found.total if cursor is None else cursor.total
        shown = found.hits[: search.limit]
        return Page(
            finished([hit.json for hit in shown]),
            total,
            generation,
            await self._index.age_s(generation),
            cut_short(found.replies),
            Cursor(generation, *following, total) if following else None,
            shown,
            commands=lambda: found.commands,
        )

    async def _from_catalog(self, asked: "_Asked", search: Search, start: int | None, skip: int) -> "_Found":
        cells = self._cells.last_read(asked.generation)
        if cells is None:
            cells = await self._cells.read(asked.generation, asked.timeout_ms)
        lanes = cells.lanes(search)
        while True:
            found, version = await self._in_lanes(asked, search, start, skip, cells, lanes)
            cells = await self._cells.in_version(asked.generation, version, asked.timeout_ms)
            if not lanes or cells.lanes(search) <= lanes:
                break
            lanes = NO_LANES  # some have come to others meanwhile
        found.total = cells.total(search)
        return found

    async def _in_lanes(
        self, asked: "_Asked", search: Search, start: int | None, skip: int, cells: Cells, lanes: Lanes
    ) -> tuple["_Found", bytes | None]:
        """The hits, and the version of the cells once they were found."""
        guess = None
        if (matches := cells.total(search)) > SORTED_WHOLE:
            with suppress(RedisUnavailable, SearchTimedOut):  # it is but a hint
                sample = await self._samples.read(asked.generation, asked.timeout_ms)
                guess = Guess(sample, search, asked.plan.order, matches, cells.documents, lanes)
        found = _Found()
        version: bytes | None = None
        for part in ranges(start, skip, skip + asked.wanted, guess):
            more = [self._cells.version_command(asked.generation)]
            wanted = asked.wanted - len(found.hits)
            in_range, (version,) = await self._read(
                asked, part, skip, wanted, more, are_many=guess is not None
            )
            found.hits += in_range.hits
            found.replies += in_range.replies
            found.commands += in_range.commands
            found.are_left = in_range.are_left
            if in_range.are_left or len(found.hits) >= asked.wanted:
                break
            skip = max(0, skip - in_range.total)
        return found, version

    async def _from_matches(self, asked: "_Asked", start: int | None, skip: int) -> "_Found":
        [part] = ranges(start, skip, asked.wanted, guess=None)
        found, _ = await self._read(asked, part, skip, asked.wanted, [], are_many=True)
        return found

    async def _read(
        self,
        asked: "_Asked",
        part: KeyRange,
        skip: int,
        limit: int,
        more: Sequence[Command],
        *,
        are_many: bool,
    ) -> tuple["_Found", list[Any]]:
        """The hits in a range, and what more commands are answered.

        Many are sorted by the number first: by texts that would take several times as long.
        """
        replies, commands = [], []
        is_by_text = are_many and part.end is None and asked.plan.order.text
        if is_by_text and self._parameters.query_optimization:
            by_number = asked.command(part, skip, limit, by_number=True)
            (answer,) = await self._index.execute([by_number], asked.timeout_ms)
            replies.append(parse_reply(answer, asked.plan.order.field))
            commands.append(by_number)
            if len(replies[0].hits) == limit:
                part = replace(part, end=replies[0].hits[-1][0])
        command = asked.command(part, skip, limit)
        answer, *answers = await self._index.execute([command, *more], asked.timeout_ms)
        replies.append(parse_reply(answer, asked.plan.order.field))
        commands.append(command)
        hits = [Hit(key, json) for key, json, _ in replies[-1].hits]
        total = replies[0].total
        are_left = len(hits) < min(limit, total - skip)
        return _Found(hits, total, replies, commands, are_left), answers


@dataclass(slots=True)
class _Found:
    hits: list[Hit] = field(default_factory=list)
    """Those of a page, and one more if there is."""
    total: int = 0
    """How many there are."""
    replies: list[TierReply] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    """What they answer."""
    are_left: bool = False
    """Some of these were removed before they were read, or it was cut short: more of them may follow."""


@dataclass(frozen=True, slots=True)
class _Asked:
    generation: int
    plan: Plan
    limit: int
    timeout_ms: int

    @property
    def wanted(self) -> int:
        """One more than the page holds, which tells whether there is another page."""
        return self.limit + 1

    def command(self, within: KeyRange, skip: int, limit: int, *, by_number: bool = False) -> Command:
        order = self.plan.order
        clause = within.clause(order)
        expression = self.plan.tiers[0].expression
        return search_command(
            self.generation,
            clause if clause and expression == EVERYTHING else f"{expression} {clause}".rstrip(),
            self.plan.parameters,
            returned=[order.field] if by_number else ["json", order.field],
            limit=limit,
            timeout_ms=self.timeout_ms,
            skip=skip,
            sort_field=order.field if by_number else order.text or order.field,
            is_ascending=order.is_ascending,
        )


def _next(start: int | None, skip: int, found: _Found, limit: int) -> tuple[int | None, int] | None:
    """Where the next page begins, as a cursor tells it; None: there is none."""
    hits = found.hits
    if not hits or (len(hits) <= limit and not found.are_left):
        return None
    shown = hits[:limit]
    last = shown[-1].key
    if len(hits) > limit and hits[limit].key != last:
        return last, 0
    same = sum(hit.key == last for hit in shown)
    if start is None and skip and same == len(shown):  # how many of those before had it is not known
        return None, skip + len(shown)
    return last, same + (skip if start == last else 0)

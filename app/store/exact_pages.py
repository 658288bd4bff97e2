"""What an identifier names, or a ticker at a venue: a handful of hits, which Redis has put in order."""

import time
from typing import Final

from app.domain.errors import CursorExpired
from app.domain.query import Search
from app.domain.ranking import with_lead
from app.search.command import Head, packed
from app.search.expression import Plan
from app.search.page import Page
from app.search.reply import Hit, parse_reply
from app.search.stored_json import finished
from app.store.ranked_pages import cut_short
from app.store.search_index import SearchIndex

_RETURNED: Final = ("json", "rank")


class ExactPages:
    """Methods raise IndexNotReady, RedisUnavailable and SearchTimedOut."""

    def __init__(self, index: SearchIndex) -> None:
        self._index = index

    async def page(self, name: str, plan: Plan, search: Search, timeout_ms: int) -> Page | None:
        """All that a search finds by a plan of one tier, by rank; its time is observed under `name`.

        None where that is nothing, or not all of it is there; and where the live generation has to be found
        out first.
        """
        state = self._index.known_state
        if state is None:
            return None
        [(expression, lead, way)] = plan.tiers
        head = Head(state.generation, expression, _RETURNED, "rank", search.limit, timeout_ms)
        started = time.monotonic()
        try:
            [reply] = await self._index.execute(packed((head,), plan.parameters), timeout_ms)
        except CursorExpired:  # that generation was removed since its number was read
            return None
        finally:
            self._index.observe(name, search, started)
        found = parse_reply(reply, "rank")
        if not found.hits or len(found.hits) < found.total:
            return None
        age_s = self._index.live_age_s(state.generation)
        return Page(
            finished([json for _, json, _ in found.hits]),
            found.total,
            state.generation,
            await self._index.age_s(state.generation) if age_s is None else age_s,
            cut_short([found]),
            None,
            [Hit(with_lead(rank, lead), json, b"", way, lead) for rank, json, _ in found.hits],
            plan=name,
            commands=lambda: [head.command(plan.parameters)],
        )

"""Counts the facets of searches: by the search index where there is a text, else by its cells."""

from app import metrics
from app.domain.query import Search
from app.search.cells import is_countable
from app.search.expression import Plan
from app.search.facets import Counts, aggregate_arguments, parse_groups
from app.search.generation import index_name
from app.store.cell_counts import CellCounts
from app.store.search_index import SearchIndex


class Facets:
    """Methods raise CursorExpired where the generation is gone, RedisUnavailable and SearchTimedOut."""

    def __init__(self, index: SearchIndex, cells: CellCounts) -> None:
        self._index = index
        self._cells = cells

    async def count(
        self, generation: int, search: Search, plan: Plan, timeout_ms: int
    ) -> tuple[Counts, tuple[str, ...]]:
        """How many hits of a search (whose plan is given) have which value of its facets, page or no page.

        With why there may be more, where the engine's time was too short.
        """
        if is_countable(search):
            return (await self._cells.read(generation, timeout_ms)).count(search), ()
        return await self._aggregate(generation, search, plan, timeout_ms)

    async def _aggregate(
        self, generation: int, search: Search, plan: Plan, timeout_ms: int
    ) -> tuple[Counts, tuple[str, ...]]:
        if not plan.tiers:
            return parse_groups({b"results": ()}, search.facets)
        arguments = aggregate_arguments(index_name(generation), plan, search.facets, timeout_ms)
        (reply,) = await self._index.execute([arguments], timeout_ms)
        counts, warnings = parse_groups(reply, search.facets)
        for warning in warnings:
            metrics.SEARCHES_CUT_SHORT.labels(warning).inc()
        return counts, warnings

"""What became of judged queries: mean reciprocal rank and success, by family."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import orjson

from app.domain.instrument import parse_public_id
from app.domain.query import parse_search
from app.parameters.definitions import Parameters
from app.parameters.live import LiveParameters
from app.store.degraded_search import DegradedSearch
from app.store.pins import Pins
from app.store.postgres import Postgres
from app.store.redis import open_search_redis
from app.store.search_index import SearchIndex
from app.store.search_pins import SearchPins
from app.store.searches import Searches
from tests.relevance.judged import Judged

DEPTH: Final = 20
"""Right answers beyond this place count as not found."""
FLOORS: Final[Mapping[str, float]] = {"all": 0.95, "symbol": 1.0, "isin": 1.0, "figi": 1.0}
"""What the mean reciprocal rank must reach; a family that is not named, FLOOR."""
FLOOR: Final = 0.85


@dataclass(frozen=True, slots=True)
class Outcome:
    query: Judged
    hits: tuple[dict[str, Any], ...]

    @property
    def place(self) -> int | None:
        """Of the first right answer, from 1; None: not among the first."""
        for place, hit in enumerate(self.hits, 1):
            if parse_public_id(hit["id"]) in self.query.right:
                return place
        return None


@dataclass(frozen=True, slots=True)
class Score:
    queries: int
    mrr: float
    success_at_1: float
    success_at_5: float


@asynccontextmanager
async def open_searches(database_url: str, redis_url: str) -> AsyncIterator[Searches]:
    """Searches as the API makes them but for pins, with time enough for a machine that pauses."""
    client = open_search_redis(redis_url, pool_size=1, timeout_s=10)
    postgres = Postgres(database_url, 1)
    index = SearchIndex(client, share_ms=5000)
    try:
        degraded, pins = DegradedSearch(postgres, max_at_once=1), Pins(SearchPins(postgres))
        yield Searches(index, degraded, pins, LiveParameters(Parameters()))
    finally:
        await index.close()
        await client.aclose()


async def outcomes(searches: Searches, queries: Sequence[Judged]) -> list[Outcome]:
    found = []
    for query in queries:
        search = parse_search([("q", query.text[:200])], max_limit=DEPTH)
        page = await searches.search(search, None)
        assert page.generation is not None, "the index did not answer"
        found.append(Outcome(query, tuple(orjson.loads(hit) for hit in page.hits)))
    return found


def scores(found: Sequence[Outcome]) -> dict[str, Score]:
    """By family, and `all`: the mean of the families, so that none outweighs another."""
    places = defaultdict(list)
    for outcome in found:
        places[outcome.query.family].append(outcome.place)
    by_family = {
        family: Score(
            len(of_family),
            sum(1 / place for place in of_family if place) / len(of_family),
            sum(place == 1 for place in of_family) / len(of_family),
            sum(place is not None and place <= 5 for place in of_family) / len(of_family),
        )
        for family, of_family in places.items()
    }
    everything = list(by_family.values())
    by_family["all"] = Score(
        len(found),
        *(
            sum(getattr(score, name) for score in everything) / len(everything)
            for name in ("mrr", "success_at_1", "success_at_5")
        ),
    )
    return by_family


def missed_floors(by_family: Mapping[str, Score]) -> list[str]:
    """What falls short, in words."""
    return [
        f"{family}: MRR {score.mrr:.3f}, and {FLOORS.get(family, FLOOR)} is asked"
        for family, score in by_family.items()
        if score.mrr < FLOORS.get(family, FLOOR)
    ]


def table(by_family: Mapping[str, Score]) -> str:
    lines = [f"{'family':24} {'queries':>8} {'MRR':>7} {'success@1':>10} {'success@5':>10}"]
    for family, score in by_family.items():
        figures = f"{score.mrr:7.3f} {score.success_at_1:10.3f} {score.success_at_5:10.3f}"
        lines.append(f"{family:24} {score.queries:8} {figures}")
    return "\n".join(lines)

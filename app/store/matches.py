"""Everything that a saved search selects: the instruments' numbers alone, read in pages.

Each page goes on beyond the last rank of the one before, so that Redis answers others in between.
"""

from typing import Final

from redis import exceptions
from redis.asyncio import Redis

from app.domain.errors import IndexNotReady, SearchTimedOut
from app.domain.query import Search
from app.domain.ranking import ranked_number
from app.search.command import search_command
from app.search.expression import search_plan
from app.store.index_state import read_live_state
from app.store.redis import execute, is_unknown_index, redis_errors

PAGE_SIZE: Final = 5000


async def read_matches(
    client: Redis, generation: int, search: Search, *, timeout_ms: int, page_size: int = PAGE_SIZE
) -> list[int]:
    """The numbers in ascending order, of a search by relevance; `timeout_ms` is for each page.

    Raises RedisUnavailable, IndexNotReady, or SearchTimedOut rather than leave any out.
    """
    plan = search_plan(search)
    numbers: list[int] = []
    for tier in plan.tiers:
        bounds = ""
        while True:
            ranks = await _page(
                client, generation, tier.expression + bounds, plan.parameters, page_size, timeout_ms
            )
            numbers += (ranked_number(rank) for rank in ranks)
            if len(ranks) < page_size:
                break
            bounds = f" @rank:[({ranks[-1]} +inf]"
    return sorted(numbers)


async def read_live_matches(client: Redis, search: Search, *, timeout_ms: int) -> list[int]:
    """As `read_matches`, in the index that is live now."""
    state = await read_live_state(client)
    if state is None:
        raise IndexNotReady("the search index is not filled yet; try again in a moment")
    return await read_matches(client, state.generation, search, timeout_ms=timeout_ms)


async def _page(
    client: Redis,
    generation: int,
    expression: str,
    parameters: tuple[str, ...],
    page_size: int,
    timeout_ms: int,
) -> list[int]:
    command = search_command(
        generation, expression, parameters, returned=["rank"], limit=page_size, timeout_ms=timeout_ms
    )
    with redis_errors():
        try:
            reply = await execute(client, *command)
        except exceptions.ResponseError as error:
            if is_unknown_index(error):
                raise IndexNotReady("the search index is gone; the indexer will fill it again") from error
            if "timeout" in str(error).lower():
                raise _timed_out(timeout_ms) from error
            raise
    if any(b"timeout" in warning.lower() for warning in reply.get(b"warning", ())):
        raise _timed_out(timeout_ms)
    return [int(float(result[b"extra_attributes"][b"rank"])) for result in reply[b"results"]]


def _timed_out(timeout_ms: int) -> SearchTimedOut:
    return SearchTimedOut(f"a page of the selection took longer than {timeout_ms} ms; narrow it down")

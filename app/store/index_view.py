"""The search index as those who run it look at it: what is live and kept, how far behind, who leads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final

from redis.asyncio import Redis

from app.domain.errors import RedisUnavailable
from app.domain.instrument import public_id
from app.search.schema import FINGERPRINT
from app.store.circuit import in_time
from app.store.index_jobs import IndexJobs
from app.store.index_state import IndexState, index_info, read_live_state, read_parked
from app.store.instruments import SQL
from app.store.lease import current_holder
from app.store.postgres import Connection, postgres_errors
from app.store.redis import redis_errors
from app.store.refreshes import RefreshEntry, read_refreshes

MAX_PARKED_NAMED: Final = 20
REDIS_ANSWERS_WITHIN_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class GenerationView:
    number: int
    state: str
    created_at: datetime
    live_at: datetime | None
    documents: int | None
    """Now, in Redis; None where its index is not there."""


@dataclass(frozen=True, slots=True)
class ParkedRow:
    instrument: str
    reason: str


@dataclass(frozen=True, slots=True)
class IndexView:
    schema: str
    live_generation: int | None
    generations: tuple[GenerationView, ...]
    rows: int
    """In Postgres."""
    age_s: float | None
    """Since the live generation last equalled Postgres."""
    oldest_unindexed_s: float | None
    """How long the oldest change waits that the live generation does not have; None: it has all."""
    last_refreshes: tuple[RefreshEntry, ...]
    """Newest first."""
    leader: str | None
    parked: int
    """Rows that no documents can be made of, as they are now."""
    parked_rows: tuple[ParkedRow, ...]
    """The first of them."""
    redis_memory_bytes: int | None
    redis_error: str | None
    """Why nothing is known of Redis; None: it answers."""


@dataclass(frozen=True, slots=True)
class _RedisSide:
    """What Redis alone knows."""

    state: IndexState | None = None
    documents: Mapping[int, int | None] = field(default_factory=dict)
    parked: Mapping[int, str] = field(default_factory=dict)
    refreshes: tuple[RefreshEntry, ...] = ()
    memory_bytes: int | None = None
    error: str | None = None


async def read_index_view(connection: Connection, client: Redis) -> IndexView:
    """What can be seen; of Redis nothing but why, while it does not answer. Raises PostgresUnavailable."""
    recorded = await IndexJobs(connection).generations()
    try:
        async with in_time(REDIS_ANSWERS_WITHIN_S):
            redis = await _read_redis_side(client, [generation.number for generation in recorded])
    except RedisUnavailable as error:
        redis = _RedisSide(error=str(error))
    state = redis.state
    with postgres_errors():
        rows = int(await connection.fetchval(SQL["count_everything"]))
        waiting_s: float | None = (
            None if state is None else await connection.fetchval(SQL["oldest_unseen"], state.snapshot)
        )
    return IndexView(
        schema=FINGERPRINT,
        live_generation=state.generation if state else None,
        generations=tuple(
            GenerationView(g.number, g.state, g.created_at, g.live_at, redis.documents.get(g.number))
            for g in recorded
        ),
        rows=rows,
        age_s=round(state.current_age_s, 1) if state else None,
        oldest_unindexed_s=None if waiting_s is None else round(max(0.0, waiting_s), 3),
        last_refreshes=redis.refreshes,
        leader=await current_holder(connection),
        parked=len(redis.parked),
        parked_rows=tuple(
            ParkedRow(public_id(number), reason)
            for number, reason in islice(redis.parked.items(), MAX_PARKED_NAMED)
        ),
        redis_memory_bytes=redis.memory_bytes,
        redis_error=redis.error,
    )


async def _read_redis_side(client: Redis, generations: Sequence[int]) -> _RedisSide:
    state = await read_live_state(client)
    documents = {}
    for number in generations:
        info = await index_info(client, number)
        documents[number] = None if info is None else int(info["num_docs"])
    with redis_errors():
        memory = await client.info("memory")
    return _RedisSide(
        state,
        documents,
        await read_parked(client, state.generation) if state else {},
        await read_refreshes(client),
        int(memory["used_memory"]),
    )

"""The search index as those who run it look at it: what is live and kept, how far behind, who leads."""

from dataclasses import dataclass
from datetime import datetime

from redis.asyncio import Redis

from app.search.schema import FINGERPRINT
from app.store.index_jobs import IndexJobs
from app.store.index_state import index_info, read_live_state
from app.store.instruments import SQL
from app.store.lease import current_holder
from app.store.postgres import Connection, postgres_errors
from app.store.redis import redis_errors


@dataclass(frozen=True, slots=True)
class GenerationView:
    number: int
    state: str
    created_at: datetime
    live_at: datetime | None
    documents: int | None
    """Now, in Redis; None where its index is not there."""


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
    leader: str | None
    redis_memory_bytes: int


async def read_index_view(connection: Connection, client: Redis) -> IndexView:
    """Raises PostgresUnavailable and RedisUnavailable."""
    state = await read_live_state(client)
    with redis_errors():
        memory = await client.info("memory")
    generations = []
    for generation in await IndexJobs(connection).generations():
        info = await index_info(client, generation.number)
        documents = None if info is None else int(info["num_docs"])
        generations.append(
            GenerationView(
                generation.number, generation.state, generation.created_at, generation.live_at, documents
            )
        )
    with postgres_errors():
        rows = int(await connection.fetchval(SQL["count_everything"]))
        waiting_s: float | None = (
            None if state is None else await connection.fetchval(SQL["oldest_unseen"], state.snapshot)
        )
    return IndexView(
        schema=FINGERPRINT,
        live_generation=state.generation if state else None,
        generations=tuple(generations),
        rows=rows,
        age_s=round(state.current_age_s, 1) if state else None,
        oldest_unindexed_s=None if waiting_s is None else round(max(0.0, waiting_s), 1),
        leader=await current_holder(connection),
        redis_memory_bytes=int(memory["used_memory"]),
    )

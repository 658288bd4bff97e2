"""Tells the metrics what operations see in `indexer status`."""

from redis.asyncio import Redis

from app import metrics
from app.domain.errors import RedisUnavailable
from app.store.index_view import read_index_view
from app.store.postgres import STATEMENT_TIMEOUT_S, open_connection


async def measure(database_url: str, client: Redis) -> None:
    """Raises Unavailable."""
    async with open_connection(database_url, statement_timeout_s=STATEMENT_TIMEOUT_S) as connection:
        view = await read_index_view(connection, client)
    metrics.INDEX_ROWS.set(view.rows)
    if view.redis_memory_bytes is None:
        raise RedisUnavailable(view.redis_error or "")
    metrics.INDEX_ROWS_PARKED.set(view.parked)
    metrics.INDEX_OLDEST_UNINDEXED_SECONDS.set(view.oldest_unindexed_s or 0)
    metrics.REDIS_MEMORY_BYTES.set(view.redis_memory_bytes)
    live = [g for g in view.generations if g.number == view.live_generation]
    kept = [g for g in view.generations if g.state == "kept" and g not in live]
    for name, generations in (("live", live), ("kept", kept)):
        metrics.INDEX_DOCUMENTS.labels(name).set(sum(g.documents or 0 for g in generations))

"""Looks at a sample of the index, and tells what drifts before somebody runs `verify`."""

from typing import Final

import structlog
from redis.asyncio import Redis

from app import metrics
from app.store.index_state import read_live_state
from indexer.verify import verify_sample

SIZE: Final = 1000

log = structlog.get_logger(__name__)


async def sample(database_url: str, client: Redis, settle_s: float) -> None:
    """Compare a sample of the live index, if there is one. Raises Unavailable."""
    if await read_live_state(client) is None:
        return
    drift = await verify_sample(database_url, client, SIZE, settle_s)
    metrics.INDEX_ROWS_SAMPLED.inc(drift.rows)
    metrics.INDEX_SAMPLE_DRIFT.set(len(drift.missing) + len(drift.stale) + len(drift.phantom))
    if drift.is_repairable:
        log.error("the index drifts", missing=drift.missing, stale=drift.stale, phantom=drift.phantom)

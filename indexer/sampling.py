"""Looks at a sample of the index every few minutes, and tells what drifts before somebody runs `verify`."""

import asyncio
from typing import Final

import structlog
from redis.asyncio import Redis

from app import metrics
from app.domain.errors import IndexNotReady, Unavailable
from indexer.verify import verify_sample

INTERVAL_S: Final = 180.0
SIZE: Final = 1000

log = structlog.get_logger(__name__)


async def sample_for_ever(
    database_url: str, client: Redis, settle_s: float, *, interval_s: float = INTERVAL_S
) -> None:
    """Compare a sample at every interval; what fails waits for the next."""
    while True:
        await asyncio.sleep(interval_s)
        try:
            drift = await verify_sample(database_url, client, SIZE, settle_s)
        except (Unavailable, IndexNotReady) as error:
            log.warning("index not sampled", reason=str(error))
            continue
        metrics.INDEX_ROWS_SAMPLED.inc(drift.rows)
        metrics.INDEX_SAMPLE_DRIFT.set(len(drift.missing) + len(drift.stale) + len(drift.phantom))
        if not drift.clean:
            log.error("the index drifts", missing=drift.missing, stale=drift.stale, phantom=drift.phantom)

"""What Redis says of a generation: how far it follows Postgres. Kept beside the documents, so that both
vanish together when Redis is emptied.
"""

import time
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from app.search.generation import LIVE_KEY, state_key
from app.store.redis import execute, redis_errors


@dataclass(frozen=True, slots=True)
class IndexState:
    """The live generation and its position."""

    generation: int
    watermark: int
    """Every transaction below this xid8 is in the index."""
    cluster: str
    """System identifier and timeline of the Postgres that the watermark is of."""
    fingerprint: str
    """The schema and projection that the documents were written by."""
    age_s: float
    """Seconds since the index last equalled Postgres, when this was read (see `read_at`)."""
    read_at: float
    """The monotonic clock when this was read."""

    @property
    def current_age_s(self) -> float:
        return self.age_s + time.monotonic() - self.read_at


async def read_live_state(client: Redis) -> IndexState | None:
    """The live generation's state; None if there is none. Raises RedisUnavailable."""
    with redis_errors():
        live = await execute(client, "GET", LIVE_KEY)
    return None if live is None else await read_state(client, int(live))


async def read_state(client: Redis, generation: int) -> IndexState | None:
    """A generation's state; None if it was never filled, or is gone. Raises RedisUnavailable."""
    with redis_errors():
        fields: dict[bytes, Any] = await execute(client, "HGETALL", state_key(generation))
        seconds, microseconds = await execute(client, "TIME")
    if not fields:
        return None
    return IndexState(
        generation=generation,
        watermark=int(fields[b"watermark"]),
        cluster=fields[b"cluster"].decode(),
        fingerprint=fields[b"fingerprint"].decode(),
        age_s=max(0.0, int(seconds) + int(microseconds) / 1_000_000 - float(fields[b"refreshed_at"])),
        read_at=time.monotonic(),
    )

"""Whether others search the Redis that an indexer writes to, told from what Redis itself counts."""

import math
import time
from typing import Final

from redis.asyncio import Redis

from app.store.redis import redis_errors

LOOK_S: Final = 1.0
"""Between two looks, at least."""
FEW_PER_S: Final = 5
"""So few are not worth a slower rebuild."""


class SearchTraffic:
    def __init__(self, client: Redis) -> None:
        self._client = client
        self._calls = 0
        self._looked_at = -math.inf
        self._is_there = False

    async def is_there(self) -> bool:
        """Whether more than a few searches a second came lately. Raises RedisUnavailable."""
        now = time.monotonic()
        elapsed_s = now - self._looked_at
        if elapsed_s >= LOOK_S:
            with redis_errors():
                counted = await self._client.info("commandstats")
            calls = counted.get("cmdstat_FT.SEARCH", {"calls": 0})["calls"]
            self._is_there = (calls - self._calls) / elapsed_s > FEW_PER_S
            self._calls, self._looked_at = calls, now
        return self._is_there

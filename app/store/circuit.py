"""Whether Redis is asked at all: a server that does not answer must not cost each caller its patience.

The pattern is Nygard's circuit breaker (Release It!, 2nd edition, chapter 5). Callers neither open nor close
it: a search that is slow by itself says nothing of the server. They only cast doubt, and a probe decides.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from app import metrics
from app.domain.errors import RedisUnavailable

log = structlog.get_logger(__name__)


class Circuit:
    """Closed: Redis is asked. Open: it is not."""

    def __init__(self) -> None:
        self.is_open = False
        self.doubted = asyncio.Event()
        """Set when somebody got no answer; whoever probes clears it."""
        metrics.REDIS_CIRCUIT_OPEN.set(0)

    def open(self) -> None:
        if not self.is_open:
            log.warning("Redis is not asked until it answers again")
        self.is_open = True
        metrics.REDIS_CIRCUIT_OPEN.set(1)

    def close(self) -> None:
        if self.is_open:
            log.info("Redis answers again")
        self.is_open = False
        metrics.REDIS_CIRCUIT_OPEN.set(0)

    def __enter__(self) -> None:
        """Redis is asked inside. Raises RedisUnavailable where the circuit is open."""
        if self.is_open:
            raise RedisUnavailable("Redis does not answer, and is not asked until it does")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, RedisUnavailable):
            self.doubted.set()


@asynccontextmanager
async def in_time(within_s: float) -> AsyncIterator[None]:
    """Raises RedisUnavailable when time is up."""
    try:
        async with asyncio.timeout(within_s):
            yield
    except TimeoutError as error:
        raise RedisUnavailable(f"Redis does not answer within {within_s * 1000:.0f} ms") from error

"""A limit of N requests per minute for each caller, shared by all API processes through Redis.

Asking Redis for every request would cost each of them a round trip. So a process leases requests in
batches of 1 % of the limit (at least one) and admits from what it holds. How exact that is:

- Never more than N are admitted in a window over all processes. A window is 60 s fixed on Redis's clock;
  a lease dies no later than its window, as a process takes its end for at most one round trip too early.
  Two windows that touch can see 2 N within 60 s. A Redis that is emptied, or whose clock is set back,
  begins to count anew.
- Fewer than N may be admitted: a process holds at most one batch, and what it has not spent when the
  window ends is lost, up to 1 % of N for each process; so is what Redis granted to a call that was given
  up. Below a limit of 200 a batch is a single request, nothing is leased ahead, and the count is exact.

With less than half a batch left the next is leased in the background. A request waits for Redis only at
the first of a window, when leasing could not keep up, or when a batch is a single request. A caller whose
limit is used up costs Redis nothing until the window has ended.

While Redis does not answer within 0.25 s the limits fail open: each process by itself admits at most
N in 60 s, on top of what it had leased, and tries Redis again once a second without a request waiting.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from redis.asyncio import Redis

from app.domain.access import Quota
from app.domain.errors import RateLimited, RedisUnavailable
from app.store.redis import load_script, redis_errors
from app.tasks import end_tasks

WINDOW_S: Final = 60.0
LEASE_TIMEOUT_S: Final = 0.25
RETRY_S: Final = 1.0
MAX_BUCKETS: Final = 10_000
KEY_PREFIX: Final = "ir:rate:"

_NEVER: Final = -math.inf
_BATCHES: Final = 100
_MILLISECOND: Final = 0.001

log = structlog.get_logger(__name__)


def batch_size(limit: int) -> int:
    """How many requests a process leases at once, and the most that it holds."""
    return max(1, limit // _BATCHES)


@dataclass(slots=True)
class _Bucket:
    """What this process knows of one caller. The moments are on the process's own clock."""

    identity: str
    limit: int
    batch: int
    window: int = -1
    held: int = 0
    """Leased and not spent; good before `ends_at`, which is never later than the window's end."""
    ends_at: float = _NEVER
    remaining: int = 0
    """What nobody had leased when Redis last answered."""
    over_at: float = _NEVER
    """When the window has surely ended; never earlier than its end."""
    local_used: int = 0
    local_ends_at: float = _NEVER
    leasing: asyncio.Task[None] | None = None

    def is_idle(self, now: float) -> bool:
        return self.leasing is None and now >= max(self.over_at, self.local_ends_at)

    def is_used_up(self, now: float) -> bool:
        return self.remaining == 0 and now < self.over_at

    def runs_low(self) -> bool:
        return self.held * 2 < self.batch and self.batch > 1 and self.remaining > 0

    def spend(self, now: float) -> bool:
        if self.held == 0 or now >= self.ends_at:
            return False
        self.held -= 1
        return True

    def spend_locally(self, now: float, window_s: float) -> bool:
        if now >= self.local_ends_at:
            self.local_used, self.local_ends_at = 0, now + window_s
        if self.local_used >= self.limit:
            return False
        self.local_used += 1
        return True

    def wanted(self, now: float) -> int:
        return self.batch - (self.held if now < self.ends_at else 0)

    def quota(self, now: float) -> Quota:
        return _quota(self.limit, self.held + self.remaining, self.over_at - now)

    def used_up_quota(self, now: float) -> Quota:
        return _quota(self.limit, 0, self.over_at - now)

    def local_quota(self, now: float) -> Quota:
        return _quota(self.limit, self.limit - self.local_used, self.local_ends_at - now)


class RateLimits:
    """The limits as one process applies them. `clock` never goes back."""

    def __init__(
        self,
        client: Redis,
        *,
        default_per_minute: int,
        clock: Callable[[], float] = time.monotonic,
        window_s: float = WINDOW_S,
        lease_timeout_s: float = LEASE_TIMEOUT_S,
    ) -> None:
        self._script = load_script(client, "lease_requests")
        self._default = default_per_minute
        self._clock = clock
        self._window_s = window_s
        self._lease_timeout_s = lease_timeout_s
        self._buckets: dict[tuple[str, int], _Bucket] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._away = False
        self._retry_at = _NEVER

    async def admit(self, identity: str, per_minute: int | None) -> Quota:
        """Count one request of a caller, and say what is left. Raises RateLimited.

        `remaining` knows of other processes' leases as of this process's last one.
        """
        while (quota := self.admit_at_once(identity, per_minute)) is None:
            # A task of its own: a request that is cancelled takes no lease away from the others.
            leasing = self._lease(self._bucket(identity, per_minute))
            await asyncio.wait((leasing,))
            leasing.result()
        return quota

    def admit_at_once(self, identity: str, per_minute: int | None) -> Quota | None:
        """As `admit`, but None, and nothing counted, where Redis must be asked first."""
        bucket = self._bucket(identity, per_minute)
        now = self._clock()
        if bucket.spend(now):
            if bucket.runs_low() and self._may_ask(now):
                self._lease(bucket)
            return bucket.quota(now)
        if bucket.is_used_up(now):
            raise RateLimited(bucket.used_up_quota(now))
        if not self._away:
            return None
        if self._may_ask(now):
            self._lease(bucket)
        if not bucket.spend_locally(now, self._window_s):
            raise RateLimited(bucket.local_quota(now))
        return bucket.local_quota(now)

    async def close(self) -> None:
        await end_tasks(*self._tasks)

    def _bucket(self, identity: str, per_minute: int | None) -> _Bucket:
        limit = self._default if per_minute is None else per_minute
        key = (identity, limit)
        if (found := self._buckets.get(key)) is not None:
            return found
        if len(self._buckets) >= MAX_BUCKETS:
            self._sweep()
        return self._buckets.setdefault(key, _Bucket(identity, limit, batch_size(limit)))

    def _sweep(self) -> None:
        """Forget what is of past windows, then the oldest; far enough not to be due again at once."""
        now = self._clock()
        live = [(key, bucket) for key, bucket in self._buckets.items() if not bucket.is_idle(now)]
        self._buckets = dict(live[-(MAX_BUCKETS * 3 // 4) :])

    def _may_ask(self, now: float) -> bool:
        return not self._away or now >= self._retry_at

    def _lease(self, bucket: _Bucket) -> asyncio.Task[None]:
        """The one lease under way for a bucket, begun if there is none."""
        if bucket.leasing is None:
            self._retry_at = self._clock() + RETRY_S
            bucket.leasing = asyncio.create_task(self._ask(bucket))
            self._tasks.add(bucket.leasing)
            bucket.leasing.add_done_callback(self._tasks.discard)
        return bucket.leasing

    async def _ask(self, bucket: _Bucket) -> None:
        asked_at = self._clock()
        try:
            with redis_errors():
                async with asyncio.timeout(self._lease_timeout_s):
                    granted, remaining, left_ms, window = await self._script(
                        keys=[KEY_PREFIX + bucket.identity],
                        args=[bucket.limit, bucket.wanted(asked_at), round(self._window_s * 1000)],
                    )
        except RedisUnavailable as error:
            if not self._away:
                log.warning("Redis does not count requests; each process limits by itself", reason=str(error))
            self._away = True
            self._retry_at = self._clock() + RETRY_S
            return
        finally:
            bucket.leasing = None
        if self._away:
            log.info("Redis counts requests again")
        self._away = False
        # Redis read its clock some time between the two moments; each is on its safe side.
        ends_at = asked_at + left_ms * _MILLISECOND
        over_at = self._clock() + (left_ms + 1) * _MILLISECOND
        if window == bucket.window:
            bucket.held += granted
            bucket.ends_at, bucket.over_at = max(bucket.ends_at, ends_at), min(bucket.over_at, over_at)
        else:
            bucket.window, bucket.held = window, granted
            bucket.ends_at, bucket.over_at = ends_at, over_at
        bucket.remaining = remaining


def _quota(limit: int, remaining: int, reset_s: float) -> Quota:
    return Quota(limit, remaining, max(1, math.ceil(reset_s)))

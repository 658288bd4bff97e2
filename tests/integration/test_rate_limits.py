"""Limits per caller over several processes' worth of RateLimits, on a real Redis."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from redis.asyncio import Redis

from app.auth import rate_limits
from app.auth.rate_limits import KEY_PREFIX, MAX_BUCKETS, RateLimits, batch_size
from app.domain.access import Quota
from app.domain.errors import RateLimited
from app.store.redis import open_redis
from tests.integration.conftest import fresh_window, redis_time, script_calls
from tests.stopwatch import Stopwatch

LONG_S = 1000.0
SHORT_S = 0.5
PROCESSES = 3
TASKS = 200

Make = Callable[..., RateLimits]


@pytest.fixture
async def make(redis_client: Redis) -> AsyncIterator[Make]:
    """Makes RateLimits, by default with windows too long to end, and patience too long to end, in a test."""
    defaults = {"default_per_minute": 100, "window_s": LONG_S, "lease_timeout_s": 10}
    made: list[RateLimits] = []

    def build(client: Redis = redis_client, **options: Any) -> RateLimits:
        made.append(RateLimits(client, **defaults | options))
        return made[-1]

    await fresh_window(redis_client, LONG_S, spare_s=10)
    yield build
    for limits in made:
        await limits.close()


async def admitted(limits: RateLimits, identity: str, per_minute: int | None) -> Quota | None:
    try:
        return await limits.admit(identity, per_minute)
    except RateLimited:
        return None


async def count_admitted(limits: RateLimits, identity: str, per_minute: int, attempts: int) -> int:
    return sum([await admitted(limits, identity, per_minute) is not None for _ in range(attempts)])


def admit_at_once(limits: RateLimits, identity: str, per_minute: int) -> None:
    """Have a request admitted; fails if it waits for anything."""
    request: Coroutine[Any, Any, Quota] = limits.admit(identity, per_minute)
    with pytest.raises(StopIteration):
        request.send(None)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def no_redis() -> AsyncIterator[Redis]:
    client = open_redis(f"redis://127.0.0.1:{closed_port()}", pool_size=4, timeout_s=10)
    yield client
    await client.aclose()


@pytest.mark.parametrize("limit", [1, 5, 100, 1000])
async def test_all_processes_together_admit_the_limit(make: Make, limit: int) -> None:
    processes = [make() for _ in range(PROCESSES)]
    counts = await asyncio.gather(
        *(count_admitted(limits, "key:1", limit, 10) for limits in processes for _ in range(TASKS))
    )
    if batch_size(limit) == 1:
        assert sum(counts) == limit
    else:
        assert limit - PROCESSES * batch_size(limit) <= sum(counts) <= limit


async def test_below_the_batch_limit_processes_in_turn_waste_nothing(make: Make) -> None:
    processes = [make() for _ in range(PROCESSES)]
    answers = [await admitted(processes[turn % PROCESSES], "key:1", 5) for turn in range(12)]
    assert [answer is not None for answer in answers] == [True] * 5 + [False] * 7


async def test_no_process_holds_more_than_one_batch(make: Make, redis_client: Redis) -> None:
    processes = [make() for _ in range(PROCESSES)]
    for limits in processes:
        assert await count_admitted(limits, "key:1", 1000, 77) == 77
        await asyncio.gather(*limits._tasks)
    used = int((await redis_client.hget(KEY_PREFIX + "key:1", "used")) or 0)
    assert PROCESSES * 77 <= used <= PROCESSES * (77 + batch_size(1000))


async def test_the_quota_counts_down_and_tells_the_end(make: Make, redis_client: Redis) -> None:
    limits = make(default_per_minute=3)
    left = await fresh_window(redis_client, LONG_S, spare_s=5)
    quotas = [await limits.admit("key:1", None) for _ in range(3)]
    assert [(quota.limit, quota.remaining) for quota in quotas] == [(3, 2), (3, 1), (3, 0)]
    with pytest.raises(RateLimited, match="limit of 3 requests per minute") as refused:
        await limits.admit("key:1", None)
    assert refused.value.quota.remaining == 0
    for quota in (*quotas, refused.value.quota):
        assert left - 3 <= quota.reset_s <= left + 1


async def test_remaining_is_exact_for_one_process_with_batches(make: Make) -> None:
    limits = make()
    remaining = [(await limits.admit("key:1", 1000)).remaining for _ in range(1000)]
    assert remaining == list(range(999, -1, -1))


async def test_a_new_window_admits_again(make: Make, redis_client: Redis) -> None:
    limits = make(window_s=SHORT_S)
    await fresh_window(redis_client, SHORT_S, spare_s=SHORT_S * 0.8)
    assert await count_admitted(limits, "key:1", 2, 3) == 2
    with pytest.raises(RateLimited) as refused:
        await limits.admit("key:1", 2)
    assert refused.value.quota.reset_s == 1
    await asyncio.sleep(refused.value.quota.reset_s)
    assert (await limits.admit("key:1", 2)).remaining == 1
    assert await redis_client.pttl(KEY_PREFIX + "key:1") <= SHORT_S * 1000 + 1000


@pytest.mark.parametrize("limit", [20, 1000])
async def test_many_windows_in_a_row_never_exceed_the_limit(
    make: Make, redis_client: Redis, limit: int
) -> None:
    processes = [make(window_s=SHORT_S) for _ in range(PROCESSES)]
    until = time.monotonic() + 4 * SHORT_S

    async def hammer(limits: RateLimits) -> int:
        count = 0
        while time.monotonic() < until:
            count += await admitted(limits, "key:1", limit) is not None
            await asyncio.sleep(0)
        return count

    first = await redis_time(redis_client) // SHORT_S
    total = sum(await asyncio.gather(*(hammer(limits) for limits in processes for _ in range(5))))
    windows = await redis_time(redis_client) // SHORT_S - first + 1
    assert limit < total <= windows * limit


async def test_a_high_limit_costs_hardly_any_calls(make: Make, redis_client: Redis) -> None:
    limits = make()
    await redis_client.config_resetstat()
    for _ in range(1000):
        await limits.admit("key:1", 100_000)
    await asyncio.gather(*limits._tasks)
    assert 1 <= await script_calls(redis_client) <= 3


async def test_concurrent_requests_share_a_lease(make: Make, redis_client: Redis) -> None:
    limits = make()
    await limits.admit("key:other", 1)
    await redis_client.config_resetstat()
    await asyncio.gather(*(limits.admit("key:1", 100_000) for _ in range(400)))
    assert await script_calls(redis_client) == 1


async def test_a_limited_caller_does_not_flood_redis(make: Make, redis_client: Redis) -> None:
    limits = make()
    assert await count_admitted(limits, "key:1", 5, 6) == 5
    await redis_client.config_resetstat()
    assert await count_admitted(limits, "key:1", 5, 1000) == 0
    assert await script_calls(redis_client) == 0


async def test_callers_do_not_share(make: Make) -> None:
    limits = make()
    assert await count_admitted(limits, "key:1", 2, 5) == 2
    assert await count_admitted(limits, "anonymous:127.0.0.1", 3, 5) == 3


async def test_a_raised_limit_holds_at_once_and_counts_what_was_used(make: Make) -> None:
    limits = make()
    assert await count_admitted(limits, "key:1", 2, 5) == 2
    assert await count_admitted(limits, "key:1", 7, 20) == 5
    assert await count_admitted(limits, "key:1", 0, 5) == 0


async def test_a_cancelled_request_takes_no_lease_away(make: Make, redis_client: Redis) -> None:
    limits = make()
    first = asyncio.create_task(limits.admit("key:1", 1000))
    second = asyncio.create_task(limits.admit("key:1", 1000))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).remaining == 999
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_without_redis_each_process_keeps_the_limit_by_itself(make: Make, no_redis: Redis) -> None:
    limits = make(no_redis)
    quotas = [await admitted(limits, "key:1", 5) for _ in range(20)]
    assert [quota.remaining for quota in quotas if quota] == [4, 3, 2, 1, 0]
    with pytest.raises(RateLimited) as refused:
        await limits.admit("key:1", 5)
    assert refused.value.quota == Quota(5, 0, int(LONG_S))
    other = make(no_redis, window_s=SHORT_S)
    counts = await asyncio.gather(*(count_admitted(other, "key:1", 5, 1) for _ in range(50)))
    assert sum(counts) == 5
    await asyncio.sleep(SHORT_S)
    assert await count_admitted(other, "key:1", 5, 10) == 5


async def test_a_hung_redis_holds_one_request_briefly(make: Make) -> None:
    connections = 0

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read()
        writer.close()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = open_redis(f"redis://127.0.0.1:{port}", pool_size=4, timeout_s=10)
    limits = make(client, lease_timeout_s=rate_limits.LEASE_TIMEOUT_S)
    with Stopwatch() as asking:
        await limits.admit("key:1", 10_000)
    assert asking.seconds < 1
    for number in range(200):
        admit_at_once(limits, f"key:{number}", 10_000)
    until = time.monotonic() + 1.5 * rate_limits.RETRY_S
    while time.monotonic() < until:
        admit_at_once(limits, "key:1", 10_000)
        await asyncio.sleep(0.01)
    assert 2 <= connections <= 3
    await limits.close()
    await client.aclose()
    server.close()
    await server.wait_closed()


async def test_a_redis_that_comes_back_counts_again(make: Make, redis_client: Redis) -> None:
    limits = make(lease_timeout_s=rate_limits.LEASE_TIMEOUT_S)
    await limits.admit("key:warm", 1)
    await redis_client.client_pause(1500)
    with Stopwatch() as asking:
        assert (await limits.admit("key:1", 5)).remaining == 4
    assert asking.seconds < 1.2
    assert await count_admitted(limits, "key:1", 5, 10) == 4
    until = time.monotonic() + 10
    while not await admitted(limits, "key:1", 5):
        assert time.monotonic() < until
        await asyncio.sleep(0.05)
    # Calls that were given up may have been counted; what the process admitted by itself was not.
    assert int((await redis_client.hget(KEY_PREFIX + "key:1", "used")) or 0) <= 3


async def test_past_windows_are_forgotten(make: Make, no_redis: Redis) -> None:
    limits = make(no_redis, window_s=SHORT_S)
    for number in range(MAX_BUCKETS):
        await limits.admit(f"anonymous:{number}", 5)
    await asyncio.sleep(SHORT_S)
    await limits.admit("key:1", 5)
    assert len(limits._buckets) <= 2


async def test_with_too_many_callers_the_oldest_are_forgotten(make: Make, no_redis: Redis) -> None:
    limits = make(no_redis)
    for number in range(3 * MAX_BUCKETS):
        await limits.admit(f"anonymous:{number}", 5)
        assert len(limits._buckets) <= MAX_BUCKETS
    assert (f"anonymous:{3 * MAX_BUCKETS - 1}", 5) in limits._buckets

"""One connection that many share: everybody gets the reply to its own command, or an error, in time."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from app.domain.errors import LeaseLost, RedisUnavailable
from app.store.redis import open_redis
from app.store.redis_line import RedisLine
from tests.stopwatch import Stopwatch
from tests.wire import wire_to

TIMEOUT_S = 0.3


@asynccontextmanager
async def opened(url: str, reply_timeout_s: float = TIMEOUT_S) -> AsyncIterator[RedisLine]:
    pool = open_redis(url, pool_size=1, timeout_s=None).connection_pool
    connection = cast("AbstractConnection", pool.make_connection())  # type: ignore[no-untyped-call]
    await connection.connect()  # type: ignore[no-untyped-call]
    line = RedisLine(connection, reply_timeout_s)
    try:
        yield line
    finally:
        await line.close()


@pytest.fixture
async def line(redis_url: str) -> AsyncIterator[RedisLine]:
    async with opened(redis_url) as opened_line:
        yield opened_line


async def test_callers_that_give_up_shift_no_replies(line: RedisLine) -> None:
    chance = random.Random(1)  # noqa: S311
    answered = patient = 0

    async def ask(number: int) -> None:
        nonlocal answered, patient
        text = b"%d" % number * chance.randrange(1, 2000)
        within_s = chance.choice((0, 0.0001, 0.001, None))
        patient += within_s is None
        try:
            async with asyncio.timeout(within_s):
                assert await line.send("ECHO", text) == text
                answered += 1
        except TimeoutError:
            pass

    for turn in range(20):
        await asyncio.gather(*(ask(turn * 100 + number) for number in range(100)))
    assert 400 < patient <= answered < 2000
    assert await line.send("ECHO", "last") == b"last"


async def test_batches_that_are_given_up_shift_no_replies(line: RedisLine) -> None:
    chance = random.Random(2)  # noqa: S311
    answered = 0

    async def ask(number: int) -> None:
        nonlocal answered
        texts = [
            b"%d.%d" % (number, place) * chance.randrange(1, 500) for place in range(chance.randrange(1, 6))
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(chance.choice((0, 0.0001, 0.001, None))):
                assert await line.send_all([("ECHO", text) for text in texts]) == texts
                answered += 1

    for turn in range(20):
        await asyncio.gather(*(ask(turn * 100 + number) for number in range(100)))
    assert 400 < answered < 2000
    assert await line.send_all([("ECHO", "one"), ("ECHO", "two")]) == [b"one", b"two"]


async def test_one_refusal_fails_its_batch_alone(line: RedisLine) -> None:
    outcomes = await asyncio.gather(
        line.send_all([("ECHO", "before")]),
        line.send_all([("ECHO", "a"), ("NOSUCH",), ("ECHO", "b")]),
        line.send_all([("ECHO", "after")]),
        return_exceptions=True,
    )
    assert outcomes[0] == [b"before"] and outcomes[2] == [b"after"]
    assert isinstance(outcomes[1], ResponseError)
    with pytest.raises(TypeError):
        line.send_all([("ECHO", "never sent"), ("ECHO", object())])  # type: ignore[list-item]
    assert await line.send_all([("ECHO", "still")]) == [b"still"]


async def test_who_has_less_time_gives_up_alone(redis_url: str, redis_client: Redis) -> None:
    async with opened(redis_url, reply_timeout_s=10) as line:
        await redis_client.client_pause(1000)
        patient = line.send_all([("ECHO", "patient")])
        with pytest.raises(RedisUnavailable, match="within 20 ms"):
            await line.send_all([("ECHO", "hasty")], within_s=0.02)
        assert not patient.done()
        assert await patient == [b"patient"]
        assert await line.send("ECHO", "after") == b"after"


async def test_a_line_that_is_ended_answers_who_waits(redis_url: str) -> None:
    async with opened(redis_url) as line:
        waiting = line.send_all([("ECHO", "last")])
        await line.end()
        assert await waiting == [b"last"]
        assert line.is_lost


async def test_refusals_are_their_own_callers(line: RedisLine) -> None:
    script = "return redis.error_reply(ARGV[1])"
    replies = await asyncio.gather(
        line.send("ECHO", "before"),
        line.send("NOSUCH"),
        line.send("EVAL", script, 0, "READONLY replica"),
        line.send("EVAL", script, 0, "FENCED"),
        line.send("ECHO", "after"),
        return_exceptions=True,
    )
    kinds = (bytes, ResponseError, RedisUnavailable, LeaseLost, bytes)
    assert tuple(type(reply) for reply in replies) == kinds
    assert (replies[0], replies[-1]) == (b"before", b"after")


async def test_replies_of_every_kind_are_told_from_none_yet(line: RedisLine) -> None:
    assert await line.send("EVAL", "redis.setresp(3); return false", 0) is False
    assert await line.send("EVAL", "redis.setresp(3); return {map={a=1}}", 0) == {b"a": 1}
    assert await line.send("EVAL", "redis.setresp(3); return {double=0}", 0) == 0
    assert await line.send("GET", "nothing") is None


async def test_messages_unasked_shift_no_replies(line: RedisLine, redis_client: Redis) -> None:
    await line.send("CLIENT", "TRACKING", "ON", "BCAST")
    for turn in range(20):
        await redis_client.set(f"key {turn}", "value")
        replies = await asyncio.gather(*(line.send("ECHO", number) for number in range(20)))
        assert replies == [b"%d" % number for number in range(20)]


async def test_a_process_that_was_held_up_does_not_blame_the_server(line: RedisLine) -> None:
    reply = line.send("ECHO", "x")
    time.sleep(2 * TIMEOUT_S)  # noqa: ASYNC251 - some other work of the process
    assert await reply == b"x"


async def test_a_silent_server_is_given_up_by_all(redis_url: str) -> None:
    async with wire_to(redis_url) as wire, opened(wire.url) as line:
        assert await line.send("PING") == b"PONG"
        wire.freeze()
        began = time.monotonic()
        with Stopwatch() as waiting:
            first = [line.send("ECHO", number) for number in range(5)]
            await asyncio.sleep(TIMEOUT_S / 2)
            later = line.send("ECHO", "later")
            outcomes: list[Any] = await asyncio.gather(*first, later, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {RedisUnavailable}
        assert time.monotonic() - began >= TIMEOUT_S
        assert waiting.seconds < 2 * TIMEOUT_S
        wire.mend()
        with pytest.raises(RedisUnavailable):  # what comes now would be the replies of those before
            await line.send("ECHO", "again")


async def test_a_slow_reply_in_time_fails_nobody(line: RedisLine, redis_client: Redis) -> None:
    for _ in range(3):
        assert await line.send("PING") == b"PONG"
        await redis_client.client_pause(int(TIMEOUT_S * 600))
        late = [line.send("ECHO", number) for number in range(3)]
        assert await asyncio.gather(*late) == [b"0", b"1", b"2"]


async def test_steady_use_outlasts_the_timeout(redis_url: str) -> None:
    async with opened(redis_url) as line:
        for _ in range(8):
            assert await line.send("PING") == b"PONG"
            await asyncio.sleep(TIMEOUT_S / 4)


async def test_a_cut_connection_fails_all_at_once(redis_url: str) -> None:
    async with wire_to(redis_url) as wire, opened(wire.url) as line:
        blocked = line.send("BLPOP", "nothing", 5)
        await asyncio.sleep(0.05)
        with Stopwatch() as failing:
            await wire.cut()
            with pytest.raises(RedisUnavailable):
                await blocked
            with pytest.raises(RedisUnavailable):
                await line.send("PING")
        assert failing.seconds < TIMEOUT_S


async def test_closing_fails_who_waits(redis_url: str) -> None:
    async with opened(redis_url) as line:
        blocked = line.send("BLPOP", "nothing", 5)
    with pytest.raises(RedisUnavailable):
        await blocked

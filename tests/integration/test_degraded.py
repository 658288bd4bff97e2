"""Searches while the index cannot be asked: bounded answers from Postgres, and back without anybody."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from app.domain.errors import RedisUnavailable
from app.domain.text import plain_words
from app.embedded.redis import EmbeddedRedis, start_redis
from app.ingest.sample import sample_source
from app.store.circuit import Circuit
from app.store.postgres import Connection
from tests.integration.conftest import (
    Client,
    Import,
    WaitLevel,
    eventually,
    get_json,
    running_api,
    running_indexer,
)
from tests.integration.test_api import FOUND_EITHER_WAY, ROWS, SEARCH, problem, symbols
from tests.stopwatch import Stopwatch

SUGGEST = "/v1/instruments/suggest"
NOWHERE = "redis://127.0.0.1:1"


@pytest.fixture
async def alone(database_url: str, import_instruments: Import) -> AsyncIterator[Client]:
    """The API over ROWS without a Redis."""
    await import_instruments(ROWS)
    async with running_api(database_url, NOWHERE) as client:
        yield client


async def source_of(client: Client, **parameters: Any) -> tuple[int, str | None]:
    async with client.get(SEARCH, params=parameters) as response:
        return response.status, response.headers.get("X-Search-Source")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *FOUND_EITHER_WAY,
        ("'; DROP TABLE instruments; --", []),
        ("!&|():*", []),
    ],
)
async def test_the_right_instrument_comes_first(alone: Client, text: str, expected: list[str]) -> None:
    assert await symbols(alone, q=text) == expected


async def test_symbols_and_aliases_are_compared_as_in_the_index(
    alone: Client, import_instruments: Import
) -> None:
    row = {"name": "Wide", "asset_class": "equity", "mic": "XETR"}
    await import_instruments(
        [{**row, "symbol": "ＦＷ.DE", "aliases": ["Full Wide", "ｗ２"]}, {**row, "symbol": "ß1"}]
    )
    for text in ("fw.de", "ＦＷ.DE", "full wide", "FULL  WIDE", "W2"):
        assert await symbols(alone, q=text) == ["ＦＷ.DE"], text
    assert await symbols(alone, q="ss1") == await symbols(alone, q="ß1") == ["ß1"]


async def test_answers_say_where_they_come_from_and_what_they_are_not(alone: Client) -> None:
    async with alone.get(SEARCH, params={"q": "apple", "limit": 2}) as response:
        content = await response.json()
        headers = response.headers
    assert (headers["X-Search-Source"], headers["X-Index-Generation"]) == ("postgres", "none")
    assert headers["X-Index-Age"] == "0.0" and headers["Server-Timing"].startswith(
        'postgres;desc="degraded";dur='
    )
    assert (content["total_is_exact"], content["next_cursor"]) == (False, None)
    assert len(content["hits"]) == 2 and content["total"] >= 2


async def test_filters_sorts_offsets_and_suggestions(alone: Client) -> None:
    assert await symbols(alone, mic="XETR", sort="symbol") == ["APC.DE", "DBK.DE", "SIE.DE"]
    assert await symbols(alone, q="apple", status="delisted") == ["OLD"]
    everything = await symbols(alone, sort="name")
    assert len(everything) == len(ROWS) - 1
    assert await symbols(alone, sort="name", offset=2, limit=3) == everything[2:5]
    suggested = (await get_json(alone, SUGGEST, q="siem"))["suggestions"]
    assert [hit["symbol"] for hit in suggested] == ["SIE.DE", "SIEN.MX", "SIE.BE"]
    assert not (await get_json(alone, SUGGEST, q="aktiengesellschaft"))["suggestions"], "an inner word"


async def test_more_than_can_be_looked_at_is_said(
    alone: Client, import_instruments: Import, database: Connection
) -> None:
    many = [
        {"symbol": f"M{n:03}", "name": f"Many {n}", "asset_class": "equity", "mic": "XNAS"}
        for n in range(300)
    ]
    await import_instruments(many)
    content = await get_json(alone, SEARCH, q="many")
    assert content["partial"] is True and "only some were looked at" in content["partial_reason"]
    assert content["total"] == 200


async def test_a_cursor_waits_for_redis(
    alone: Client, database_url: str, redis_url: str, indexer: WaitLevel
) -> None:
    await indexer()
    async with running_api(database_url, redis_url) as client:
        cursor = (await get_json(client, SEARCH, limit=2))["next_cursor"]
    async with alone.get(SEARCH, params={"cursor": cursor, "limit": 2}) as response:
        await problem(response, 503)
        assert response.headers["Retry-After"]


async def test_readiness_is_degraded_with_one_server_and_unavailable_without_both(alone: Client) -> None:
    async with alone.get("/health/ready") as response:
        content = await response.json()
    assert (response.status, content["status"], content["redis"]) == (200, "degraded", "down")
    async with running_api("postgresql://x@127.0.0.1:1/x", NOWHERE) as client:
        async with client.get("/health/ready") as response:
            assert (response.status, (await response.json())["status"]) == (503, "unavailable")
        async with client.get(SEARCH, params={"q": "apple"}) as response:
            await problem(response, 503)


async def test_more_searches_than_postgres_may_answer_are_refused_at_once(
    database_url: str, database: Connection
) -> None:
    async with running_api(database_url, NOWHERE, postgres_pool_size=4) as client:
        await symbols(client)

        async def ask(number: int) -> tuple[int, float]:
            started = time.monotonic()
            async with client.get(SEARCH, params={"q": f"apple {number}"}) as response:
                content = await problem(response, 503)
                assert response.headers["Retry-After"] == "1"
            return "others already" in content["detail"], time.monotonic() - started

        async with database.transaction():
            await database.execute("LOCK TABLE instruments IN ACCESS EXCLUSIVE MODE")
            answers = await asyncio.gather(*map(ask, range(20)))
        refused, let_in = ([seconds for was, seconds in answers if was is kind] for kind in (True, False))
        assert len(refused) == 18, "half of the pool searches"
        assert max(refused) < min(let_in), "they did not wait for what those that were let in wait for"
        assert await symbols(client) == []


async def test_searches_return_to_an_index_that_was_emptied_and_filled(
    database_url: str, redis_url: str, redis_client: Redis, import_instruments: Import
) -> None:
    await import_instruments(ROWS)
    async with running_api(database_url, redis_url) as client:
        assert await source_of(client, q="AAPL") == (200, "postgres")
        async with running_indexer(database_url, redis_client):
            await eventually(lambda: is_answered(client, "redis"))
        await redis_client.flushall()
        assert await source_of(client, q="AAPL") == (200, "postgres")
        async with running_indexer(database_url, redis_client):
            await eventually(lambda: is_answered(client, "redis"))


async def is_answered(client: Client, source: str) -> bool:
    return await source_of(client, q="AAPL") == (200, source)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A server that the test may do with what it likes."""
    server = start_redis(tmp_path, "own", persist=False)
    yield server
    server.child.process.send_signal(signal.SIGCONT)
    server.child.stop()


async def test_a_frozen_redis_costs_the_first_callers_its_share_and_later_ones_nothing(
    own_redis: EmbeddedRedis, database_url: str, import_instruments: Import
) -> None:
    await import_instruments(ROWS)
    client = Redis.from_url(own_redis.url(), protocol=3)

    def is_open() -> bool:
        return REGISTRY.get_sample_value("registry_redis_circuit_open") == 1

    async with (
        running_indexer(database_url, client),
        running_api(database_url, own_redis.url(), redis_search_ms=250) as api,
    ):
        await eventually(lambda: is_answered(api, "redis"))
        own_redis.child.process.send_signal(signal.SIGSTOP)
        with Stopwatch() as first:
            while not is_open():
                assert await source_of(api, q="AAPL") == (200, "postgres")
        assert 0.2 < first.seconds < 3
        with Stopwatch() as later:
            for _ in range(10):
                assert await source_of(api, q="AAPL") == (200, "postgres")
        assert later.seconds < 10 * 0.25, "no one has waited for Redis again"

        async def is_told() -> bool:
            ready = await get_json(api, "/health/ready")
            assert ready["redis"] == "down"
            return bool(ready["profile_copies"] == "unused")

        await eventually(is_told)  # copies are looked after by a poll of their own
        number = (await get_json(api, SEARCH, q="AAPL"))["hits"][0]["id"]
        assert (await get_json(api, f"/v1/instruments/{number}"))["symbol"] == "AAPL"
        assert is_open()
        own_redis.child.process.send_signal(signal.SIGCONT)
        await eventually(lambda: is_answered(api, "redis"), 5)
        assert not is_open()
    await client.aclose()


async def test_a_search_that_takes_too_long_opens_nothing_while_redis_answers(
    database_url: str, redis_url: str, redis_client: Redis, import_instruments: Import, indexer: WaitLevel
) -> None:
    """Nor does a pause: whoever gets no answer has Redis looked at, and it answers."""
    await import_instruments(ROWS)
    await indexer()
    async with running_api(database_url, redis_url, redis_search_ms=200) as api:
        await eventually(lambda: is_answered(api, "redis"))
        for _ in range(3):
            await redis_client.client_pause(260)
            answers = await asyncio.gather(*(source_of(api, q="AAPL") for _ in range(5)))
            assert {source for _, source in answers} <= {"postgres", "redis", None}
            await eventually(lambda: is_answered(api, "redis"), 1)


async def test_doubt_has_redis_looked_at(redis_client: Redis) -> None:
    circuit = Circuit()
    with circuit:
        pass
    assert not circuit.doubted.is_set()
    with pytest.raises(RedisUnavailable, match="no answer"), circuit:
        raise RedisUnavailable("no answer")
    assert circuit.doubted.is_set() and not circuit.is_open
    circuit.open()
    with pytest.raises(RedisUnavailable, match="is not asked"), circuit:
        raise AssertionError("Redis was asked")
    circuit.close()
    with circuit:
        pass


async def test_names_are_folded_in_sql_as_in_python(database: Connection) -> None:
    names = [str(row["name"]) for row in sample_source().rows]
    assert len(names) > 500 and not all(name.isascii() for name in names)
    found = await database.fetch(
        "SELECT tsvector_to_array(folded_words(n)) FROM unnest($1::text[]) AS n", names
    )
    for name, record in zip(names, found, strict=True):
        assert sorted(record[0]) == sorted(set(plain_words(name))), name


LATIN = strategies.text(
    strategies.characters(min_codepoint=0x20, max_codepoint=0x17F, categories=("L", "Nd", "P", "Zs", "S"))
)


async def test_latin_text_is_folded_in_sql_as_in_python(database: Connection) -> None:
    texts: list[str] = []

    @settings(max_examples=300, database=None, suppress_health_check=list(HealthCheck))
    @given(LATIN)
    def collect(text: str) -> None:
        texts.append(text)

    collect()
    found = await database.fetch(
        "SELECT tsvector_to_array(folded_words(n)) FROM unnest($1::text[]) AS n", texts
    )
    for text, record in zip(texts, found, strict=True):
        assert sorted(record[0]) == sorted(set(plain_words(text))), ascii(text)

"""Answers that are kept: who gets them, for how long, and how many."""

import asyncio
import gzip
import time
from functools import partial
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from app.domain.access import INDEX_ADMIN, INSTRUMENTS_READ
from app.domain.errors import SearchTimedOut
from app.parameters.definitions import Parameters
from app.store.index_jobs import IndexJobs, JobKind
from app.store.postgres import Connection
from app.web import answer_cache
from app.web.answer_cache import Answer, AnswerCache
from tests.integration.caches.conftest import LONG, ROWS, change, kept_for, open_epoch, searches_of
from tests.integration.conftest import (
    Client,
    Import,
    WaitLevel,
    carry_out,
    eventually,
    get_json,
    running_api,
)

SEARCH = "/v1/instruments/search"


async def ask(api: Client, query: str, **headers: str) -> tuple[str, bytes, Any]:
    """Where an answer is from, its body, and its headers."""
    async with api.get(f"{SEARCH}?{query}", headers=headers) as response:
        assert response.status in (200, 304), await response.text()
        return response.headers["X-Search-Source"], await response.read(), response.headers


async def test_the_same_question_is_answered_from_memory(api: Client, redis_client: Redis) -> None:
    source, body, headers = await ask(api, "q=Company+1&limit=5&mic=XNAS&mic=XETR")
    assert (source, headers["Vary"]) == ("redis", "Accept-Encoding")
    assert 'redis;desc="ranked";dur=' in headers["Server-Timing"]
    before = await searches_of(redis_client)
    for query in (
        "q=Company+1&limit=5&mic=XNAS&mic=XETR",
        "mic=xetr&q=company++1&mic=XNAS&limit=5&offset=0",
        "q=%20COMPANY%201&limit=5&mic=XNAS&mic=XETR&status=active",
    ):
        again, same, again_headers = await ask(api, query)
        assert (again, same, again_headers["ETag"]) == ("cache", body, headers["ETag"])
        assert again_headers["X-Index-Generation"] == headers["X-Index-Generation"]
        assert 'cache;desc="ranked";dur=' in again_headers["Server-Timing"]
    assert await searches_of(redis_client) == before
    for other in ("q=Company+1&limit=6&mic=XNAS&mic=XETR", "q=Company+1&limit=5", "q=Compány+1&limit=5"):
        assert (await ask(api, other))[0] == "redis"
    suggest = "/v1/instruments/suggest?q=t1&limit=5"
    for source in ("redis", "cache"):
        async with api.get(suggest) as response:
            assert response.headers["X-Search-Source"] == source


async def test_a_cursor_leads_on_from_a_kept_answer_however_it_was_asked_for(api: Client) -> None:
    page = await get_json(api, SEARCH, q="COMPANY", limit=5)
    rest = await get_json(api, SEARCH, q="company", limit=100, cursor=page["next_cursor"])
    assert len({hit["id"] for hit in page["hits"] + rest["hits"]}) == 30


async def test_who_knows_the_answer_is_not_sent_it_again(api: Client) -> None:
    _, body, headers = await ask(api, "q=T1")
    for _ in range(2):
        async with api.get(f"{SEARCH}?q=T1", headers={"If-None-Match": headers["ETag"]}) as response:
            assert (response.status, await response.read()) == (304, b"")
            assert response.headers["ETag"] == headers["ETag"]
    assert (await ask(api, "q=T1", **{"If-None-Match": '"other"'}))[1] == body


async def test_no_cache_has_it_searched_anew(
    api: Client, import_instruments: Import, indexer: WaitLevel
) -> None:
    await ask(api, "q=Newcomer")
    await import_instruments([{**ROWS[0], "symbol": "NEW", "name": "Newcomer"}], source="other")
    await indexer()
    source, body, headers = await ask(api, "q=Newcomer")
    assert (source, orjson.loads(body)["total"]) == ("cache", 0)
    source, body, _ = await ask(api, "q=Newcomer", **{"Cache-Control": "no-cache"})
    assert (source, orjson.loads(body)["total"]) == ("redis", 1)
    source, body, _ = await ask(api, "q=Newcomer")  # and is kept in the old one's place
    assert (source, orjson.loads(body)["total"]) == ("cache", 1)
    assert float(headers["X-Index-Age"]) >= 0


async def test_of_many_who_ask_at_once_one_searches(api: Client, redis_client: Redis) -> None:
    await ask(api, "q=Company+3")
    before = await searches_of(redis_client)
    await ask(api, "q=Company+4")
    once = await searches_of(redis_client) - before
    answers = await asyncio.gather(*(ask(api, "q=Company+5") for _ in range(100)))
    assert await searches_of(redis_client) - before == 2 * once
    assert len({body for _, body, _ in answers}) == 1


async def test_a_refusal_of_gzip_is_heeded(api: Client) -> None:
    for _ in range(2):
        _, _, headers = await ask(api, "q=Company", **{"Accept-Encoding": "gzip;q=0, identity"})
        assert "Content-Encoding" not in headers


async def test_gzip_where_an_answer_is_sent_again(api: Client) -> None:
    plain = {"Accept-Encoding": "identity"}
    _, body, _ = await ask(api, "q=Company", **plain)
    assert len(body) > answer_cache.MIN_COMPRESSED_BYTES
    async with api.get(f"{SEARCH}?q=Company", headers={"Accept-Encoding": "gzip"}) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert int(response.headers["Content-Length"]) < len(body) / 3
        assert await response.read() == body  # unpacked by the client
    assert "Content-Encoding" not in (await ask(api, "q=Company", **plain))[2]
    assert "Content-Encoding" not in (await ask(api, "q=T29", **{"Accept-Encoding": "gzip"}))[2]


async def test_an_explanation_is_not_kept(database_url: str, redis_url: str, filled: None) -> None:
    scopes = {"anonymous_scopes": (INSTRUMENTS_READ, INDEX_ADMIN)}
    async with running_api(database_url, redis_url, parameters=LONG, **scopes) as api:
        for _ in range(2):
            source, body, _ = await ask(api, "q=T1&explain=true")
            assert source == "redis" and b"explanations" in body
        assert b"explanations" not in (await ask(api, "q=T1"))[1]


async def test_a_change_is_shown_in_time_and_by_a_rebuild_at_once(
    database_url: str, redis_url: str, filled: None, import_instruments: Import, database: Connection
) -> None:
    async def is_shown(api: Client, total: int) -> bool:
        return bool((await get_json(api, SEARCH, q="Newcomer"))["total"] == total)

    async with running_api(database_url, redis_url, parameters=Parameters(search_index_refresh=2)) as api:
        assert await is_shown(api, 0)
        for number in (1, 2):
            row = {**ROWS[0], "symbol": f"NEW{number}", "name": f"Newcomer {number}"}
            await import_instruments([row], source="other")
            await eventually(partial(is_shown, api, number))
    async with running_api(database_url, redis_url, parameters=LONG) as api:
        first = (await ask(api, "q=T1"))[2]
        await carry_out(IndexJobs(database), JobKind.REBUILD)

        async def is_of_another_generation() -> bool:
            return bool((await ask(api, "q=T1"))[2]["X-Index-Generation"] != first["X-Index-Generation"])

        await eventually(is_of_another_generation)


async def test_nothing_is_kept_that_postgres_answered(
    database_url: str, redis_url: str, filled: None, redis_client: Redis
) -> None:
    async with running_api(database_url, redis_url, parameters=LONG, redis_search_ms=200) as api:
        await redis_client.client_pause(1500)
        assert {(await ask(api, "q=T1"))[0] for _ in range(3)} == {"postgres"}

        async def is_back() -> bool:
            return (await ask(api, "q=T1"))[0] != "postgres"

        await eventually(is_back)


# The cache itself: its epoch, and what becomes of those who make an answer.


async def answer(body: bytes = b"x", **more: Any) -> Answer:
    return Answer(**{"body": body, "generation": 1, "age_s": 0.0, "plan": "p", "is_whole": True, **more})


async def test_a_trickle_of_changes_does_not_empty_it_every_time(
    database_url: str, redis_client: Redis, filled: None
) -> None:
    async with open_epoch(database_url, redis_client, refresh_s=1000) as epoch:
        cache = AnswerCache(epoch, kept_for(1000), max_bytes=1 << 20)
        first = epoch.number
        await change(redis_client, epoch)
        epoch.follow()
        assert (epoch.number, epoch.is_over) == (first, True)  # it has only just begun
        epoch.began_at -= 1000
        epoch.follow()
        assert (epoch.number, epoch.is_over) == (first + 1, False)
        await cache.made("k", answer)
        for _ in range(5):
            await change(redis_client, epoch)
            assert cache.kept("k", answer) is not None
        assert epoch.number == first + 1
        old = await answer(epoch=epoch.number, made_at=time.monotonic() - 7, age_s=3)
        assert epoch.age_s(old) == pytest.approx(10, abs=1)


async def test_what_nobody_can_get_any_more_takes_no_memory(
    database_url: str, redis_client: Redis, filled: None
) -> None:
    async with open_epoch(database_url, redis_client, refresh_s=1000) as epoch:
        cache = AnswerCache(epoch, kept_for(1000), max_bytes=1 << 20)
        for key in range(10):
            await cache.made(key, answer)
        epoch._begin(has_grace=True)
        await cache.made("later", answer)
        assert len(cache._kept) == 11, "they may be given once more"
        epoch._begin(has_grace=True)
        for key in range(100, 105):
            await cache.made(key, answer)
        assert list(cache._kept) == ["later", *range(100, 105)]
        assert cache._bytes == sum(one.size for one in cache._kept.values())


async def test_what_has_become_old_is_given_while_it_is_made_anew(
    database_url: str, redis_client: Redis, filled: None
) -> None:
    async with open_epoch(database_url, redis_client, refresh_s=1000) as epoch:
        cache = AnswerCache(epoch, kept_for(1000), max_bytes=1 << 20)
        await cache.made("k", partial(answer, b"old"))
        await cache.made("forgotten", partial(answer, b"old"))
        epoch._begin(has_grace=True)
        made = 0

        async def make() -> Answer:
            nonlocal made
            made += 1
            await asyncio.sleep(0.01)
            return await answer(b"new")

        given = [cache.kept("k", make) for _ in range(5)]
        assert {found and found.body for found in given} == {b"old"}
        await asyncio.sleep(0.1)
        found = cache.kept("k", make)
        assert (found and found.body, made) == (b"new", 1)
        epoch.began_at -= epoch.grace_s
        assert cache.kept("forgotten", make) is None
        await cache.close()


async def test_a_process_that_is_asked_seldom_gives_nothing_too_old(
    database_url: str, redis_client: Redis, filled: None
) -> None:
    async with open_epoch(database_url, redis_client, refresh_s=0.4) as epoch:
        cache = AnswerCache(epoch, kept_for(1000), max_bytes=1 << 20)
        await cache.made("k", answer)
        await change(redis_client, epoch)  # and nobody asks for a while
        await asyncio.sleep(0.5)
        await epoch._index.read_state()
        assert cache.kept("k", answer) is None


async def test_a_change_of_pins_has_no_grace(database_url: str, redis_client: Redis, filled: None) -> None:
    async with open_epoch(database_url, redis_client, refresh_s=1000) as epoch:
        cache = AnswerCache(epoch, kept_for(1000), max_bytes=1 << 20)
        await cache.made("k", answer)
        epoch._pins._last_event = 1
        assert cache.kept("k", answer) is None


async def test_an_index_that_cannot_be_read_for_long_ends_everything(
    database_url: str, redis_client: Redis, filled: None
) -> None:
    async with open_epoch(database_url, redis_client, refresh_s=0.2) as epoch:
        cache = AnswerCache(epoch, kept_for(1000), max_bytes=1 << 20)
        await cache.made("k", answer)
        assert cache.kept("k", answer) is not None
        await asyncio.sleep(0.2)
        assert cache.kept("k", answer) is None


async def test_who_gives_up_leaves_the_others_their_answer(
    database_url: str, redis_client: Redis, filled: None
) -> None:
    async with open_epoch(database_url, redis_client, refresh_s=1000) as epoch:
        cache = AnswerCache(epoch, kept_for(1000), max_bytes=1 << 20)
        made = 0

        async def make() -> Answer:
            nonlocal made
            made += 1
            await asyncio.sleep(0.05)
            return await answer()

        asking = [asyncio.create_task(cache.made("k", make)) for _ in range(5)]
        await asyncio.sleep(0.01)
        asking[0].cancel()
        asking[3].cancel()
        ended = await asyncio.gather(*asking, return_exceptions=True)
        kinds = [type(one).__name__ for one in ended]
        assert kinds == ["CancelledError", "Answer", "Answer", "CancelledError", "Answer"]
        assert made == 2

        async def fail() -> Answer:
            await asyncio.sleep(0.01)
            raise SearchTimedOut("too long")

        failed = await asyncio.gather(*(cache.made("f", fail) for _ in range(3)), return_exceptions=True)
        assert [type(one) for one in failed] == [SearchTimedOut] * 3
        assert (await cache.made("f", make)).body == b"x"


async def test_it_is_bounded_in_number_and_bytes_and_time(
    database_url: str, redis_client: Redis, filled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_cache, "MAX_ENTRIES", 10)
    async with open_epoch(database_url, redis_client, refresh_s=1000) as epoch:
        cache = AnswerCache(epoch, kept_for(1000), max_bytes=100_000)

        async def kept_of(keys: range, body: bytes) -> list[int]:
            for key in keys:
                await cache.made(key, partial(answer, body))
                cache.kept(0, answer)
            return [key for key in keys if cache.kept(key, answer) is not None]

        assert await kept_of(range(20), b"x") == [0, *range(11, 20)]  # what is asked for again stays
        assert len(await kept_of(range(100, 120), bytes(30_000))) == 3
        assert cache._bytes <= 100_000
        assert await kept_of(range(200, 201), bytes(200_000)) == []
        big = await cache.made("big", partial(answer, bytes(90_000)))
        packed = cache.compressed(big)
        assert packed is not None and gzip.decompress(packed) == big.body
        assert cache._bytes == sum(one.size for one in cache._kept.values())
        for unfit in ({"is_whole": False}, {"generation": None}):
            await cache.made("unfit", partial(answer, **unfit))
            assert cache.kept("unfit", answer) is None
        nothing = AnswerCache(epoch, kept_for(0), max_bytes=100_000)
        await nothing.made("k", answer)
        assert not nothing._kept
        parameters = kept_for(60)
        short = AnswerCache(epoch, parameters, max_bytes=100_000)
        made = await short.made("k", answer)
        assert short.kept("k", answer) is not None
        made.made_at -= 60
        assert short.kept("k", answer) is None
        await short.made("k", answer)
        parameters.cache_ttl_seconds = 0
        assert short.kept("k", answer) is None, "a change holds for what is kept already"

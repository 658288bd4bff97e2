"""What identifiers name is kept: for whom, for how long, and how much."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import pytest
from redis.asyncio import Redis

from app.domain.lookup import Sought
from app.parameters.definitions import Parameters
from app.search.lookup_match import Matches
from app.store import lookup_cache
from app.store.cache_epoch import CacheEpoch
from app.store.index_jobs import IndexJobs, JobKind
from app.store.lookup_cache import BatchReading, LookupCache
from app.store.postgres import Connection
from tests.integration.caches.conftest import (
    LONG,
    ROWS,
    change,
    kept_for,
    open_epoch,
    searches_of,
)
from tests.integration.conftest import Client, Import, WaitLevel, carry_out, eventually, running_api
from tests.integration.test_lookup import LOOKUP

pytestmark = pytest.mark.usefixtures("filled")


class LookedUp(NamedTuple):
    source: str
    generation: str
    age_s: float
    names: list[list[str]]


async def look_up(api: Client, *symbols: str, **headers: str) -> LookedUp:
    """What each symbol names, and where that is from."""
    asked = {"identifiers": [{"type": "symbol", "value": symbol} for symbol in symbols]}
    async with api.post(LOOKUP, json=asked, headers=headers) as response:
        assert response.status == 200, await response.text()
        results = (await response.json())["results"]
        of = response.headers
    names = [[match["name"] for match in result["matches"]] for result in results]
    return LookedUp(of["X-Search-Source"], of["X-Index-Generation"], float(of["X-Index-Age"]), names)


async def requests_of(api: Client) -> tuple[float, float]:
    """Identifiers that were kept, and that were not."""
    async with api.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if line.startswith("registry_lookup_cache_requests"))
    name = 'registry_lookup_cache_requests_total{result="%s"}'
    return float(values[name % "hit"]), float(values[name % "miss"])


async def test_only_what_is_not_kept_is_asked_for(api: Client, redis_client: Redis) -> None:
    first = await look_up(api, "T1", "T2", "NONE")
    assert first[::3] == ("redis", [["Company 1 of Cached"], ["Company 2 of Cached"], []])
    before, (hits, misses) = await searches_of(redis_client), await requests_of(api)
    again = await look_up(api, "NONE", "t2", "T1", "T1")
    assert again[:2] == ("cache", first.generation)
    assert again.names == [[], ["Company 2 of Cached"], ["Company 1 of Cached"], ["Company 1 of Cached"]]
    assert await searches_of(redis_client) == before
    async with redis_client.monitor() as monitor:
        more = await look_up(api, "T3", "T1", "T4")
        searched = [""]
        while not searched[-1].startswith("FT.SEARCH"):
            searched.append((await monitor.next_command())["command"])
    assert more[:2] == ("redis", first.generation)
    assert more.names == [[f"Company {number} of Cached"] for number in (3, 1, 4)]
    assert {"T1", "T3", "T4"}.intersection(searched[-1].split()) == {"T3", "T4"}
    assert await requests_of(api) == (hits + 5, misses + 2)


async def test_no_cache_has_all_looked_up_anew(
    api: Client, import_instruments: Import, indexer: WaitLevel
) -> None:
    await look_up(api, "T1", "NEW")
    await import_instruments([{**ROWS[0], "symbol": "NEW", "name": "Newcomer"}], source="other")
    await indexer()
    assert (await look_up(api, "T1", "NEW"))[::3] == ("cache", [["Company 1 of Cached"], []])
    fresh = await look_up(api, "T1", "NEW", **{"Cache-Control": "no-cache"})
    assert fresh[::3] == ("redis", [["Company 1 of Cached"], ["Newcomer"]])
    kept = await look_up(api, "T1", "NEW")  # and is kept in the old one's place
    assert kept[::3] == ("cache", fresh.names)


async def test_a_change_is_shown_in_time(
    database_url: str, redis_url: str, import_instruments: Import
) -> None:
    async def is_shown(api: Client) -> bool:
        return bool((await look_up(api, "T1", "NEW")).names[1])

    async with running_api(database_url, redis_url, parameters=Parameters(search_index_refresh=2)) as api:
        assert not await is_shown(api)
        await import_instruments([{**ROWS[0], "symbol": "NEW", "name": "Newcomer"}], source="other")
        await eventually(partial(is_shown, api))


async def test_an_answer_is_of_one_generation(
    database_url: str, redis_url: str, database: Connection, redis_client: Redis
) -> None:
    """Also one whose index is replaced, or goes away, while it is made."""
    async with running_api(database_url, redis_url, parameters=LONG, redis_search_ms=200) as api:
        first = await look_up(api, "T1")
        await carry_out(IndexJobs(database), JobKind.REBUILD)

        async def is_of_another() -> bool:
            return (await look_up(api, "T1")).generation != first.generation

        await eventually(is_of_another)
        await redis_client.client_pause(1500)
        assert (await look_up(api, "T1")).source == "cache"
        assert (await look_up(api, "T1", "T2"))[:2] == ("postgres", "none")


async def test_nothing_is_kept_that_postgres_answered(
    database_url: str, redis_url: str, redis_client: Redis
) -> None:
    async with running_api(database_url, redis_url, parameters=LONG, redis_search_ms=200) as api:
        await redis_client.client_pause(1500)
        assert {(await look_up(api, "T1")).source for _ in range(3)} == {"postgres"}


async def test_where_nothing_is_to_be_kept(database_url: str, redis_url: str) -> None:
    never = Parameters(search_index_refresh=3600, cache_ttl_seconds=0)
    async with running_api(database_url, redis_url, parameters=never) as api:
        assert {(await look_up(api, "T1")).source for _ in range(3)} == {"redis"}


# The cache itself.

ONE, TWO, THREE = (Sought(("symbol",), (key,)) for key in ("ONE", "TWO", "THREE"))
NOTHING = Matches()


def reading(epoch: CacheEpoch) -> BatchReading:
    assert epoch.generation is not None
    return BatchReading(epoch.number, epoch.generation, 0.0, time.monotonic())


def kept(cache: LookupCache, *sought: Sought) -> Sequence[Sought]:
    """Those of them that are kept."""
    return [sought[place] for place in cache.kept(dict(enumerate(sought)))]


async def test_what_may_not_be_given_any_more(database_url: str, redis_client: Redis) -> None:
    async with open_epoch(database_url, redis_client, refresh_s=1000) as epoch:
        cache = LookupCache(epoch, kept_for(100))
        now = reading(epoch)
        cache.keep({0: ONE}, {0: NOTHING}, now)
        cache.keep({0: TWO}, {0: NOTHING}, replace(now, made_at=now.made_at - 100))
        cache.keep({0: THREE}, {0: NOTHING}, replace(now, generation=now.generation + 1))
        assert kept(cache, ONE, TWO, THREE) == [ONE]
        await change(redis_client, epoch)
        assert kept(cache, ONE) == [ONE], "the epoch has only just begun"
        epoch.began_at -= 1000
        assert kept(cache, ONE) == []

        nothing = LookupCache(epoch, kept_for(0))
        nothing.keep({0: ONE}, {0: NOTHING}, reading(epoch))
        assert not nothing._kept


async def test_what_nobody_can_get_any_more_takes_no_memory(database_url: str, redis_client: Redis) -> None:
    async with open_epoch(database_url, redis_client, refresh_s=1000) as epoch:
        cache = LookupCache(epoch, kept_for(100))
        cache.keep({0: ONE, 1: TWO}, {0: NOTHING, 1: NOTHING}, reading(epoch))
        epoch._begin(has_grace=False)
        cache.keep({0: THREE}, {0: NOTHING}, reading(epoch))
        assert (list(cache._kept), cache._instruments) == ([THREE], 1)


async def test_the_age_is_of_the_oldest(database_url: str, redis_client: Redis) -> None:
    async with open_epoch(database_url, redis_client, refresh_s=1000) as epoch:
        cache = LookupCache(epoch, kept_for(100))
        now = reading(epoch)
        older = replace(now, made_at=now.made_at - 7, age_s=3)
        assert cache.age_s([now, older]) < 9, "the index still holds what was read"
        await change(redis_client, epoch)
        epoch.follow()
        assert cache.age_s([now, older]) == pytest.approx(10, abs=1)


async def test_what_is_asked_for_least_makes_room(
    database_url: str, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup_cache, "MAX_INSTRUMENTS", 5)
    two_named = Matches([None, None])  # type: ignore[list-item]
    async with open_epoch(database_url, redis_client, refresh_s=1000) as epoch:
        cache = LookupCache(epoch, kept_for(100))
        now = reading(epoch)
        cache.keep({0: ONE, 1: TWO}, {0: NOTHING, 1: two_named}, now)
        assert kept(cache, ONE, TWO) == [ONE, TWO]
        cache.keep({0: ONE}, {0: NOTHING}, now)  # in the place of the same
        assert kept(cache, ONE) == [ONE]
        cache.keep({0: THREE}, {0: NOTHING}, now)
        assert kept(cache, ONE, TWO, THREE) == [ONE, TWO, THREE]
        assert kept(cache, TWO) == [TWO]
        four = Sought(("symbol",), ("FOUR",))
        cache.keep({0: four}, {0: NOTHING}, now)
        assert kept(cache, ONE, TWO, THREE, four) == [TWO, THREE, four]
        cache.keep({0: ONE}, {0: Matches([None] * 5)}, now)  # type: ignore[list-item]
        assert kept(cache, ONE, TWO, THREE, four) == []

"""Instruments, an API that keeps what it has answered, and the epoch of a cache."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from app.parameters.definitions import Parameters
from app.parameters.live import LiveParameters
from app.store.cache_epoch import CacheEpoch
from app.store.index_state import read_live_state
from app.store.pins import Pins
from app.store.postgres import Postgres
from app.store.search_index import SearchIndex
from app.store.search_pins import SearchPins
from tests.integration.conftest import Client, Import, WaitLevel, refreshing, running_api

LONG = Parameters(search_index_refresh=3600)
ROWS = [
    {"symbol": f"T{number}", "name": f"Company {number} of Cached", "asset_class": "equity", "mic": "XNAS"}
    for number in range(30)
]


@pytest.fixture
async def filled(import_instruments: Import, indexer: WaitLevel) -> None:
    await import_instruments(ROWS)
    await indexer()


@pytest.fixture
async def api(database_url: str, redis_url: str, filled: None) -> AsyncIterator[Client]:
    async with running_api(database_url, redis_url, parameters=LONG) as client:
        yield client


async def searches_of(client: Redis) -> int:
    stats = await client.info("commandstats")
    return int(stats.get("cmdstat_FT.SEARCH", {"calls": 0})["calls"])


def kept_for(seconds: int) -> LiveParameters:
    return LiveParameters(Parameters(cache_ttl_seconds=seconds))


@asynccontextmanager
async def open_epoch(database_url: str, redis_client: Redis, refresh_s: float) -> AsyncIterator[CacheEpoch]:
    index = SearchIndex(redis_client, share_ms=5000)
    await index.read_state()
    epoch = CacheEpoch(index, Pins(SearchPins(Postgres(database_url, 1))), refreshing(refresh_s))
    epoch.follow()
    yield epoch
    await index.close()


async def change(redis_client: Redis, epoch: CacheEpoch) -> None:
    """As the index does when documents change, and a process that reads its state."""
    state = await read_live_state(redis_client)
    assert state is not None
    await redis_client.hset(f"ir:cells:{state.generation}", "changed", str(asyncio.get_running_loop().time()))
    await epoch._index.read_state()

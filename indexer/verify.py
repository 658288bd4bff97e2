"""Compares the live index with Postgres row by row, by version."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from secrets import randbits
from typing import Final

from redis.asyncio import Redis

from app.domain.errors import IndexNotReady
from app.search.generation import document_key, document_prefix
from app.store.index_state import index_info, read_cells, read_live_state, read_parked
from app.store.instruments import open_snapshot
from app.store.redis import load_script, redis_errors

_BATCH: Final = 2000
_SETTLE_POLL_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Drift:
    """What is not as it should be, by instrument number. Nothing is, if `clean`."""

    generation: int
    rows: int
    missing: tuple[int, ...]
    """Rows without a document."""
    stale: tuple[int, ...]
    """Rows whose document has another version."""
    phantom: tuple[int, ...]
    """Documents without a row."""
    refused: int
    """Documents that RediSearch could not index."""
    miscounted: int
    """By how many documents the counts for facets are off."""
    parked: Mapping[int, str]
    """Rows that no document can be made of as they are now, and why; not among the above."""

    @property
    def is_repairable(self) -> bool:
        return bool(self.missing or self.stale or self.phantom or self.miscounted)

    @property
    def clean(self) -> bool:
        return not (self.is_repairable or self.refused or self.parked)


async def verify(database_url: str, client: Redis, settle_s: float) -> Drift:
    """Compare every row with its document.

    Rows that changed after the last refresh look stale until the next: what differs is looked at again
    for up to `settle_s` seconds. Raises IndexNotReady, PostgresUnavailable or RedisUnavailable.
    """
    state = await read_live_state(client)
    if state is None:
        raise IndexNotReady("Redis has no live index; is an indexer running?")
    generation = state.generation
    suspects, rows = await compare_all(database_url, client, generation)
    parked = await read_parked(client, generation)
    missing, stale, phantom = await _settle(
        database_url, client, generation, suspects - parked.keys(), settle_s
    )
    miscounted = await _miscounted(client, generation, settle_s)
    if (now := await read_live_state(client)) is not None and now.generation != generation:
        return await verify(database_url, client, settle_s)  # another one went live meanwhile
    info = await index_info(client, generation)
    refused = int(info["hash_indexing_failures"]) if info else 0
    return Drift(generation, rows, missing, stale, phantom, refused, miscounted, parked)


async def verify_sample(database_url: str, client: Redis, size: int, settle_s: float) -> Drift:
    """As `verify`, of some rows, others each time; neither phantoms nor counts are looked at."""
    state = await read_live_state(client)
    if state is None:
        raise IndexNotReady("Redis has no live index")
    async with open_snapshot(database_url) as snapshot:
        numbers = set(await snapshot.sample(size, seed=randbits(31)))
    parked = await read_parked(client, state.generation)
    missing, stale, phantom = await _settle(
        database_url, client, state.generation, numbers - parked.keys(), settle_s
    )
    if (now := await read_live_state(client)) is not None and now.generation != state.generation:
        return await verify_sample(database_url, client, size, settle_s)  # another one went live meanwhile
    return Drift(
        state.generation, len(numbers), missing, stale, phantom, refused=0, miscounted=0, parked=parked
    )


async def compare_all(database_url: str, client: Redis, generation: int) -> tuple[set[int], int]:
    """The numbers of rows and documents that differ, and how many rows there are."""
    documents = {number: version async for number, version in _document_versions(client, generation)}
    suspects = set()
    rows = 0
    async with open_snapshot(database_url) as snapshot:
        async for batch in snapshot.versions(_BATCH):
            rows += len(batch)
            suspects |= {number for number, version in batch if documents.pop(number, None) != version}
    return suspects | documents.keys(), rows


async def _settle(
    database_url: str, client: Redis, generation: int, suspects: set[int], settle_s: float
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """What of the suspects is still missing, stale or phantom when the index had time to catch up."""
    deadline = asyncio.get_running_loop().time() + settle_s
    while True:
        numbers = sorted(suspects)
        async with open_snapshot(database_url) as snapshot:
            rows = await snapshot.versions_of(numbers)
        documents: dict[int, int] = {}
        for start in range(0, len(numbers), _BATCH):
            documents |= await _versions_of(client, generation, numbers[start : start + _BATCH])
        missing = tuple(number for number in numbers if number in rows and number not in documents)
        phantom = tuple(number for number in numbers if number in documents and number not in rows)
        stale = tuple(n for n in numbers if n in rows and n in documents and rows[n] != documents[n])
        suspects = {*missing, *phantom, *stale}
        if not suspects or asyncio.get_running_loop().time() >= deadline:
            return missing, stale, phantom
        await asyncio.sleep(_SETTLE_POLL_S)


async def _miscounted(client: Redis, generation: int, settle_s: float) -> int:
    """By how many documents the cells differ from the index, unless only for as long as somebody writes."""
    deadline = asyncio.get_running_loop().time() + settle_s
    while True:
        cells, info = await read_cells(client, generation), await index_info(client, generation)
        documents = int(info["num_docs"]) if info else 0
        difference = abs(documents - (cells.documents if cells else 0))
        if not difference or asyncio.get_running_loop().time() >= deadline:
            return difference
        await asyncio.sleep(_SETTLE_POLL_S)


async def _document_versions(client: Redis, generation: int) -> AsyncIterator[tuple[int, int]]:
    prefix = document_prefix(generation)
    cursor = 0
    while True:
        with redis_errors():
            cursor, keys = await client.scan(cursor, match=f"{prefix}*", count=_BATCH)
        numbers = [int(key[len(prefix) :]) for key in keys]
        for item in (await _versions_of(client, generation, numbers)).items():
            yield item
        if cursor == 0:
            return


async def _versions_of(client: Redis, generation: int, numbers: list[int]) -> dict[int, int]:
    keys = [document_key(generation, number) for number in numbers]
    with redis_errors():
        versions = await load_script(client, "read_versions")(keys=keys)
    return {n: int(version) for n, version in zip(numbers, versions, strict=True) if version is not None}

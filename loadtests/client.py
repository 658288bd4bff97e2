"""Measures the Python client against a hand-written aiohttp loop that asks the same of the same service.

    make bench-client

One search by symbol, one page of twenty hits, and lookups of a thousand identifiers, each made by the client
and by a loop that does no more than ask and decode; both over one session, at the same concurrency. Sides
take turns in one run, so that what else the machine does falls on both; the median of the rounds' ratios
counts. Prints JSON; the exit status is 1 where the client is slower than the limit.
"""

import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import aiohttp
from instrument_registry_client import RegistryClient
from instrument_registry_client.models import Identifier

from app.auth.api_keys import key_hash
from app.domain.access import INSTRUMENTS_READ
from app.embedded.children import free_port
from app.ingest.importer import import_rows
from app.ingest.sample import sample_source
from app.store.api_keys import add_key
from loadtests.servers import (
    embedded_servers,
    environment_of,
    filling_indexer,
    machine,
    running,
    until_ready,
)

LIMIT: Final = 0.8
ROUNDS: Final = 25
AT_ONCE: Final = 8
REQUESTS: Final = {"symbol": 400, "page": 240, "lookup": 8}
"""Of each side in a round."""
KEY: Final = "measure"
SEARCH: Final = "/v1/instruments/search"
LOOKUP: Final = "/v1/instruments/lookup"


@dataclass(frozen=True, slots=True)
class Rate:
    per_s: float
    cpu_us: float
    """Of this process, for one request."""


Request: TypeAlias = Callable[[], Awaitable[object]]


async def main() -> int:
    with tempfile.TemporaryDirectory(prefix="registry-client-") as scratch:
        folder = Path(scratch)
        async with embedded_servers(folder) as (database_url, redis_url):
            await import_rows(database_url, [sample_source()], folder / "rejects.csv", actor="measure")
            scopes = (INSTRUMENTS_READ,)
            await add_key(database_url, owner="measure", scopes=scopes, secret_sha256=key_hash(KEY))
            figures = await measure(database_url, redis_url, folder)
    missed = [name for name in REQUESTS if figures[name]["ratio"] < LIMIT]
    print(json.dumps({**figures, "limit": LIMIT, "missed": missed}, indent=2))
    return 1 if missed else 0


async def measure(database_url: str, redis_url: str, folder: Path) -> dict[str, Any]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = environment_of(database_url, redis_url, REGISTRY_PORT=str(port))
    figures: dict[str, Any] = {"machine": machine()}
    async with (
        filling_indexer(folder, environment),
        running("api", ["-m", "app.cli", "serve"], folder, environment),
        aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {KEY}"}) as session,
        RegistryClient(url, KEY) as client,
    ):
        await until_ready(session)
        hits = (await client.search(limit=100)).hits
        by_client, by_hand = client_requests(client, hits), bare_requests(session, hits)
        for name, count in REQUESTS.items():
            figures[name] = await compare(by_client[name], by_hand[name], count)
    return figures


async def compare(by_client: Request, by_hand: Request, count: int) -> dict[str, Any]:
    """Requests per second of both sides, which take turns at going first, and the median of the ratios."""
    await rate(by_client, count)
    await rate(by_hand, count)
    rounds: list[tuple[Rate, Rate]] = []
    for number in range(ROUNDS):
        if number % 2:
            bare = await rate(by_hand, count)
            rounds.append((await rate(by_client, count), bare))
        else:
            client = await rate(by_client, count)
            rounds.append((client, await rate(by_hand, count)))
    ratios = sorted(client.per_s / bare.per_s for client, bare in rounds)
    return {
        "client_per_s": round(statistics.median(client.per_s for client, _ in rounds), 1),
        "bare_per_s": round(statistics.median(bare.per_s for _, bare in rounds), 1),
        "ratio": round(statistics.median(ratios), 3),
        "quartiles": [round(ratio, 3) for ratio in statistics.quantiles(ratios, n=4)],
        "client_cpu_us": round(statistics.median(client.cpu_us for client, _ in rounds)),
        "bare_cpu_us": round(statistics.median(bare.cpu_us for _, bare in rounds)),
    }


async def rate(request: Request, count: int) -> Rate:
    async def some() -> None:
        for _ in range(count // AT_ONCE):
            await request()

    began, cpu_s = time.perf_counter(), time.process_time()
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    elapsed_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_s
    return Rate(count / elapsed_s, cpu_s / count * 1e6)


def client_requests(client: RegistryClient, hits: list[Any]) -> dict[str, Request]:
    symbols = itertools.cycle(hit["symbol"] for hit in hits)
    identifiers = lookup_of(hits)

    async def by_symbol() -> object:
        return (await client.search(next(symbols), limit=1)).hits

    async def page() -> object:
        return (await client.search("", limit=20, sort="symbol")).hits

    async def look_up() -> object:
        return await client.lookup(identifiers)

    return {"symbol": by_symbol, "page": page, "lookup": look_up}


def bare_requests(session: aiohttp.ClientSession, hits: list[Any]) -> dict[str, Request]:
    symbols = itertools.cycle(hit["symbol"] for hit in hits)
    identifiers = lookup_of(hits)

    async def by_symbol() -> object:
        async with session.get(SEARCH, params={"q": next(symbols), "limit": "1"}) as response:
            return (await response.json())["hits"]

    async def page() -> object:
        asked = {"q": "", "limit": "20", "sort": "symbol"}
        async with session.get(SEARCH, params=asked) as response:
            return (await response.json())["hits"]

    async def look_up() -> object:
        async with session.post(LOOKUP, json={"identifiers": identifiers}) as response:
            return (await response.json())["results"]

    return {"symbol": by_symbol, "page": page, "lookup": look_up}


def lookup_of(hits: list[Any]) -> list[Identifier]:
    """A thousand identifiers."""
    return [{"type": "id", "value": hits[number % len(hits)]["id"]} for number in range(1000)]


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

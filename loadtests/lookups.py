"""Measures how many identifiers one API process looks up a second, on a folder of real data.

    make bench-lookup DATA=path/to/data

Batches of 1 000 identifiers that the data hold, with a key, four at a time: authentication, limits, metrics
and logs included, and each looked up in the index, whatever is kept of it. The client shares the machine and
does not decode what it gets. Prints JSON; the exit status is 1 when the mixed batches are slower than the
limit.
"""

import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg

from app.auth.api_keys import key_hash
from app.domain.access import INSTRUMENTS_READ
from app.domain.lookup import MAX_IDENTIFIERS
from app.embedded.children import Child, free_port
from app.store.api_keys import add_key
from loadtests.full_data import timed_import
from loadtests.servers import (
    embedded_servers,
    environment_of,
    family,
    filling_indexer,
    machine,
    running,
    until_ready,
)

LIMIT_PER_S: Final = 20_000
SECONDS: Final = 5.0
AT_ONCE: Final = 4
BATCHES: Final = 40
UNKNOWN: Final = 20
"""One identifier in so many is held by nothing."""
KEY: Final = "measure"
POOLS: Final = {
    "isin": "SELECT DISTINCT isin FROM instruments WHERE isin IS NOT NULL ORDER BY 1",
    "cusip": "SELECT DISTINCT cusip FROM instruments WHERE cusip IS NOT NULL ORDER BY 1",
    "figi": "SELECT DISTINCT figi FROM instruments WHERE figi IS NOT NULL ORDER BY 1",
    "symbol": "SELECT symbol FROM instruments WHERE mic IS NOT NULL ORDER BY id",
    "id": "SELECT 'ins_' || id FROM instruments ORDER BY id",
}


async def main(data: Path) -> int:
    with tempfile.TemporaryDirectory(prefix="registry-lookups-") as scratch:
        folder = Path(scratch)
        async with embedded_servers(folder) as (database_url, redis_url):
            await timed_import(database_url, data, folder)
            figures = await measure(database_url, redis_url, folder)
    figures["limit_per_s"] = LIMIT_PER_S
    print(json.dumps(figures, indent=2))
    return 0 if figures["mixed"]["identifiers_per_s"] >= LIMIT_PER_S else 1


async def measure(database_url: str, redis_url: str, folder: Path) -> dict[str, Any]:
    await add_key(database_url, owner="measure", scopes=(INSTRUMENTS_READ,), secret_sha256=key_hash(KEY))
    connection = await asyncpg.connect(database_url)
    pools = {kind: [row[0] for row in await connection.fetch(query)] for kind, query in POOLS.items()}
    await connection.close()
    port = free_port()
    environment = environment_of(database_url, redis_url, REGISTRY_PORT=str(port))
    figures: dict[str, Any] = {"machine": machine()}
    async with (
        filling_indexer(folder, environment),
        running("api", ["-m", "app.cli", "serve"], folder, environment) as api,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers={"X-API-Key": KEY}) as session,
    ):
        await until_ready(session)
        chance = random.Random(1)
        for kind in ("mixed", *pools):
            some = pools if kind == "mixed" else {kind: pools[kind]}
            figures[kind] = await look_up(session, api, [batch(some, chance) for _ in range(BATCHES)])
    return figures


def batch(pools: dict[str, list[str]], chance: random.Random) -> bytes:
    """The body of one request."""
    identifiers = []
    for _ in range(MAX_IDENTIFIERS):
        kind = chance.choice(list(pools))
        value = chance.choice(pools[kind]) if chance.randrange(UNKNOWN) else "ins_999999999"
        identifiers.append({"type": kind, "value": value})
    return json.dumps({"identifiers": identifiers}).encode()


async def look_up(session: aiohttp.ClientSession, api: Child, bodies: list[bytes]) -> dict[str, float]:
    times: list[float] = []
    sizes: list[int] = []

    async def ask(until: float) -> None:
        while (started := time.monotonic()) < until:
            body = bodies[len(times) % len(bodies)]
            headers = {"Content-Type": "application/json", "Cache-Control": "no-cache"}
            async with session.post("/v1/instruments/lookup", data=body, headers=headers) as response:
                assert response.status == 200, await response.text()
                assert response.headers["X-Search-Source"] == "redis"
                sizes.append(len(await response.read()))
            times.append(time.monotonic() - started)

    began, cpu_s = time.monotonic(), used_cpu_s(api)
    await asyncio.gather(*(ask(began + SECONDS) for _ in range(AT_ONCE)))
    elapsed_s, cpu_s = time.monotonic() - began, used_cpu_s(api) - cpu_s
    return {
        "identifiers_per_s": round(len(times) * MAX_IDENTIFIERS / elapsed_s),
        "api_cpu_us_per_identifier": round(cpu_s / len(times) / MAX_IDENTIFIERS * 1e6, 1),
        "median_ms": round(statistics.median(times) * 1000, 1),
        "answer_mb": round(statistics.mean(sizes) / 1e6, 2),
    }


def used_cpu_s(child: Child) -> float:
    """CPU time so far of a supervisor and its workers, in user and kernel mode."""
    times = [process.cpu_times() for process in family(child.process.pid)]
    return float(sum(time.user + time.system for time in times))


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).exists():
        sys.exit("usage: make bench-lookup DATA=path/to/data")
    sys.exit(asyncio.run(main(Path(sys.argv[1]))))

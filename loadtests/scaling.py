"""Measures how far one Redis goes on a folder of real data, and what a replica adds.

    make bench-scaling DATA=path/to/data

Redis alone is asked, by redis-benchmark, with the searches that the API would send. The replica runs on the
same machine: on few cores it shares them with the primary and with redis-benchmark.
"""

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from app.domain.query import Search
from app.embedded.redis import start_redis
from app.search.expression import search_plan
from app.search.generation import index_name
from app.store.index_state import index_info, read_live_state
from app.store.redis import open_search_redis
from loadtests.bench.redis_alone import benchmark
from loadtests.full_data import timed_import
from loadtests.servers import PASSWORD, embedded_servers, environment_of, filling_indexer, machine

SEARCHES: Final = {"exact symbol": ("AAPL", 0), "two words": ("deutsche bank", -1)}
"""A text, and which tier of its plan."""
REQUESTS: Final = 60_000


async def main(data: Path) -> int:
    with tempfile.TemporaryDirectory(prefix="registry-scaling-") as scratch:
        folder = Path(scratch)
        async with embedded_servers(folder) as (database_url, redis_url):
            await timed_import(database_url, data, folder)
            figures = await measure(database_url, redis_url, folder)
    print(json.dumps(figures, indent=2))
    return 0


async def measure(database_url: str, redis_url: str, folder: Path) -> dict[str, Any]:
    client = open_search_redis(redis_url, pool_size=4, timeout_s=30)
    async with filling_indexer(folder, environment_of(database_url, redis_url)):
        state = await read_live_state(client)
    assert state is not None
    info = await index_info(client, state.generation)
    assert info is not None
    documents = int(info["num_docs"])
    memory = int((await client.info("memory"))["used_memory"])
    primary = urlsplit(redis_url).port
    assert primary is not None
    alone = {name: await throughput(state.generation, name, redis_url) for name in SEARCHES}

    (folder / "replica").mkdir()
    replica = start_redis(folder / "replica", PASSWORD, persist=False)
    reader = open_search_redis(replica.url(), pool_size=1, timeout_s=30)
    try:
        await client.config_set("repl-diskless-sync-delay", 0)
        await reader.config_set("masterauth", PASSWORD)
        began = time.monotonic()
        await reader.replicaof("127.0.0.1", primary)
        while (await reader.info("replication"))["master_link_status"] != "up":  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.05)
        synced_s = time.monotonic() - began
        copied = await index_info(reader, state.generation)
        together = {
            name: await throughput(state.generation, name, redis_url, replica.url()) for name in SEARCHES
        }
    finally:
        await reader.aclose()
        await client.aclose()
        replica.child.stop()
    return {
        "machine": machine(),
        "documents": documents,
        "redis_mb": round(memory / 1e6, 1),
        "bytes_per_instrument": round(memory / documents),
        "searches_per_s": {"one node": alone, "with a replica": together},
        "replica_synced_s": round(synced_s, 2),
        "replica_documents": int(copied["num_docs"]) if copied else 0,
    }


async def throughput(generation: int, name: str, *urls: str) -> int:
    """Searches a second of all these servers together, each asked by a redis-benchmark of its own."""
    text, tier = SEARCHES[name]
    plan = search_plan(Search(text))
    command = [
        *("FT.SEARCH", index_name(generation), plan.tiers[tier].expression, "RETURN", "1", "json"),
        *("SORTBY", plan.order.field, "ASC", "LIMIT", "0", "20"),
        *("PARAMS", str(len(plan.parameters)), *plan.parameters, "DIALECT", "2"),
    ]
    return round(sum(await asyncio.gather(*(benchmark(url, command, requests=REQUESTS) for url in urls))))


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).exists():
        sys.exit("usage: make bench-scaling DATA=path/to/data")
    sys.exit(asyncio.run(main(Path(sys.argv[1]))))

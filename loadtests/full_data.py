"""Measures import, first fill, refresh and searches on a folder of real data, and prints the figures.

    make full-data DATA=path/to/data

It starts the embedded servers in a folder of its own, imports twice, runs the real indexer and API as
processes, compares index and Postgres, and writes the figures as JSON to standard output. Limits are
given where there are any; the exit status is 1 when one is missed or the index drifts.
"""

import asyncio
import json
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg
from redis.asyncio import Redis

from app.embedded.children import Child, free_port
from app.ingest.files import file_source, find_files
from app.ingest.importer import ImportReport, import_rows
from app.search.generation import index_name
from app.store.index_state import read_live_state
from app.store.instruments import open_snapshot
from app.store.redis import open_redis
from indexer.verify import verify
from loadtests.servers import (
    embedded_servers,
    environment_of,
    family,
    filling_indexer,
    machine,
    running,
    until_ready,
)

LIMITS: Final = {
    "import_s": 40.0,
    "first_fill_s": 20.0,
    "redis_mb": 480.0,
    "searchable_after_commit_ms": 300.0,
    "export_s": 10.0,
}
CHANGED_ROWS: Final = 1000
QUERIES: Final = {
    "exact symbol": "q=AAPL",
    "exact ISIN": "q=US0378331005",
    "name": "q=siemens",
    "two words": "q=deutsche+bank",
    "one letter": "q=a",
    "broad word": "q=fund",
    "two filters": "asset_class=etf&currency=EUR",
    "catalog": "",
}
ANEW: Final = {"Cache-Control": "no-cache"}
"""Searched for, and not kept."""
REPEATS: Final = 30


async def main(data: Path) -> int:
    with tempfile.TemporaryDirectory(prefix="registry-full-data-") as scratch:
        folder = Path(scratch)
        async with embedded_servers(folder) as (database_url, redis_url):
            figures = await measure(database_url, redis_url, data, folder)
    missed = [name for name, limit in LIMITS.items() if figures[name] > limit]
    figures |= {"limits": LIMITS, "missed": missed}
    print(json.dumps(figures, indent=2))
    return 1 if missed or not figures["index_equals_postgres"] else 0


async def measure(database_url: str, redis_url: str, data: Path, folder: Path) -> dict[str, Any]:
    figures: dict[str, Any] = {"machine": machine()}
    # 1. Import, and the same again.
    first, figures["import_s"] = await timed_import(database_url, data, folder)
    history = await fetch_value(database_url, "SELECT count(*) FROM instrument_history")
    again, figures["import_again_s"] = await timed_import(database_url, data, folder)
    figures |= {
        "rows_read": first.read,
        "instruments": first.created,
        "changed_by_importing_again": again.created + again.changed,
        "history_written_by_importing_again": (
            await fetch_value(database_url, "SELECT count(*) FROM instrument_history") - history
        ),
        "import_peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    client = open_redis(redis_url, pool_size=8, timeout_s=30)
    port = free_port()
    environment = environment_of(
        database_url,
        redis_url,
        REGISTRY_ANONYMOUS_SCOPES="instruments:read",
        REGISTRY_LOG_LEVEL="warning",
        REGISTRY_PORT=str(port),
    )
    # 2. First fill, from the start of the indexer's process.
    started = time.monotonic()
    async with filling_indexer(folder, environment) as indexer:
        figures["first_fill_s"] = round(time.monotonic() - started, 2)
        figures["indexer_peak_rss_mb"] = peak_rss_mb(indexer)
        figures["redis_mb"] = round((await client.info("memory"))["used_memory"] / 1e6, 1)
        # 3. A refresh with nothing changed, and one with changed rows.
        figures |= await measure_refresh(database_url, client)
        # 4. Searches over HTTP, one at a time.
        async with running("api", ["-m", "app.cli", "serve"], folder, environment) as api:
            figures["search_ms"] = await measure_searches(f"http://127.0.0.1:{port}")
            rss_mb = peak_rss_mb(api)
            figures |= await measure_export(f"http://127.0.0.1:{port}")
            figures["export_rss_mb"] = {"before": rss_mb, "after": peak_rss_mb(api)}
        # 5. Nothing drifts.
        drift = await verify(database_url, client, 10)
        figures |= {"documents_compared": drift.rows, "index_equals_postgres": drift.clean}
    await client.aclose()
    return figures


async def timed_import(database_url: str, data: Path, folder: Path) -> tuple[ImportReport, float]:
    started = time.monotonic()
    sources = [
        file_source(file, format_name=None, source=None, counted=lambda _: None)
        for file in find_files([data])
    ]
    report = await import_rows(database_url, sources, folder / "rejects.csv", actor="measure")
    return report, round(time.monotonic() - started, 2)


async def measure_refresh(database_url: str, client: Redis) -> dict[str, Any]:
    """What a refresh costs: its one query when nothing changed, and the way of changed rows to a search.

    The latter is counted from the commit. The refresh starts up to 0.1 s later: an indexer that was
    woken waits a little for more.
    """
    connection = await asyncpg.connect(database_url)
    state = await read_live_state(client)
    assert state is not None
    quiet = []
    for _ in range(REPEATS):
        async with open_snapshot(database_url) as snapshot:
            started = time.perf_counter()
            assert not (await snapshot.position(state.watermark)).changed
            quiet.append((time.perf_counter() - started) * 1000)
    times = []
    for marker in ("measured", "weighed", "counted", "timed", "noted"):
        await connection.execute(
            "UPDATE instruments SET name = $1 || ' ' || id WHERE id <= $2", marker, CHANGED_ROWS
        )
        committed = time.monotonic()
        while await count(client, state.generation, marker) < CHANGED_ROWS:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)
        times.append((time.monotonic() - committed) * 1000)
    await connection.close()
    return {
        "quiet_refresh_query_ms": round(statistics.median(quiet), 2),
        "changed_rows": CHANGED_ROWS,
        "searchable_after_commit_ms": round(statistics.median(times), 1),
    }


async def count(client: Redis, generation: int, word: str) -> int:
    reply: Any = await client.execute_command(  # type: ignore[no-untyped-call]
        "FT.SEARCH", index_name(generation), "@name:$w", "LIMIT", 0, 0, "PARAMS", 2, "w", word, "DIALECT", 2
    )
    return int(reply[b"total_results"])


async def measure_searches(base_url: str) -> dict[str, float]:
    """The median time of each kind of search, in milliseconds."""
    medians = {}
    async with aiohttp.ClientSession(base_url) as session:
        await until_ready(session)
        for name, query in QUERIES.items():
            times = []
            for _ in range(REPEATS):
                started = time.perf_counter()
                async with session.get(f"/v1/instruments/search?{query}", headers=ANEW) as response:
                    assert response.status == 200
                    await response.read()
                times.append((time.perf_counter() - started) * 1000)
            medians[name] = round(statistics.median(times), 2)
    return medians


async def measure_export(base_url: str) -> dict[str, Any]:
    """All instruments over HTTP, gzipped."""
    started = time.monotonic()
    size = 0
    async with (
        aiohttp.ClientSession(base_url, auto_decompress=False) as session,
        session.get("/v1/instruments/export", headers={"Accept-Encoding": "gzip"}) as response,
    ):
        async for chunk in response.content.iter_any():
            size += len(chunk)
    return {"export_s": round(time.monotonic() - started, 2), "export_mb": round(size / 1e6, 1)}


def peak_rss_mb(child: Child) -> int:
    """Of the largest of its processes: a worker, where it is a supervisor."""
    return max(map(_peak_rss_mb, (process.pid for process in family(child.process.pid))))


def _peak_rss_mb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) // 1024


async def fetch_value(database_url: str, query: str) -> Any:
    connection = await asyncpg.connect(database_url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).exists():
        sys.exit("usage: make full-data DATA=path/to/data")
    sys.exit(asyncio.run(main(Path(sys.argv[1]))))

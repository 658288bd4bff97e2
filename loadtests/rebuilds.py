"""Measures rebuilds under load on a folder of real data: how long, how much memory, and what searches notice.

    make bench-rebuild DATA=path/to/data REBUILDS=10

First some rebuilds alone. Then searches come at a steady rate while nothing happens, and while the index is
rebuilt, REBUILDS times; both phases alternate, so that what else the machine does falls on both. The API
and the indexer are processes of their own. The exit status is 1 when a limit is missed or the index drifts.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import asyncpg

from app.embedded.children import free_port
from app.store.redis import open_redis
from indexer.verify import verify
from loadtests.full_data import peak_rss_mb, timed_import
from loadtests.servers import embedded_servers, environment_of, machine, running, until_ready

LIMITS: Final = {"rebuild_s": 12.0, "p95_ratio": 2.0, "failed": 0}
RATE: Final = 300
REBUILDS_ALONE: Final = 3
PHASE_S: Final = 5
SAMPLE: Final = 300
INDEX: Final = "/v1/admin/index"


async def main(data: Path, rebuilds: int) -> int:
    with tempfile.TemporaryDirectory(prefix="registry-rebuilds-") as scratch:
        folder = Path(scratch)
        async with embedded_servers(folder) as (database_url, redis_url):
            figures = await measure(database_url, redis_url, data, rebuilds, folder)
    missed = [name for name, limit in LIMITS.items() if figures[name] > limit]
    figures |= {"limits": LIMITS, "missed": missed}
    print(json.dumps(figures, indent=2))
    return 1 if missed or not figures["index_equals_postgres"] else 0


async def measure(
    database_url: str, redis_url: str, data: Path, rebuilds: int, folder: Path
) -> dict[str, Any]:
    await timed_import(database_url, data, folder)
    paths = folder / "paths"
    paths.write_text("\n".join(await some_searches(database_url)))
    port = free_port()
    base_url = f"http://127.0.0.1:{port}"
    environment = environment_of(
        database_url,
        redis_url,
        REGISTRY_ANONYMOUS_SCOPES="instruments:read,index:admin",
        REGISTRY_ANONYMOUS_REQUESTS_PER_MINUTE="1000000",
        REGISTRY_LOG_LEVEL="warning",
        REGISTRY_PORT=str(port),
    )
    async with (
        running("indexer", ["-m", "indexer", "run"], folder, environment) as indexer,
        running("api", ["-m", "app.cli", "serve"], folder, environment),
        aiohttp.ClientSession(base_url) as session,
    ):
        await until_ready(session)
        await ended(session, 1)
        await load(base_url, paths, 3)  # warm
        quiet: list[dict[str, Any]] = []
        busy: list[dict[str, Any]] = []
        jobs: list[float] = []
        rss_before = peak_rss_mb(indexer)
        alone = [await rebuild(session) for _ in range(REBUILDS_ALONE)]
        for _ in range(rebuilds):
            quiet.append(await load(base_url, paths, PHASE_S))
            rebuilding = asyncio.create_task(rebuild(session))
            while not rebuilding.done():
                busy.append(await load(base_url, paths, PHASE_S))
            jobs.append(rebuilding.result())
        client = open_redis(redis_url, pool_size=8, timeout_s=30)
        drift = await verify(database_url, client, 10)
        await client.aclose()
        figures = {
            "machine": machine(),
            "documents": drift.rows,
            "rebuilds_alone_s": alone,
            "rebuild_s": statistics.median(alone),
            "rebuilds_under_load_s": jobs,
            "indexer_rss_mb": {"after_first_fill": rss_before, "after_all": peak_rss_mb(indexer)},
            "rate_per_s": RATE,
            "quiet_p95_ms": [phase["p95_ms"] for phase in quiet],
            "busy_p95_ms": [phase["p95_ms"] for phase in busy],
            "busy_slowest_ms": max(phase["slowest_ms"] for phase in busy),
            "requests": sum(phase["requests"] for phase in quiet + busy),
            "failed": sum(phase["failed"] for phase in quiet + busy),
            "failures": dict(sum((Counter(phase["failures"]) for phase in quiet + busy), Counter())),
            "index_equals_postgres": drift.clean,
        }
    figures["p95_ratio"] = round(
        statistics.median(figures["busy_p95_ms"]) / statistics.median(figures["quiet_p95_ms"]), 2
    )
    return figures


async def some_searches(database_url: str) -> list[str]:
    """Exact symbols, identifiers, and first words of names, of instruments taken at random."""
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch(
        "SELECT symbol, coalesce(isin, figi, symbol) AS identifier, split_part(name, ' ', 1) AS word "
        "FROM instruments WHERE name ~ '^[A-Za-z]{4,} ' ORDER BY hashint8extended(id, 0) LIMIT $1",
        SAMPLE,
    )
    await connection.close()
    return [f"/v1/instruments/search?q={quote(text)}" for row in rows for text in row.values()]


async def rebuild(session: aiohttp.ClientSession) -> float:
    """Rebuild once; how long it took until the new generation was live and the oldest one removed."""
    started = time.monotonic()
    async with session.post(f"{INDEX}/rebuild") as response:
        response.raise_for_status()
        number = (await response.json())["id"]
    job = await ended(session, number)
    if job["state"] != "done":
        raise RuntimeError(job)
    return round(time.monotonic() - started, 1)


async def ended(session: aiohttp.ClientSession, number: int) -> Any:
    while True:
        async with session.get(f"{INDEX}/jobs/{number}") as response:
            job = await response.json()
        if job.get("finished_at") is not None:
            return job
        await asyncio.sleep(0.1)


async def load(base_url: str, paths: Path, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "loadtests.steady", base_url, str(paths), str(RATE), str(seconds)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    result: dict[str, Any] = json.loads(output)
    return result


if __name__ == "__main__":
    if len(sys.argv) != 3 or not Path(sys.argv[1]).exists() or not sys.argv[2].isdigit():
        sys.exit("usage: make bench-rebuild DATA=path/to/data REBUILDS=10")
    sys.exit(asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]))))

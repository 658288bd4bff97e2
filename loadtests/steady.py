"""Requests at a steady rate, whatever the answers take; prints what became of them as JSON.

    python -m loadtests.steady BASE_URL FILE RATE SECONDS

FILE holds a path in each line; they are asked for in turns. A request is due at its time, and its latency
counts from then: one that waits because the service is slow is not told as quick. REGISTRY_LOAD_KEY, if set,
is sent as the API key.
"""

import asyncio
import json
import os
import sys
import time
from itertools import cycle, islice
from pathlib import Path

import aiohttp
import uvloop

CONNECTIONS = 200


async def main(base_url: str, paths: list[str], rate: float, seconds: float) -> None:
    latencies: list[float] = []
    failures: dict[str, int] = {}

    async def ask(path: str, due: float) -> None:
        try:
            async with session.get(path) as response:
                body = await response.read()
                failure = None if response.status == 200 and body else str(response.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            failure = type(error).__name__
        latencies.append(time.monotonic() - due)
        if failure is not None:
            failures[failure] = failures.get(failure, 0) + 1

    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    timeout = aiohttp.ClientTimeout(total=10)
    key = os.environ.get("REGISTRY_LOAD_KEY")
    headers = {"X-API-Key": key} if key else None
    async with (
        aiohttp.ClientSession(base_url, connector=connector, timeout=timeout, headers=headers) as session,
        asyncio.TaskGroup() as group,
    ):
        started = time.monotonic()
        for number, path in enumerate(islice(cycle(paths), int(rate * seconds))):
            due = started + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(ask(path, due))
    ordered = sorted(latencies)
    print(
        json.dumps(
            {
                "requests": len(ordered),
                "failed": sum(failures.values()),
                "failures": failures,
                "p50_ms": round(ordered[len(ordered) // 2] * 1000, 2),
                "p95_ms": round(ordered[int(len(ordered) * 0.95)] * 1000, 2),
                "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 2),
                "slowest_ms": round(ordered[-1] * 1000, 2),
            }
        )
    )


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    uvloop.run(
        main(sys.argv[1], Path(sys.argv[2]).read_text().split(), float(sys.argv[3]), float(sys.argv[4]))
    )

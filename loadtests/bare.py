"""What the service is measured against: the least that a process can do for the same answer.

    python -m loadtests.bare handler PORT FILE    an aiohttp handler that returns the file's bytes
    python -m loadtests.bare writes SECONDS       a loop of a profile write's statements; prints writes/s

The second takes REGISTRY_DATABASE_URL.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Final

import asyncpg
import uvloop
from aiohttp import web

from app.store.copy_epochs import SQL as COPIES
from app.store.profile_writes import SQL as PROFILES

WRITERS: Final = 10
"""As many as the service's connections to Postgres by default."""


async def handle(port: int, body: bytes) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


async def write(seconds: float) -> float:
    """Change the descriptions of all profiles in turn; the writes per second."""
    pool = await asyncpg.create_pool(os.environ["REGISTRY_DATABASE_URL"], min_size=WRITERS, max_size=WRITERS)
    profiles = await pool.fetch("SELECT * FROM profiles")
    deadline = time.perf_counter() + seconds
    written = 0

    async def writer() -> None:
        nonlocal written
        while time.perf_counter() < deadline:
            written += 1
            profile = profiles[written % len(profiles)]
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute(PROFILES["lock"], profile["id"])
                await connection.fetchrow(PROFILES["read"], profile["id"])
                await connection.fetch(
                    PROFILES["update"],
                    profile["id"],
                    profile["name"],
                    f"bare {written}",
                    profile["channels"],
                    profile["query"],
                    profile["member_count"],
                    profile["delivery"],
                    profile["status"],
                    "bare",
                    "bare",
                    '{"changes":{"description":{"from":"","to":""}}}',
                )
                await connection.fetchrow(COPIES["join"])

    started = time.perf_counter()
    await asyncio.gather(*(writer() for _ in range(WRITERS)))
    elapsed_s = time.perf_counter() - started
    await pool.close()
    return written / elapsed_s


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["handler", port, file]:
            uvloop.run(handle(int(port), Path(file).read_bytes()))
        case ["writes", seconds]:
            print(uvloop.run(write(float(seconds))))
        case _:
            sys.exit(__doc__)

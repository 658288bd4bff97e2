"""Measures profile reads and writes over HTTP against bare loops of the same work, and prints the ratios.

    make bench-profiles

Reads of a profile from its copy in Redis are compared with a bare aiohttp handler that returns the same
bytes; writes with bare asyncpg loops of the same statements: `patches` change a description and are the
least that a write can be, `edits` add and remove members, `lifecycles` create and delete profiles of a
hundred members. One process, with authentication, limits, metrics and logs. Sides take turns, so that what
else the machine does falls on both; the median of the rounds counts. The load comes from wrk. The exit
status is 1 when a ratio is missed.
"""

import asyncio
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg

from app.auth.api_keys import key_hash
from app.embedded.children import free_port
from app.store.api_keys import add_key
from loadtests.bare import EDITED, INSTRUMENTS, KINDS, MEMBERS, OWNERS, WRITERS
from loadtests.servers import embedded_servers, environment_of, machine, running

LIMITS: Final = {"reads": 0.3, "patches": 0.6, "edits": 0.6, "lifecycles": 0.6}
PROFILES: Final = 64
READERS: Final = 64
ROUNDS: Final = 5
ROUND_S: Final = 6
WARM_UP_S: Final = 3
PATH: Final = "/v1/subscription-profiles"
SCRIPT: Final = Path(__file__).with_name("profiles.lua")
KEY: Final = "measure-0"
"""Of the profiles that are read and changed."""


async def main() -> int:
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed; install it with: apt-get install wrk")
    with tempfile.TemporaryDirectory(prefix="registry-profiles-") as scratch:
        folder = Path(scratch)
        async with embedded_servers(folder) as (database_url, redis_url):
            figures = await measure(database_url, redis_url, folder)
    missed = [name for name, limit in LIMITS.items() if figures[name]["ratio"] < limit]
    figures |= {"limits": LIMITS, "missed": missed}
    print(json.dumps(figures, indent=2))
    return 1 if missed else 0


async def measure(database_url: str, redis_url: str, folder: Path) -> dict[str, Any]:
    await make_instruments_and_keys(database_url)
    port, bare_port = free_port(), free_port()
    environment = environment_of(database_url, redis_url, REGISTRY_PORT=str(port))
    async with running("api", ["-m", "app.cli", "serve"], folder, environment):
        paths, body = await create_profiles(f"http://127.0.0.1:{port}")
        (folder / "body").write_bytes(body)
        bare = ["-m", "loadtests.bare", "handler", str(bare_port), str(folder / "body")]
        async with running("bare", bare, folder, environment):
            figures = {
                "reads": compare(
                    lambda: wrk(port, "reads", READERS, paths),
                    lambda: wrk(bare_port, "reads", READERS, paths),
                ),
                **{
                    kind: compare(
                        partial(wrk, port, kind, WRITERS, paths), partial(bare_writes, kind, environment)
                    )
                    for kind in KINDS
                },
            }
        sources = await read_sources(f"http://127.0.0.1:{port}")
    return {
        "machine": machine(),
        "profile_bytes": len(body),
        **figures,
        "read_from": sources,
    }


def compare(service: Any, bare: Any) -> dict[str, Any]:
    """Requests per second of both sides in turns, and the ratio of their medians."""
    rates = [(service(), bare()) for _ in range(ROUNDS)]
    medians = [statistics.median(side) for side in zip(*rates, strict=True)]
    return {
        "service_per_s": [round(rate) for rate, _ in rates],
        "bare_per_s": [round(rate) for _, rate in rates],
        "ratio": round(medians[0] / medians[1], 3),
    }


def wrk(port: int, kind: str, connections: int, paths: Sequence[str]) -> float:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{ROUND_S}s", "-s", str(SCRIPT)]
    command += [f"http://127.0.0.1:{port}", "--", kind]
    command += [*map(str, (OWNERS, MEMBERS, INSTRUMENTS, EDITED)), *paths]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(output)
    found = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if found is None:
        raise RuntimeError(output)
    return float(found[1])


def bare_writes(kind: str, environment: dict[str, str]) -> float:
    command = [sys.executable, "-m", "loadtests.bare", kind, str(ROUND_S)]
    return float(subprocess.run(command, check=True, capture_output=True, env=environment).stdout)


async def make_instruments_and_keys(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "INSERT INTO instruments (symbol, name, asset_class) "
        "SELECT 'S' || n, 'N', 'equity' FROM generate_series(1, $1) AS n",
        INSTRUMENTS,
    )
    await connection.close()
    scopes = ("profiles:read", "profiles:write")
    keys = {
        **{f"measure-{number}": scopes for number in range(OWNERS)},
        "measure-all": (*scopes, "profiles:admin"),
    }
    for name, granted in keys.items():
        await add_key(database_url, owner=name, scopes=granted, secret_sha256=key_hash(name))


async def create_profiles(base_url: str) -> tuple[list[str], bytes]:
    """Their paths, and what one of them is shown as."""
    members = [f"ins_{number}" for number in range(1, MEMBERS + 1)]
    async with aiohttp.ClientSession(base_url, headers={"X-API-Key": KEY}) as session:
        while not await is_live(session):  # noqa: ASYNC110 - another process says so
            await asyncio.sleep(0.1)
        await asyncio.sleep(WARM_UP_S)
        paths = []
        for number in range(PROFILES):
            document = {
                "name": f"Profile {number}",
                "channels": ["trades", "quotes"],
                "selection": {"instruments": members},
            }
            async with session.post(PATH, json=document) as response:
                response.raise_for_status()
                paths.append(response.headers["Location"])
        async with session.get(paths[0]) as response:
            return paths, await response.read()


async def read_sources(base_url: str) -> dict[str, int]:
    """How many readings the service answered from Redis, and from Postgres."""
    async with aiohttp.ClientSession(base_url) as session, session.get("/metrics") as response:
        found = re.findall(
            r'^registry_profile_reads_total\{source="(\w+)"\} (\S+)', await response.text(), re.MULTILINE
        )
    return {source: int(float(count)) for source, count in found}


async def is_live(session: aiohttp.ClientSession) -> bool:
    try:
        async with session.get("/health/live") as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

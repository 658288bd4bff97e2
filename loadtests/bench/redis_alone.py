"""What Redis alone does with the commands that the service sends it for a query, by redis-benchmark."""

import asyncio
import csv
import os
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis

from app.embedded.redis import find_redis
from loadtests.bench.api import Api, VoidRun

_ARGUMENT: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE: Final = re.compile(r"\\(x[0-9a-f]{2}|.)")
_ESCAPED: Final = {"n": b"\n", "r": b"\r", "t": b"\t", "a": b"\a", "b": b"\b"}
_MARKER: Final = "bench-marker"
CONNECTIONS: Final = 16
REQUESTS: Final = 250

Command = tuple[bytes, ...]


async def searches_of(service: Api, redis_url: str, paths: Sequence[str]) -> list[list[Command]]:
    """For each path the searches that the service sends to answer it."""
    program = find_redis().folder / "bin" / "redis-cli"
    monitor = await asyncio.create_subprocess_exec(
        program, *_server(redis_url), "MONITOR", stdout=asyncio.subprocess.PIPE, env=_password(redis_url)
    )
    assert monitor.stdout is not None
    client = Redis.from_url(redis_url)
    found = []
    try:
        await monitor.stdout.readline()  # OK
        for path in paths:
            service.get(path)
            await client.echo(_MARKER)
            sent = []
            while _MARKER.encode() not in (line := await monitor.stdout.readline()):
                command = parse_monitored(line.decode("ascii"))
                if command and command[0].upper().startswith(b"FT."):
                    sent.append(command)
            found.append(sent)
    finally:
        monitor.kill()
        await monitor.wait()
        await client.aclose()
    return found


def parse_monitored(line: str) -> Command:
    """The command of a line of MONITOR, whose time and address come first."""
    return tuple(_ESCAPE.sub(_latin, argument).encode("latin-1") for argument in _ARGUMENT.findall(line))


def _latin(escape: re.Match[str]) -> str:
    found = escape[1]
    byte = bytes([int(found[1:], 16)]) if found[0] == "x" else _ESCAPED.get(found, found.encode())
    return byte.decode("latin-1")


async def queries_per_s(redis_url: str, queries: Sequence[Sequence[Command]]) -> float:
    """How many of such queries Redis answers; one takes the time of all its commands."""
    seconds = [sum([1 / await benchmark(redis_url, command) for command in commands]) for commands in queries]
    return len(seconds) / sum(seconds)


async def benchmark(redis_url: str, command: Command | Sequence[str], *, requests: int = REQUESTS) -> float:
    """Commands a second, over sixteen connections, in the protocol that the service speaks.

    Raises VoidRun where Redis refuses the command.
    """
    program = find_redis().folder / "bin" / "redis-benchmark"
    options = ["-3", "-c", str(CONNECTIONS), "-n", str(requests), "--csv"]
    process = await asyncio.create_subprocess_exec(
        program,
        *_server(redis_url),
        *("-a", unquote(urlsplit(redis_url).password or "")),
        *options,
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if process.returncode:
        raise VoidRun(f"redis-benchmark failed: {errors.decode().strip()}")
    _, row = csv.reader(output.decode().strip().splitlines()[-2:])
    return float(row[1])


def _server(redis_url: str) -> list[str]:
    parts = urlsplit(redis_url)
    return ["-h", parts.hostname or "127.0.0.1", "-p", str(parts.port or 6379)]


def _password(redis_url: str) -> dict[str, str]:
    return {**os.environ, "REDISCLI_AUTH": unquote(urlsplit(redis_url).password or "")}

"""Load by wrk, which takes its paths from a file in turn."""

import asyncio
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SCRIPT: Final = Path(__file__).with_name("paths.lua")
PATIENCE_S: Final = 10
"""For one answer, on a machine that pauses."""
_IN_FLIGHT: Final = 1000
"""More paths than are asked for when wrk stops counting."""


class WrkError(Exception):
    """wrk is missing, or what it measured does not count."""


@dataclass(frozen=True, slots=True)
class Load:
    requests: int
    requests_per_s: float


class Deck:
    """Paths in a file, one a line, asked for in turn and again from the top after the last."""

    def __init__(self, file: Path, paths: list[str]) -> None:
        if not paths:
            raise ValueError(f"{file.name} would hold no path")
        file.write_text("\n".join(paths) + "\n", encoding="ascii")
        self.file = file
        self.paths = paths
        self.position = 0

    def take(self, count: int) -> list[str]:
        """The next paths."""
        taken = [self.paths[(self.position + place) % len(self.paths)] for place in range(count)]
        self.skip(count)
        return taken

    def skip(self, count: int) -> None:
        self.position = (self.position + count) % len(self.paths)


def find_wrk() -> str:
    """Raises WrkError where it is not installed."""
    if (program := shutil.which("wrk")) is None:
        raise WrkError("wrk is not installed; install it with: apt-get install wrk")
    return program


async def wrk(url: str, deck: Deck, key: str, *, connections: int, seconds: float) -> Load:
    """Raises WrkError where any answer was not a success."""
    program = shutil.which("wrk")
    if program is None:
        raise WrkError("wrk is not installed; install it with: apt-get install wrk")
    command = [
        program,
        "-t1",
        "--timeout",
        f"{PATIENCE_S}s",
        f"-c{connections}",
        f"-d{seconds:g}s",
        "-s",
        str(SCRIPT),
        url,
    ]
    process = await asyncio.create_subprocess_exec(
        *command,
        "--",
        *(str(deck.file), str(deck.position), key),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    load = parse_wrk(output.decode())
    deck.skip(load.requests + _IN_FLIGHT)
    return load


def parse_wrk(output: str) -> Load:
    """Raises WrkError where any answer was not a success, or there is no result."""
    if wrong := re.search(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", output):
        raise WrkError(f"a run with errors does not count: {wrong[0]}")
    requests = re.search(r"(\d+) requests in", output)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if requests is None or rate is None or not int(requests[1]):
        raise WrkError(f"wrk did not measure anything: {output.strip() or 'it printed nothing'}")
    return Load(int(requests[1]), float(rate[1]))

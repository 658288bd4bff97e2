"""What became of each request of a load test, exactly: Locust's own statistics round to milliseconds."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgpack


class Request(NamedTuple):
    """One request of a user."""

    side: str
    name: str
    due: float
    """When it was to be sent, in seconds since 1970."""
    waited_ms: float
    """From then until its answer was read."""
    took_ms: float
    """From its sending until then."""
    failure: str | None


def write_requests(file: Path, requests: Sequence[Request]) -> None:
    file.write_bytes(msgpack.packb(requests))


def read_requests(file: Path) -> list[Request]:
    return list(as_requests(msgpack.unpackb(file.read_bytes())))


def as_requests(rows: Iterable[Sequence[object]]) -> Iterable[Request]:
    """Of what came over the wire or from a file."""
    return (Request(*row) for row in rows)  # type: ignore[arg-type]

"""The service as processes over a Redis that a test may freeze, and Prometheus that scrapes them."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest

from app.embedded.redis import EmbeddedRedis, start_redis
from tests.faults.system import System, add_rows, thaw
from tests.monitoring.prometheus import Prometheus, Target, start_prometheus

Scrape: TypeAlias = Callable[[Sequence[Target], int], Prometheus]


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    server = start_redis(tmp_path, "monitoring", persist=False)
    yield server
    thaw(server.child)
    server.child.stop()


@pytest.fixture
async def system(tmp_path: Path, database_url: str, own_redis: EmbeddedRedis) -> AsyncIterator[System]:
    await add_rows(database_url)
    system = System(tmp_path, database_url, own_redis.url())
    yield system
    system.stop()


@pytest.fixture
def scrape(tmp_path: Path) -> Iterator[Scrape]:
    """Starts Prometheus for these targets, the time in its rules divided by the number."""
    started: list[Prometheus] = []

    def start(targets: Sequence[Target], factor: int) -> Prometheus:
        started.append(start_prometheus(tmp_path / "prometheus", targets, factor))
        return started[-1]

    yield start
    for prometheus in started:
        prometheus.child.stop()

"""A real slowdown makes an alert fire, in a real Prometheus that scrapes the real service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from app.embedded.children import Child
from app.embedded.redis import EmbeddedRedis
from app.tasks import end_tasks
from tests.faults.load import load
from tests.faults.system import System, freeze, thaw
from tests.integration.conftest import eventually
from tests.monitoring.conftest import Scrape
from tests.monitoring.prometheus import Target

FACTOR: Final = 100
"""Five minutes are three seconds."""
ALERT: Final = "RegistryLatencyHigh"
FROZEN_S, AWAKE_S = 0.4, 0.02


@asynccontextmanager
async def slow(server: Child) -> AsyncIterator[None]:
    """Its process is stopped most of the time, and goes on for moments."""

    async def freeze_again_and_again() -> None:
        while True:
            freeze(server)
            await asyncio.sleep(FROZEN_S)
            thaw(server)
            await asyncio.sleep(AWAKE_S)

    task = asyncio.create_task(freeze_again_and_again())
    try:
        yield
    finally:
        await end_tasks(task)
        thaw(server)


async def test_a_slow_redis_makes_the_latency_alert_fire_until_it_is_well_again(
    system: System, own_redis: EmbeddedRedis, scrape: Scrape
) -> None:
    system.start_indexer()
    await system.until_live()
    base_url = (await system.start_api()).base_url
    prometheus = scrape([Target("registry", base_url, "stable")], FACTOR)

    async def is_measured() -> bool:
        return bool(await prometheus.query("registry:http_request_seconds:p95_5m"))

    async def fires() -> bool:
        return bool(await prometheus.firing(ALERT))

    async def is_over() -> bool:
        return not await fires()

    async with load([base_url]):
        await eventually(is_measured, 30)
        assert await is_over()
        async with slow(own_redis.child):
            await eventually(fires, 60)
        (alert,) = await prometheus.firing(ALERT)
        assert alert["labels"] == {
            "alertname": ALERT,
            "job": "registry",
            "track": "stable",
            "severity": "critical",
        }
        assert float(alert["value"]) > 0.15
        assert alert["annotations"]["runbook_url"].startswith("http://127.0.0.1:8000/runbooks/registry-")
        assert "P95 has been above 150 ms for 5 minutes; it is " in alert["annotations"]["description"]
        await eventually(is_over, 60)

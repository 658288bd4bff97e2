"""Each panel's queries find data in a real Prometheus that scrapes the real service while it works."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import aiohttp

from app.auth.api_keys import key_hash
from app.domain.access import PROFILES_READ, PROFILES_WRITE
from app.embedded.children import free_port
from app.embedded.redis import EmbeddedRedis
from app.store.api_keys import add_key
from app.tasks import end_tasks
from tests.faults.system import System, changing, freeze, thaw
from tests.integration.conftest import eventually
from tests.monitoring.conftest import Scrape
from tests.monitoring.files import DASHBOARD, ROOT, panels, queries
from tests.monitoring.prometheus import Target

KEY = "monitored"
PROFILES = "/v1/subscription-profiles"
PROFILE = {"name": "P", "channels": ["trades"], "selection": {"instruments": ["ins_1"]}}
VARIABLES = {"track": ".*", "instance": ".*", "__rate_interval": "5s"}


def test_the_dashboard_is_as_its_panels_are_written_down() -> None:
    script = ROOT / "deploy/grafana/make_dashboard.py"
    made = subprocess.run([sys.executable, script, "--print"], check=True, capture_output=True, text=True)
    assert made.stdout == DASHBOARD.read_text(), f"run python {script.relative_to(ROOT)}"
    assert len({panel["id"] for panel in panels()}) == len(panels())
    assert len({panel["title"] for panel in panels()}) == len(panels())


async def use(base_url: str) -> None:
    """Searches and profiles for ever, as users ask for them, some with a key that nobody has."""
    key = {"X-API-Key": KEY}
    async with aiohttp.ClientSession(base_url) as session:
        for number in count():
            for text in ("S1", "company 2", f"company {number % 50}"):
                await session.get("/v1/instruments/search", params={"q": text})
            await session.get(
                "/v1/instruments/suggest", params={"q": "S1"}, headers={"X-API-Key": "nobody's"}
            )
            profile = PROFILE | {"name": f"{base_url} {number}"}
            async with session.post(PROFILES, json=profile, headers=key) as response:
                path = response.headers.get("Location")
            if path is not None:
                await session.get(path, headers=key)
                await session.patch(path, json={"status": "paused"}, headers={**key, "If-Match": '"1"'})
                await session.delete(path, headers={**key, "If-Match": "*"})
            await asyncio.sleep(0.05)


@asynccontextmanager
async def used(*base_urls: str) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(use(base_url)) for base_url in base_urls]
    try:
        yield
    finally:
        await end_tasks(*tasks)
    for task in tasks:
        assert task.cancelled() or task.exception() is None, task


async def rebuild(base_url: str) -> None:
    async with aiohttp.ClientSession(base_url) as session:
        async with session.post("/v1/admin/index/rebuild") as response:
            assert response.status == 202, await response.text()
            path = response.headers["Location"]

        async def is_done() -> bool:
            async with session.get(path) as response:
                return bool((await response.json())["state"] == "done")

        await eventually(is_done, 30)


async def until_postgres_answers(base_url: str) -> None:
    numbers = count(1)
    async with aiohttp.ClientSession(base_url) as session:

        async def answers() -> bool:
            query = {"q": f"S{next(numbers)}"}
            async with session.get("/v1/instruments/search", params=query) as response:
                return response.headers.get("X-Search-Source") == "postgres"

        await eventually(answers, 30)


async def test_every_query_of_every_panel_finds_data(
    system: System, own_redis: EmbeddedRedis, scrape: Scrape
) -> None:
    await add_key(
        system.database_url, owner="o", scopes=(PROFILES_READ, PROFILES_WRITE), secret_sha256=key_hash(KEY)
    )
    port = str(free_port())
    system.start_indexer(environment={"REGISTRY_INDEXER_PORT": port, "SEARCH_INDEX_REFRESH": "1"})
    await system.until_live()
    cached = {"CACHE_TTL_SECONDS": "2", "REGISTRY_REDIS_SEARCH_MS": "250", "SEARCH_INDEX_REFRESH": "1"}
    stable = (await system.start_api(cached | {"REGISTRY_WORKERS": "2"})).base_url
    canary = (await system.start_api(cached)).base_url
    prometheus = scrape(
        [
            Target("registry", stable, "stable"),
            Target("registry", canary, "canary"),
            Target("registry-indexer", f"http://127.0.0.1:{port}"),
        ],
        50,
    )
    missing = {(title, filled(query)) for title, query in queries()}

    async def all_are_found() -> bool:
        for title, query in sorted(missing):
            if await prometheus.query(query):
                missing.remove((title, query))
        return not missing

    async with used(stable, canary), changing(system.database_url, 0.5):

        async def both_are_known() -> bool:
            return len(await prometheus.query("registry:http_request_seconds:p95_5m")) == 2

        await eventually(both_are_known, 30)
        await rebuild(stable)
        freeze(own_redis.child)
        await until_postgres_answers(canary)
        thaw(own_redis.child)
        try:
            await eventually(all_are_found, 40)
        except TimeoutError:
            raise AssertionError(f"nothing is found by {sorted(missing)}") from None
    assert {"canary", "stable"} <= set(await prometheus.label_values("track"))
    assert {"0", "1", "supervisor"} <= set(await prometheus.label_values("worker"))


def filled(query: str) -> str:
    """With the dashboard's variables as they are at first."""
    text = re.sub(r"\$(\w+)", lambda found: VARIABLES[found[1]], query)
    assert "$" not in text, text
    return text

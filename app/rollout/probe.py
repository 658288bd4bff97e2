"""Searches that the controller sends to both versions, so that a canary with few users is measured too."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote

import aiohttp
import structlog

from app.tasks import end_tasks

TIMEOUT_S: Final = 5.0
_AT_ONCE: Final = 50
_INSTRUMENTS: Final = 100
_AGAIN_AFTER_S: Final = 1.0

log = structlog.get_logger(__name__)


@asynccontextmanager
async def probing(
    session: aiohttp.ClientSession, urls: Sequence[str], per_s: float, key: str | None
) -> AsyncIterator[None]:
    """Send `per_s` searches a second to each of `urls` meanwhile; what becomes of them the metrics say."""
    if not per_s:
        yield
        return
    tasks = [
        asyncio.create_task(_probe(session, url, per_s, key), name=f"probe {url}")
        for url in dict.fromkeys(urls)
    ]
    try:
        yield
    finally:
        await end_tasks(*tasks)


async def _probe(session: aiohttp.ClientSession, url: str, per_s: float, key: str | None) -> None:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    paths = await _paths(session, url, headers)
    loop = asyncio.get_running_loop()
    room = asyncio.Semaphore(_AT_ONCE)
    started = loop.time()
    async with asyncio.TaskGroup() as group:
        for number, path in enumerate(itertools.cycle(paths)):
            await asyncio.sleep(started + number / per_s - loop.time())
            await room.acquire()
            group.create_task(_ask(session, url + path, headers, room))


async def _ask(
    session: aiohttp.ClientSession, url: str, headers: dict[str, str], room: asyncio.Semaphore
) -> None:
    try:
        async with session.get(
            url, headers=headers, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)
        ) as response:
            await response.read()
    except (aiohttp.ClientError, OSError) as error:
        log.debug("probe not answered", url=url, reason=str(error) or type(error).__name__)
    finally:
        room.release()


async def _paths(session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> list[str]:
    """What to ask: instruments of the catalog by symbol, by name and by id. Waits until it is answered."""
    while True:
        try:
            async with session.get(
                f"{url}/v1/instruments/search",
                params={"limit": str(_INSTRUMENTS)},
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            ) as response:
                hits = (await response.json())["hits"] if response.status == 200 else []
                reason = f"it answers {response.status} with {len(hits)} instruments"
        except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError) as error:
            hits, reason = [], str(error) or type(error).__name__
        if hits:
            return [path for hit in hits for path in _paths_of(hit)]
        log.warning("nothing to probe with", url=url, reason=reason)
        await asyncio.sleep(_AGAIN_AFTER_S)


def _paths_of(instrument: dict[str, str]) -> list[str]:
    search = "/v1/instruments/search?limit=5&q="
    return [
        search + _quoted(instrument["symbol"]),
        search + _quoted(instrument["name"][:100]),
        f"/v1/instruments/{instrument['id']}",
    ]


def _quoted(text: str) -> str:
    return quote(text, safe="")

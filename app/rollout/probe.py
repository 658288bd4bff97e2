"""Searches that the controller sends to both versions, so that a canary with few users is measured too."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import structlog

from app.tasks import end_tasks

TIMEOUT_S: Final = 5.0
_AT_ONCE: Final = 50
_INSTRUMENTS: Final = 100
_AGAIN_AFTER_S: Final = 1.0
_REFUSALS: Final = {
    401: "set REGISTRY_ROLLOUT_KEY to an API key that both versions take",
    403: "give the key of REGISTRY_ROLLOUT_KEY the scope instruments:read",
    429: "give the key of REGISTRY_ROLLOUT_KEY a higher limit",
}
"""Answers that say nothing of a version, and what to do about them."""

log = structlog.get_logger(__name__)


@asynccontextmanager
async def probing(
    urls: Sequence[str], per_s: float, key: str | None
) -> AsyncIterator[Callable[[], Sequence[str]]]:
    """Send `per_s` searches a second to each of `urls` meanwhile; what becomes of them the metrics say.

    Yields what tells why a version is not probed, as it should be.
    """
    probes = [_Probe(url, per_s, key) for url in dict.fromkeys(urls)] if per_s else []
    tasks = [asyncio.create_task(probe.run(), name=f"probe {probe.url}") for probe in probes]

    def troubles() -> list[str]:
        return [why for probe, task in zip(probes, tasks, strict=True) if (why := _trouble_of(probe, task))]

    try:
        yield troubles
    finally:
        await end_tasks(*tasks)


def _trouble_of(probe: "_Probe", task: "asyncio.Task[None]") -> str | None:
    if task.done() and not task.cancelled() and (error := task.exception()) is not None:
        return f"the probe of {probe.url} has died: {error!r}"
    return probe.trouble


class _Probe:
    """Of one version, by connections of its own: those that hang must not keep others from being made."""

    def __init__(self, url: str, per_s: float, key: str | None) -> None:
        self.url = url
        self.trouble: str | None = f"the probe of {url} has not begun"
        self._per_s = per_s
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._is_refused = False

    async def run(self) -> None:
        """Until it is refused."""
        async with aiohttp.ClientSession(
            headers=self._headers,
            connector=aiohttp.TCPConnector(limit=_AT_ONCE),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        ) as session:
            if paths := await self._paths(session):
                await self._search(session, paths)

    async def _search(self, session: aiohttp.ClientSession, paths: Sequence[str]) -> None:
        loop = asyncio.get_running_loop()
        room = asyncio.Semaphore(_AT_ONCE)
        started = loop.time()
        async with asyncio.TaskGroup() as group:
            for number, path in enumerate(itertools.cycle(paths)):
                await asyncio.sleep(started + number / self._per_s - loop.time())
                await room.acquire()
                if self._is_refused:
                    return
                group.create_task(self._ask(session, self.url + path, room))

    async def _ask(self, session: aiohttp.ClientSession, url: str, room: asyncio.Semaphore) -> None:
        try:
            async with session.get(url) as response:
                await response.read()
                self._mind(response.status)
        except (aiohttp.ClientError, OSError) as error:
            log.debug("probe not answered", url=url, reason=str(error) or type(error).__name__)
        finally:
            room.release()

    async def _paths(self, session: aiohttp.ClientSession) -> list[str]:
        """What to ask: instruments of the catalog by symbol, by name and by id. Waits until it is answered;
        none where it is refused."""
        url = f"{self.url}/v1/instruments/search"
        while True:
            try:
                async with session.get(url, params={"limit": str(_INSTRUMENTS)}) as response:
                    self._mind(response.status)
                    hits = (await response.json())["hits"] if response.status == 200 else []
                    reason = f"it answers {response.status} with {len(hits)} instruments"
                    paths = [path for hit in hits for path in _paths_of(hit)]
            except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                paths, reason = [], f"{type(error).__name__} {error}".strip()
            if self._is_refused:
                return []
            if paths:
                self.trouble = None
                return paths
            self.trouble = f"nothing to probe {self.url} with: {reason}"
            log.warning("nothing to probe with", url=self.url, reason=reason)
            await asyncio.sleep(_AGAIN_AFTER_S)

    def _mind(self, status: int) -> None:
        """End where the answer is of who asks, not of the version: it would be one more refusal."""
        if status in _REFUSALS and not self._is_refused:
            self._is_refused = True
            self.trouble = (
                f"the probe of {self.url} was refused with {status}, and has ended: {_REFUSALS[status]}, "
                "end this controller, and go on with rollout run"
            )


def _paths_of(instrument: dict[str, Any]) -> list[str]:
    search = "/v1/instruments/search?limit=5&q="
    return [
        search + _quoted(instrument["symbol"]),
        search + _quoted(instrument["name"][:100]),
        f"/v1/instruments/{instrument['id']}",
    ]


def _quoted(text: str) -> str:
    return quote(text, safe="")

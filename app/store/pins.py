"""The search pins, held in memory, so that a search without one pays nothing for it.

Whether any was written is looked up every second; so a process heeds a pin within two seconds of its commit.
While Postgres is away the pins last read stay.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from app.domain.errors import PostgresUnavailable
from app.domain.query import Search, Sort
from app.domain.text import query_key
from app.store.search_pins import SearchPins

POLL_S: Final = 1.0

log = structlog.get_logger(__name__)


class Pins:
    def __init__(self, stored: SearchPins) -> None:
        self._stored = stored
        self._pinned: Mapping[str, tuple[int, ...]] = {}
        self._last_event: int | None = None

    async def follow(self) -> None:
        """Keep the pins fresh, for ever. To be run as a task."""
        reachable = True
        while True:
            try:
                await self._read()
                reachable = True
            except PostgresUnavailable as error:
                if reachable:
                    log.warning("search pins cannot be read", reason=str(error))
                reachable = False
            await asyncio.sleep(POLL_S)

    @property
    def version(self) -> int | None:
        """Another one after each change of any pin."""
        return self._last_event

    def of(self, search: Search) -> tuple[int, ...]:
        """The numbers of the instruments that are to come first: none in another order than by relevance."""
        if not self._pinned or search.sort is not Sort.RELEVANCE:
            return ()
        return self._pinned.get(query_key(search.text), ())

    async def _read(self) -> None:
        last_event = await self._stored.last_event()
        if last_event != self._last_event:
            self._pinned = await self._stored.pinned()
            self._last_event = last_event

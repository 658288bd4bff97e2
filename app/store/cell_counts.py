"""The cells of the generations that are asked of, held in memory for as long as they stay as they are."""

import asyncio
import math
import time

from app.domain.errors import CursorExpired
from app.search.cells import VERSION, Cells
from app.search.generation import cells_key
from app.store.kept_generations import with_generation
from app.store.redis_line import Command
from app.store.search_index import SearchIndex


class CellCounts:
    def __init__(self, index: SearchIndex) -> None:
        self._index = index
        self._held: dict[int, tuple[float, Cells]] = {}
        """When the reading of a generation's cells began, on the monotonic clock; and the cells."""
        self._reading = asyncio.Lock()

    def last_read(self, generation: int) -> Cells | None:
        """As they were when they were last read; None where they were not, or are long forgotten."""
        held = self._held.get(generation)
        return None if held is None else held[1]

    def version_command(self, generation: int) -> Command:
        """Asks which version of the cells there is now."""
        return "HGET", cells_key(generation), VERSION

    async def in_version(self, generation: int, version: bytes | None, timeout_ms: int) -> Cells:
        """In this version or a later one. Raises CursorExpired where they are gone, RedisUnavailable."""
        known = self.last_read(generation)
        if known is not None and known.version == version:
            return known
        asked_at = time.monotonic()
        async with self._reading:  # one reads for all who wait
            read_at, known = self._held.get(generation, (-math.inf, None))
            if known is not None and (known.version == version or read_at >= asked_at):
                return known
            began_at = time.monotonic()
            (fields,) = await self._index.execute([("HGETALL", cells_key(generation))], timeout_ms)
            if not fields:
                raise CursorExpired("the index generation is gone; restart without a cursor")
            cells = Cells(fields)
            self._held = with_generation(self._held, generation, (began_at, cells))
            return cells

    async def read(self, generation: int, timeout_ms: int) -> Cells:
        """As they are now. Raises as `in_version` does."""
        (version,) = await self._index.execute([self.version_command(generation)], timeout_ms)
        return await self.in_version(generation, version, timeout_ms)

"""Some documents of a generation, by which it is guessed where a page ends.

They are hints alone. A page that does not end where it was guessed is looked for further on.
"""

import asyncio
import math
import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Final, TypeAlias

from app.domain.query import Search
from app.search.cells import CELL_KEYS, Filters, filter_of, lane_of_cell
from app.search.expression import ORDERS, Order
from app.search.generation import document_prefix
from app.search.lanes import Lanes
from app.search.schema import KEY_OF
from app.store.kept_generations import with_generation
from app.store.search_index import SearchIndex

SAMPLED: Final = 2_000
"""Documents of a sample."""
RENEWED_S: Final = 60.0
"""After so long another is taken, for documents change."""
_AT_ONCE: Final = 500
_MOST_SCANS: Final = 100
"""Other keys of the same Redis are passed over."""
_REMEMBERED: Final = 256
_FIELDS: Final = tuple(order.field for order in ORDERS.values())
_READ: Final = (*(KEY_OF[field] for field in _FIELDS), *CELL_KEYS)

_Row: TypeAlias = tuple[list[int], list[bytes], int]
"""The sort keys of a document, the values of its filters in lower case, and its lane."""


class Sample:
    """`rows` hold what `_READ` names of each document."""

    def __init__(self, rows: Sequence[Sequence[bytes]]) -> None:
        self._rows: list[_Row] = [
            ([int(key) for key in keys], [value.lower() for value in values], lane_of_cell(values))
            for keys, values in ((row[: len(_FIELDS)], row[len(_FIELDS) :]) for row in rows)
        ]
        self._keys_of = lru_cache(_REMEMBERED)(partial(_sorted_keys, self._rows))
        self._keys_in = lru_cache(_REMEMBERED)(partial(_sorted_keys_in, self._rows))

    def end_of_page(
        self, search: Search, order: Order, start: int | None, part: float, lanes: Lanes, *, is_beyond: bool
    ) -> int | None:
        """Where the range from `start` on, or beyond it, ends that holds such a part of what the search's
        filters let through; None: behind all that is known.

        Between two of these that were sampled it ends with another document of their lanes.
        """
        keys = self._keys_of(tuple(search.filters.items()), order.field)
        others = self._keys_in(lanes, order.field)
        wanted = part * len(keys)
        count = math.ceil(wanted)
        left_over = 1 - (count - wanted)
        if order.is_ascending:
            first = bisect_right if is_beyond else bisect_left
            begin = 0 if start is None else first(keys, start)
            place = begin + count - 1
            if not count or place >= len(keys):
                return None
            before = keys[place - 1] if place > begin else start
            low = 0 if before is None else bisect_right(others, before)
            between = bisect_left(others, keys[place]) - low
            return others[low + math.floor(left_over * between)] if between > 0 else keys[place]
        first = bisect_left if is_beyond else bisect_right
        begin = len(keys) if start is None else first(keys, start)
        place = begin - count
        if not count or place < 0:
            return None
        before = keys[place + 1] if place + 1 < begin else start
        high = len(others) if before is None else bisect_left(others, before)
        between = high - bisect_right(others, keys[place])
        return others[high - 1 - math.floor(left_over * between)] if between > 0 else keys[place]

    def share(self, order: Order, start: int | None, end: int, lanes: Lanes) -> float:
        """Which part of all documents is in a range, of these lanes if there are any."""
        keys = self._keys_in(lanes, order.field)
        low, high = (start, end) if order.is_ascending else (end, start)
        first = 0 if low is None else bisect_left(keys, low)
        last = len(keys) if high is None else bisect_right(keys, high)
        return (last - first) / len(self._rows)


class KeySamples:
    """Methods raise RedisUnavailable."""

    def __init__(self, index: SearchIndex) -> None:
        self._index = index
        self._samples: dict[int, tuple[float, Sample]] = {}
        self._taking = asyncio.Lock()

    async def read(self, generation: int, timeout_ms: int) -> Sample:
        """A sample of not long ago."""
        known = self._samples.get(generation)
        if known is not None and (time.monotonic() < known[0] or self._taking.locked()):
            return known[1]
        async with self._taking:
            known = self._samples.get(generation)
            if known is None or time.monotonic() >= known[0]:
                known = time.monotonic() + RENEWED_S, await self._take(generation, timeout_ms)
                self._samples = with_generation(self._samples, generation, known)
            return known[1]

    async def _take(self, generation: int, timeout_ms: int) -> Sample:
        """Redis scans in the order of its hash table: what comes first is as good as drawn by lot."""
        documents: dict[bytes, Sequence[bytes]] = {}
        cursor: bytes = b"0"
        pattern = f"{document_prefix(generation)}*"
        for _ in range(_MOST_SCANS):
            scan = ("SCAN", cursor, "MATCH", pattern, "COUNT", _AT_ONCE)
            ((cursor, found),) = await self._index.execute([scan], timeout_ms)
            reads = [("HMGET", key, *_READ) for key in found]
            replies = await self._index.execute(reads, timeout_ms) if reads else []
            documents.update(zip(found, replies, strict=True))
            if cursor == b"0" or len(documents) >= SAMPLED:
                break
        return Sample([row for row in documents.values() if None not in row])  # but for those just removed


def _sorted_keys(rows: Sequence[_Row], filters: Filters, field: str) -> list[int]:
    lets_through, place = filter_of(filters), _FIELDS.index(field)
    return sorted(keys[place] for keys, folded, _ in rows if lets_through(folded))


def _sorted_keys_in(rows: Sequence[_Row], lanes: Lanes, field: str) -> list[int]:
    place = _FIELDS.index(field)
    return sorted(keys[place] for keys, _, lane in rows if not lanes or lane in lanes)

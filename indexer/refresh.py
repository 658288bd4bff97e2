"""Brings one generation level with Postgres: what changed since its watermark, then the next watermark.

The watermark is the oldest transaction that still ran when the snapshot was taken. Everything below
it was decided by then; everything from it on is read again next time. So a transaction that commits
late is never missed, and one that stays open for an hour delays nobody else's changes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from app.search.document import Row
from app.store.index_state import IndexState
from app.store.index_writer import IndexWriter
from app.store.instruments import Position, Snapshot

READ_BATCH: Final = 500
WRITE_BATCH: Final = 50
"""Documents written by one script: Redis answers nobody else meanwhile (about 2 ms)."""
WRITE_BATCH_BESIDE_SEARCHES: Final = 16
"""The same while others search, who wait less; a rebuild takes longer (docs/performance.md)."""
MAX_BATCHES_IN_FLIGHT: Final = 3


@dataclass(frozen=True, slots=True)
class Refreshed:
    """`read` rows changed since the watermark, `written` of them were newer than their documents."""

    read: int
    written: int
    removed: int


async def refresh(
    snapshot: Snapshot, position: Position, writer: IndexWriter, state: IndexState
) -> Refreshed:
    """Bring a generation up to `snapshot`, whose `position` was read since `state.watermark`."""
    read = written = removed = 0
    if position.changed:
        read, written = await write_rows(writer, state.generation, snapshot.rows(state.watermark, READ_BATCH))
        numbers = await snapshot.removed(state.watermark)
        for start in range(0, len(numbers), READ_BATCH):
            removed += await writer.remove(state.generation, numbers[start : start + READ_BATCH])
    await writer.advance(state.generation, position)
    return Refreshed(read, written, removed)


async def write_rows(
    writer: IndexWriter,
    generation: int,
    batches: AsyncIterator[Sequence[Row]],
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[int, int]:
    """Write all rows, a few batches in flight while the next are read: (rows read, documents written).

    Batches are smaller while others search. `progress` is told the rows read so far.
    """
    read = written = 0
    free = asyncio.Semaphore(MAX_BATCHES_IN_FLIGHT)

    async def write(rows: Sequence[Row]) -> None:
        nonlocal written
        try:
            count = await writer.write(generation, rows)
            written += count
        finally:
            free.release()

    try:
        async with asyncio.TaskGroup() as group:
            async for rows in batches:
                are_others_there = await writer.traffic.is_there()
                size = WRITE_BATCH_BESIDE_SEARCHES if are_others_there else WRITE_BATCH
                for start in range(0, len(rows), size):
                    await free.acquire()
                    group.create_task(write(rows[start : start + size]))
                read += len(rows)
                progress(read)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None  # the others failed with it
    return read, written

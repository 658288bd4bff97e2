"""Builds the next generation beside the live one, and swaps when it is proven complete.

Killed at any point it leaves the live index serving; what it left behind carries its own generation's
number, and the next leader removes it.
"""

from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from app.domain.errors import RegistryError
from app.store.index_jobs import IndexJobs
from app.store.index_state import IndexState, read_state
from app.store.index_writer import IndexWriter, index_info
from app.store.instruments import open_snapshot
from indexer.refresh import READ_BATCH, refresh, write_rows

MAX_CATCH_UP_ROUNDS: Final = 10
FEW_CHANGES: Final = 1000
"""With no more than this many changes in a round, the next refresh after the swap can do the rest."""


class RebuildFailed(RegistryError):
    """The new generation did not pass; the live one was left as it is."""


@dataclass(slots=True)
class Progress:
    """Where a rebuild stands; `done` and `total` count documents."""

    phase: str = "starting"
    done: int = 0
    total: int | None = None

    def enter(self, phase: str, total: int | None = None, done: int = 0) -> None:
        self.phase, self.done, self.total = phase, done, total

    def advance(self, done: int) -> None:
        self.done = done


async def rebuild(
    database_url: str, client: Redis, writer: IndexWriter, jobs: IndexJobs, progress: Progress
) -> tuple[int, int]:
    """Build and swap to a new generation; its number and how many documents it holds.

    Raises RebuildFailed, LeaseLost, PostgresUnavailable or RedisUnavailable; the live generation is
    untouched then.
    """
    # 1. A number, and an empty index under it.
    generation = await jobs.add_generation(above=max(await writer.generations(), default=0))
    try:
        await writer.create_generation(generation)
        # 2. Everything, from one snapshot.
        await _load(database_url, writer, generation, progress)
        # 3. What changed meanwhile, until little does; then it must be complete.
        documents = await _catch_up(database_url, client, writer, generation, progress)
        # 4. Live, in one step.
        progress.enter("swapping")
        await writer.promote(generation)
    except Exception:
        await jobs.record_state(generation, "failed")
        raise
    await jobs.record_live(generation, documents)
    return generation, documents


async def remove_stale(writer: IndexWriter, jobs: IndexJobs, live: int) -> list[int]:
    """Remove every generation but the live one and the newest that was live before; their numbers."""
    recorded = await jobs.generations()
    previous = next((generation.number for generation in recorded if generation.state == "kept"), None)
    known = {generation.number for generation in recorded} | set(await writer.generations())
    stale = sorted(known - {live, previous})
    for number in stale:
        await writer.drop_generation(number)
        await jobs.record_state(number, "dropped")
    return stale


async def _load(database_url: str, writer: IndexWriter, generation: int, progress: Progress) -> None:
    async with open_snapshot(database_url) as snapshot:
        position = await snapshot.position(0)
        progress.enter("loading", await snapshot.count())
        await write_rows(writer, generation, snapshot.rows(None, READ_BATCH), progress.advance)
    await writer.advance(generation, position)


async def _catch_up(
    database_url: str, client: Redis, writer: IndexWriter, generation: int, progress: Progress
) -> int:
    """Refresh the new generation until little changes meanwhile, and compare its size with the last snapshot.

    Returns that size. However fast Postgres changes, the generation equals a snapshot at the end of
    each round; the rounds only keep what the first refresh after the swap will find small.
    """
    progress.enter("catching up")
    rows = 0
    for rounds_left in reversed(range(MAX_CATCH_UP_ROUNDS)):
        state = await _filled_state(client, generation)
        async with open_snapshot(database_url) as snapshot:
            position = await snapshot.position(state.watermark)
            refreshed = await refresh(snapshot, position, writer, state)
            progress.advance(progress.done + refreshed.written)
            if rounds_left == 0 or refreshed.written + refreshed.removed <= FEW_CHANGES:
                rows = await snapshot.count()
                await _check(client, generation, rows)
                break
    return rows


async def _filled_state(client: Redis, generation: int) -> IndexState:
    state = await read_state(client, generation)
    if state is None:
        raise RebuildFailed("Redis was emptied while the generation was built")
    return state


async def _check(client: Redis, generation: int, rows: int) -> None:
    info = await index_info(client, generation)
    if info is None:
        raise RebuildFailed("Redis was emptied while the generation was built")
    documents, failures = int(info["num_docs"]), int(info["hash_indexing_failures"])
    if documents != rows or failures:
        raise RebuildFailed(f"the new index has {documents} documents of {rows}, {failures} of them refused")

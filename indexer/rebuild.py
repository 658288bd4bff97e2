"""Builds the next generation beside the live one, and swaps when it is proven; or goes back to the last.

Killed at any point either leaves the live index serving; what a rebuild left behind carries its own
generation's number, and the next leader removes it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from app.search.schema import FINGERPRINT
from app.store.index_jobs import Generation, IndexJobs, Taken
from app.store.index_state import IndexState, index_info, read_live_state, read_state
from app.store.index_writer import IndexWriter
from app.store.instruments import open_snapshot
from indexer.gates import JobCancelled, JobFailed, check, check_size
from indexer.refresh import READ_BATCH, refresh, write_rows

MAX_CATCH_UP_ROUNDS: Final = 10
FEW_CHANGES: Final = 1000
"""With no more than this many changes in a round, the next refresh after the swap can do the rest."""


@dataclass(slots=True)
class Progress:
    """Where a job stands; `done` and `total` count documents."""

    phase: str = "starting"
    done: int = 0
    total: int | None = None
    is_swapping: bool = False
    is_cancelled: bool = False

    def cancel(self) -> bool:
        """Whether it is not too late to cancel the job: it will not swap then."""
        self.is_cancelled = not self.is_swapping
        return self.is_cancelled

    def begin_swap(self) -> None:
        """Raises JobCancelled."""
        if self.is_cancelled:
            raise JobCancelled
        self.is_swapping = True
        self.enter("swapping")

    def enter(self, phase: str, total: int | None = None, done: int = 0) -> None:
        self.phase, self.done, self.total = phase, done, total

    def advance(self, done: int) -> None:
        self.done = done


@dataclass(frozen=True, slots=True)
class Swapped:
    """The generation that went live, and what was verified before, by how many."""

    generation: int
    checks: dict[str, int]


async def rebuild(
    database_url: str,
    client: Redis,
    writer: IndexWriter,
    jobs: IndexJobs,
    progress: Progress,
    *,
    search_timeout_ms: int,
) -> Swapped:
    """Build and swap to a new generation.

    Raises JobFailed, LeaseLost, PostgresUnavailable or RedisUnavailable; the live generation is
    untouched then.
    """
    # 1. A number, and an empty index under it.
    generation = await jobs.add_generation(above=max(await writer.generations(), default=0))
    try:
        await writer.create_generation(generation)
        # 2. Everything, from one snapshot.
        await _load(database_url, writer, generation, progress)
        # 3. What changed meanwhile, until little does; then it must be complete.
        checks = await _catch_up(database_url, client, writer, generation, progress, search_timeout_ms)
        # 4. Live, in one step.
        await _swap(writer, jobs, generation, checks["documents"], progress)
    except Exception:
        await jobs.record_state(generation, "failed")
        raise
    return Swapped(generation, checks)


async def roll_back(
    database_url: str,
    client: Redis,
    writer: IndexWriter,
    jobs: IndexJobs,
    progress: Progress,
    job: Taken,
) -> Swapped:
    """Swap to the generation that was live before, level with Postgres. Raises as `rebuild` does.

    A job that a dead leader had swapped for already is not carried out again: that would go forward.
    """
    live = await read_live_state(client)
    if live is not None and live.generation == job.generation:
        return Swapped(live.generation, {})
    generation = await kept_generation(jobs)
    state = None if generation is None else await read_state(client, generation)
    if generation is None or state is None or await index_info(client, generation) is None:
        raise JobFailed("there is no earlier generation to go back to; rebuild instead")
    if state.fingerprint != FINGERPRINT:
        raise JobFailed(
            f"generation {generation} has the schema {state.fingerprint}, this version serves {FINGERPRINT}; "
            "rebuild instead"
        )
    progress.enter("catching up")
    async with open_snapshot(database_url) as snapshot:
        position = await snapshot.position(state.watermark)
        if not state.is_followed_by(position):
            raise JobFailed(f"generation {generation} follows another Postgres; rebuild instead")
        await refresh(snapshot, position, writer, state)
        progress.enter("verifying")
        checks = {"documents": await check_size(client, generation, snapshot)}
    await jobs.aim(job.id, generation)
    await _swap(writer, jobs, generation, checks["documents"], progress)
    return Swapped(generation, checks)


async def kept_generation(jobs: IndexJobs) -> int | None:
    """The generation that was live most recently before the present one."""
    return _kept(await jobs.generations())


async def remove_stale(writer: IndexWriter, jobs: IndexJobs, live: int) -> list[int]:
    """Remove every generation but the live one and the one that was live before; their numbers."""
    recorded = await jobs.generations()
    known = {generation.number for generation in recorded} | set(await writer.generations())
    stale = sorted(known - {live, _kept(recorded)})
    for number in stale:
        await writer.drop_generation(number)
        await jobs.record_state(number, "dropped")
    return stale


def _kept(recorded: Iterable[Generation]) -> int | None:
    kept = [(generation.live_at, generation.number) for generation in recorded if generation.state == "kept"]
    return max(kept)[1] if kept else None


async def _swap(
    writer: IndexWriter, jobs: IndexJobs, generation: int, documents: int, progress: Progress
) -> None:
    progress.begin_swap()
    await writer.promote(generation)
    await jobs.record_live(generation, documents)


async def _load(database_url: str, writer: IndexWriter, generation: int, progress: Progress) -> None:
    async with open_snapshot(database_url) as snapshot:
        position = await snapshot.position(0)
        progress.enter("loading", await snapshot.count())
        await write_rows(writer, generation, snapshot.rows(None, READ_BATCH), progress.advance)
    await writer.advance(generation, position)


async def _catch_up(
    database_url: str,
    client: Redis,
    writer: IndexWriter,
    generation: int,
    progress: Progress,
    search_timeout_ms: int,
) -> dict[str, int]:
    """Refresh the new generation until little changes meanwhile, and verify it against the last snapshot.

    Returns what was verified. However fast Postgres changes, the generation equals a snapshot at the end of
    each round; the rounds only keep what the first refresh after the swap will find small.
    """
    progress.enter("catching up")
    for rounds_left in reversed(range(MAX_CATCH_UP_ROUNDS)):
        state = await _filled_state(client, generation)
        async with open_snapshot(database_url) as snapshot:
            position = await snapshot.position(state.watermark)
            refreshed = await refresh(snapshot, position, writer, state)
            progress.advance(progress.done + refreshed.written)
            if rounds_left == 0 or refreshed.written + refreshed.removed <= FEW_CHANGES:
                progress.enter("verifying")
                return await check(client, generation, snapshot, search_timeout_ms)
    raise AssertionError("the last round returns")


async def _filled_state(client: Redis, generation: int) -> IndexState:
    state = await read_state(client, generation)
    if state is None:
        raise JobFailed("Redis was emptied while the generation was built")
    return state

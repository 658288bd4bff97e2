"""The loop: stand by or lead; leading, keep the index level with Postgres and carry out jobs.

Any number of runners may run. One holds the lease; the others wait for it.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog
from redis.asyncio import Redis

from app import metrics
from app.domain.errors import Conflict, Unavailable
from app.parameters.live import LiveParameters
from app.store.index_jobs import CHANGES_CHANNEL, JOBS_CHANNEL, IndexJobs, JobKind, JobState, Taken
from app.store.index_state import index_info, read_live_state, read_parked, read_state
from app.store.index_writer import IndexWriter, shown_token
from app.store.instruments import Position, Snapshot, open_snapshot
from app.store.lease import Lease
from app.store.postgres import STATEMENT_TIMEOUT_S, Connection, open_connection, postgres_errors
from app.store.refreshes import RefreshEntry
from app.tasks import end_tasks
from indexer.abandoned import remove_abandoned
from indexer.chores import repeat
from indexer.due import take_effect
from indexer.gates import JobCancelled, JobFailed
from indexer.housekeeping import keep_house
from indexer.measuring import measure
from indexer.plan import Need, Plan, plan
from indexer.rebuild import Progress, Swapped, kept_generation, rebuild, remove_stale, roll_back
from indexer.refresh import Refreshed, refresh
from indexer.repair import repair
from indexer.sampling import sample
from indexer.watches import tell_listeners

LEASE_S: Final = 3.0
"""A leader that died is replaced after this and a quarter of it."""
RETRY_S: Final = 1.0
SETTLE_S: Final = 0.1
"""After a notification: what commits within this time is refreshed together."""
REPORT_S: Final = 0.25
SETTLE_INTERVALS: Final = 2
"""What differs for so many refreshes does not come right by itself."""
HELD_WARNING_S: Final = 60.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    database_url: str
    holder: str
    """Names this process in the lease."""
    parameters: LiveParameters
    """How long a refresh is waited for, and a page of what a dynamic profile selects."""
    events_kept_s: float
    """How long the events of streams are kept; the audit trail always is."""
    abandoned_after_s: float
    """How long the generations of another schema stay, when nobody writes them."""


async def run(settings: RunnerSettings, client: Redis, stop: asyncio.Event) -> None:
    """Stand by and lead, in turns, until `stop` is set. A server that is away is waited for."""
    while not stop.is_set():
        try:
            async with open_connection(
                settings.database_url, statement_timeout_s=STATEMENT_TIMEOUT_S
            ) as connection:
                await _take_turn(settings, client, connection, stop)
        except (Unavailable, Conflict) as error:
            log.warning("indexer interrupted", reason=str(error))
            await _wait(stop, RETRY_S)


async def _take_turn(
    settings: RunnerSettings, client: Redis, connection: Connection, stop: asyncio.Event
) -> None:
    """Wait for the lease, then lead until it is lost, a server goes away, or `stop` is set."""
    lease = Lease(connection, settings.holder, LEASE_S)
    while (token := await lease.acquire(await shown_token(client))) is None:
        if stop.is_set():
            return
        await _wait(stop, LEASE_S / 4)
    try:
        await until_first(
            lease.keep(token),
            _Leader(settings, client, token).lead(stop),
            *_chores(settings, client),
        )
    finally:
        metrics.INDEXER_LEADING.set(0)
        with contextlib.suppress(Unavailable, TimeoutError):  # then it expires by itself
            async with asyncio.timeout(LEASE_S):
                await lease.release()


def _chores(settings: RunnerSettings, client: Redis) -> list[Awaitable[None]]:
    url, holder = settings.database_url, settings.holder

    async def take_sample() -> None:
        await sample(url, client, SETTLE_INTERVALS * settings.parameters.search_index_refresh)

    chores: list[tuple[str, Callable[[], Awaitable[None]], float]] = [
        ("remove what has expired", partial(keep_house, url, settings.events_kept_s), 60.0),
        (
            "remove abandoned generations",
            partial(remove_abandoned, url, client, holder, settings.abandoned_after_s),
            60.0,
        ),
        ("let take effect what is due", partial(take_effect, url), 1.0),
        ("sample the index", take_sample, 180.0),
        ("measure the index", partial(measure, url, client), 15.0),
    ]
    return [repeat(*chore) for chore in chores]


async def until_first(*tasks: Awaitable[None]) -> None:
    """Run until one of them ends, end the others, and raise what it raised."""
    running = [asyncio.ensure_future(task) for task in tasks]
    try:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end_tasks(*running)
    for task in done:
        task.result()


async def _until_set(event: asyncio.Event) -> None:
    await event.wait()


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()


class _Leader:
    """One term of leadership, under one token."""

    def __init__(self, settings: RunnerSettings, client: Redis, token: int) -> None:
        self._settings = settings
        self._client = client
        self._writer = IndexWriter(client, token)
        self._parameters = settings.parameters
        self._wake = asyncio.Event()
        self._kept: int | None = None
        """The generation that was live before."""
        self._held = (0, 0.0, 0.0)
        """The watermark, since when a transaction holds it, and when that was last warned of; monotonic."""
        self._told = False
        """Whether listeners know of all that is in the index; what an earlier leader told is not known."""

    async def lead(self, stop: asyncio.Event) -> None:
        """Refresh and carry out jobs until `stop` is set. Raises LeaseLost and Unavailable."""
        await self._writer.claim()
        log.info("leading", holder=self._settings.holder)
        metrics.INDEXER_LEADING.set(1)
        async with open_connection(
            self._settings.database_url, statement_timeout_s=STATEMENT_TIMEOUT_S
        ) as connection:
            with postgres_errors():
                for channel in (CHANGES_CHANNEL, JOBS_CHANNEL):
                    await connection.add_listener(channel, self._woken)
            jobs = IndexJobs(connection)
            stopping = asyncio.ensure_future(stop.wait())
            stopping.add_done_callback(lambda _: self._wake.set())
            try:
                with self._parameters.listening(self._wake.set):  # a shorter wait is not waited for
                    await self._work(jobs, stop)
            finally:
                stopping.cancel()

    async def _work(self, jobs: IndexJobs, stop: asyncio.Event) -> None:
        await self._tidy(jobs)
        while not stop.is_set():
            self._wake.clear()
            # Until there is nothing left to do: what changed meanwhile may wake nobody else.
            if await self._carry_out_next_job(jobs, stop) or await self._needs_rebuild(jobs):
                continue
            await _wait(self._wake, self._parameters.search_index_refresh)
            await _wait(stop, SETTLE_S)

    def _woken(self, *_: object) -> None:
        self._wake.set()

    async def _tidy(self, jobs: IndexJobs) -> None:
        """Agree with Redis on which generation is live, and remove what a dead leader left behind."""
        state = await read_live_state(self._client)
        live = state.generation if state else 0
        info = await index_info(self._client, live) if state else None
        recorded = {generation.number: generation.state for generation in await jobs.generations()}
        if info is not None and recorded.get(live) not in (None, "live"):
            await jobs.record_live(live, int(info["num_docs"]))
        await self._remove_stale(jobs, live)

    async def _remove_stale(self, jobs: IndexJobs, live: int) -> None:
        for number in await remove_stale(self._writer, jobs, live):
            log.info("generation removed", generation=number)
        self._kept = await kept_generation(jobs)

    async def _needs_rebuild(self, jobs: IndexJobs) -> bool:
        """Bring the live index level with Postgres; where a refresh cannot, ask for a rebuild."""
        needed = await self._refresh()
        if needed.need is not Need.REBUILD:
            return False
        log.warning("index needs a rebuild", reason=needed.reason)
        await jobs.request(JobKind.REBUILD, f"indexer: {needed.reason}")
        return True

    async def _refresh(self, *, also_kept: bool = True) -> Plan:
        """Refresh the live index, if it can be, and the one that is kept; what the live one needed."""
        state = await read_live_state(self._client)
        exists = state is not None and await index_info(self._client, state.generation) is not None
        async with open_snapshot(self._settings.database_url) as snapshot:
            position = await snapshot.position(state.watermark if state else 0)
            self._measure_held(position)
            needed = plan(state, position, index_exists=exists)
            if state is not None and needed.need is not Need.REBUILD:
                began = time.monotonic()
                refreshed = await refresh(snapshot, position, self._writer, state)
                await self._record(refreshed, time.monotonic() - began)
                if refreshed.written or refreshed.removed:
                    self._told = False
                    log.info("index refreshed", written=refreshed.written, removed=refreshed.removed)
                if also_kept:
                    await self._refresh_kept(snapshot)
        if state is not None and needed.need is not Need.REBUILD and not self._told:
            await self._tell_listeners(state.generation)
        return needed

    async def _record(self, refreshed: Refreshed, seconds: float) -> None:
        metrics.REFRESH_SECONDS.observe(seconds)
        metrics.DOCUMENTS_WRITTEN.inc(refreshed.written)
        metrics.DOCUMENTS_REMOVED.inc(refreshed.removed)
        if refreshed.read or refreshed.removed:
            entry = RefreshEntry(
                datetime.now(UTC), round(seconds, 4), refreshed.read, refreshed.written, refreshed.removed
            )
            await self._writer.record_refresh(entry)

    def _measure_held(self, position: Position) -> None:
        """How long a transaction that still runs has held the watermark where it is."""
        now = time.monotonic()
        watermark, since, warned_at = self._held
        if not position.is_held or position.watermark != watermark:
            since = warned_at = now
        if now - warned_at >= HELD_WARNING_S:
            log.warning("a transaction is open for long", seconds=round(now - since), xid=position.watermark)
            warned_at = now
        self._held = position.watermark, since, warned_at
        metrics.WATERMARK_HELD_SECONDS.set(now - since)

    async def _refresh_kept(self, snapshot: Snapshot) -> None:
        """Keep the generation before level too, so that a rollback to it loses nothing."""
        state = None if self._kept is None else await read_state(self._client, self._kept)
        if state is not None:
            position = await snapshot.position(state.watermark)
            if plan(state, position, index_exists=True).need is not Need.REBUILD:
                await refresh(snapshot, position, self._writer, state)

    async def _tell_listeners(self, generation: int) -> None:
        self._told = await tell_listeners(
            self._settings.database_url, self._client, generation, self._parameters.search_timeout
        )

    async def _carry_out_next_job(self, jobs: IndexJobs, stop: asyncio.Event) -> bool:
        """Carry out the oldest job that waits; False if none does.

        LeaseLost, Unavailable and `stop` leave it running: the next leader takes it up again.
        """
        job = await jobs.take_next()
        if job is None:
            return False
        kind = job.kind
        try:
            # A refresh or repair that cannot be becomes a rebuild.
            if kind in (JobKind.REFRESH, JobKind.REPAIR) and (await self._refresh()).need is not Need.REBUILD:
                checks = await self._repair() if kind is JobKind.REPAIR else {}
                await jobs.finish(job.id, JobState.DONE, checks=checks | await self._count_parked())
                return True
            swapped = await self._swap(jobs, job, stop)
        except JobFailed as failure:
            log.error(f"{kind} failed", job=job.id, error=str(failure))
            await self._tidy(jobs)
            await jobs.finish(job.id, JobState.FAILED, error=str(failure))
            await asyncio.sleep(RETRY_S)
            return True
        if swapped is not None:
            await jobs.finish(job.id, JobState.DONE, generation=swapped.generation, checks=swapped.checks)
        elif not stop.is_set():
            log.info(f"{kind} cancelled", job=job.id)
            await self._tidy(jobs)
            await jobs.finish(job.id, JobState.CANCELLED)
        return True

    async def _count_parked(self) -> dict[str, int]:
        """As one of a job's checks."""
        state = await read_live_state(self._client)
        parked = await read_parked(self._client, state.generation) if state else {}
        return {"parked": len(parked)}

    async def _repair(self) -> dict[str, int]:
        """Mend the live generation, and the kept one; what was mended of the first."""
        state = await read_live_state(self._client)
        mended = [
            await repair(self._settings.database_url, self._client, self._writer, generation)
            for generation in (state.generation if state else None, self._kept)
            if generation is not None
        ]
        if mended and (mended[0]["written"] or mended[0]["removed"]):
            self._told = False
            log.warning("index repaired", **mended[0])
        return mended[0] if mended else {}

    async def _swap(self, jobs: IndexJobs, job: Taken, stop: asyncio.Event) -> Swapped | None:
        """Rebuild or roll back, reporting to the job, while the live index is kept fresh.

        None: it was given up, because the job was cancelled or `stop` is set.
        """
        progress = Progress()
        swapped: Swapped | None = None
        database_url = self._settings.database_url

        async def report_until_cancelled() -> None:
            async with open_connection(database_url) as connection:
                while True:
                    cancelled_by = await IndexJobs(connection).report(
                        job.id, progress.phase, progress.done, progress.total
                    )
                    if cancelled_by is not None and progress.cancel():
                        return
                    await asyncio.sleep(REPORT_S)

        async def work() -> None:
            nonlocal swapped
            arguments = database_url, self._client, self._writer, jobs, progress
            if job.kind is JobKind.ROLLBACK:
                done = await roll_back(*arguments, job)
            else:
                with metrics.REBUILD_SECONDS.time():
                    done = await rebuild(*arguments, search_timeout_ms=self._parameters.search_timeout)
            log.info("generation live", generation=done.generation)
            swapped = done
            progress.enter("pruning")
            await self._remove_stale(jobs, done.generation)
            documents = done.checks.get("documents", 0)
            progress.enter("done", documents, documents)

        async def keep_live_fresh() -> None:
            while True:
                self._wake.clear()
                await _wait(self._wake, self._parameters.search_index_refresh)
                # The kept one goes when the job succeeds; the next refresh brings it level if not.
                await self._refresh(also_kept=False)

        with contextlib.suppress(JobCancelled):
            await until_first(work(), report_until_cancelled(), keep_live_fresh(), _until_set(stop))
        self._told = False  # the next refresh compares with what is live now
        await jobs.report(job.id, progress.phase, progress.done, progress.total)
        return swapped

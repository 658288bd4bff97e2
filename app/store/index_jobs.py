"""Index jobs and generations in Postgres: how a rebuild is asked for, followed and remembered."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import asyncpg
import orjson

from app.search.schema import FINGERPRINT
from app.store.postgres import Connection, postgres_errors
from app.store.statements import Statements

SQL: Final = Statements("index_jobs.sql")
JOBS_CHANNEL: Final = "index_jobs"
CHANGES_CHANNEL: Final = "instruments_changed"


class JobKind(StrEnum):
    REFRESH = "refresh"
    REBUILD = "rebuild"
    ROLLBACK = "rollback"
    REPAIR = "repair"


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Job:
    """Something that was asked of the leading indexer."""

    id: int
    kind: JobKind
    state: JobState
    requested_by: str
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    phase: str | None
    done: int
    """Documents, in this phase; of `total`."""
    total: int | None
    rate: float | None
    """Documents a second, in this phase."""
    eta_s: float | None
    """Seconds until the phase ends, at that rate."""
    cancelled_by: str | None
    """Who asked for it to be cancelled; it may have ended before that was seen."""
    generation: int | None
    """What it made live."""
    checks: dict[str, int] | None
    """What was verified before that, by how many."""
    error: str | None

    @property
    def finished(self) -> bool:
        return self.state not in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class Requested:
    """The job that was asked for, or the one in its way."""

    id: int
    kind: JobKind
    created: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """A job to be carried out."""

    id: int
    kind: JobKind
    generation: int | None
    """What an earlier leader was about to make live for it."""


@dataclass(frozen=True, slots=True)
class Generation:
    number: int
    state: str
    created_at: datetime
    live_at: datetime | None
    documents: int | None


class IndexJobs:
    """Jobs and generations of one schema. Raises PostgresUnavailable from every method."""

    def __init__(self, connection: Connection, fingerprint: str = FINGERPRINT) -> None:
        self._connection = connection
        self._fingerprint = fingerprint

    async def request(self, kind: JobKind, requested_by: str) -> Requested:
        """Ask for a job. A refresh waits for another refresh alone, the others for each other."""
        with postgres_errors():
            record = await self._connection.fetchrow(
                SQL["request"], kind.value, requested_by, self._fingerprint
            )
        if record is None:  # the job in the way ended between two looks
            return await self.request(kind, requested_by)
        return Requested(record["id"], JobKind(record["kind"]), record["created"])

    async def take_next(self) -> Taken | None:
        """The oldest job that waits, or that a dead leader left running; it is running now."""
        with postgres_errors():
            record = await self._connection.fetchrow(SQL["take_next"], self._fingerprint)
        return None if record is None else Taken(record["id"], JobKind(record["kind"]), record["generation"])

    async def aim(self, job_id: int, generation: int) -> None:
        """Say which generation a job is about to make live."""
        with postgres_errors():
            await self._connection.execute(SQL["aim"], job_id, generation)

    async def report(self, job_id: int, phase: str, done: int, total: int | None) -> str | None:
        """Say how far a job is; who has cancelled it, if anybody."""
        with postgres_errors():
            cancelled_by = await self._connection.fetchval(SQL["progress"], job_id, phase, done, total)
        return None if cancelled_by is None else str(cancelled_by)

    async def finish(
        self,
        job_id: int,
        state: JobState,
        *,
        error: str | None = None,
        generation: int | None = None,
        checks: dict[str, int] | None = None,
    ) -> None:
        shown = None if checks is None else orjson.dumps(checks).decode()
        with postgres_errors():
            await self._connection.execute(SQL["finish"], job_id, state.value, error, generation, shown)

    async def cancel(self, job_id: int, by: str) -> bool:
        """Have a job ended that has not ended yet; False if it has, or there is none."""
        with postgres_errors():
            cancelled = await self._connection.fetchval(SQL["cancel"], job_id, by, self._fingerprint)
        return cancelled is not None

    async def read(self, job_id: int) -> Job | None:
        with postgres_errors():
            record = await self._connection.fetchrow(SQL["read"], job_id, self._fingerprint)
        return None if record is None else _job(record)

    async def page(self, *, before: int | None, limit: int) -> list[Job]:
        """The newest jobs with an id below `before`, newest first."""
        with postgres_errors():
            records = await self._connection.fetch(SQL["page"], self._fingerprint, before, limit)
        return [_job(record) for record in records]

    async def add_generation(self, *, above: int) -> int:
        """A number that no generation had before, and greater than `above`."""
        with postgres_errors():
            return int(await self._connection.fetchval(SQL["add_generation"], above, self._fingerprint))

    async def record_live(self, number: int, documents: int) -> None:
        """Remember that a generation went live, and that the one before is kept."""
        with postgres_errors():
            async with self._connection.transaction():
                await self._connection.execute(SQL["retire_live_generation"], self._fingerprint)
                await self._connection.execute(SQL["set_live_generation"], number, documents)

    async def record_state(self, number: int, state: str) -> None:
        with postgres_errors():
            await self._connection.execute(SQL["set_generation_state"], number, state)

    async def record_all_dropped(self) -> None:
        with postgres_errors():
            await self._connection.execute(SQL["drop_generations"], self._fingerprint)

    async def generations(self) -> list[Generation]:
        """Every generation that was not removed, newest first."""
        with postgres_errors():
            records = await self._connection.fetch(SQL["generations"], self._fingerprint)
        return [Generation(**dict(record)) for record in records]


def _job(record: asyncpg.Record) -> Job:
    values = dict(record)
    phase_s, checks = values.pop("phase_s"), values.pop("checks")
    kind, state = JobKind(values.pop("kind")), JobState(values.pop("state"))
    rate = eta_s = None
    if state is JobState.RUNNING and phase_s and values["done"]:
        rate = round(values["done"] / phase_s, 1)
        if values["total"] is not None and rate:
            eta_s = round(max(0, values["total"] - values["done"]) / rate, 1)
    return Job(
        kind=kind,
        state=state,
        rate=rate,
        eta_s=eta_s,
        checks=None if checks is None else orjson.loads(checks),
        **values,
    )

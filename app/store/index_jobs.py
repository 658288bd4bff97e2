"""Index jobs and generations in Postgres: how a rebuild is asked for, followed and remembered."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from app.store.postgres import Connection, postgres_errors
from app.store.statements import Statements

SQL: Final = Statements("index_jobs.sql")
JOBS_CHANNEL: Final = "index_jobs"
CHANGES_CHANNEL: Final = "instruments_changed"


class JobKind(StrEnum):
    REFRESH = "refresh"
    REBUILD = "rebuild"


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Job:
    id: int
    kind: JobKind
    state: JobState
    requested_by: str
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    phase: str | None
    done: int
    total: int | None
    error: str | None

    @property
    def finished(self) -> bool:
        return self.state in (JobState.DONE, JobState.FAILED)


@dataclass(frozen=True, slots=True)
class Generation:
    number: int
    state: str
    created_at: datetime
    live_at: datetime | None
    documents: int | None


class IndexJobs:
    """Raises PostgresUnavailable from every method."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def request(self, kind: JobKind, requested_by: str) -> tuple[int, bool]:
        """The id of a new job, or of the one that is already waiting or running; and whether it is new."""
        with postgres_errors():
            record = await self._connection.fetchrow(SQL["request"], kind.value, requested_by)
        if record is None:  # the job in the way ended between two looks
            return await self.request(kind, requested_by)
        return record["id"], record["created"]

    async def take_next(self) -> tuple[int, JobKind] | None:
        """The oldest job that waits, or that a dead leader left running; it is running now."""
        with postgres_errors():
            record = await self._connection.fetchrow(SQL["take_next"])
        return None if record is None else (record["id"], JobKind(record["kind"]))

    async def report(self, job_id: int, phase: str, done: int, total: int | None) -> None:
        with postgres_errors():
            await self._connection.execute(SQL["progress"], job_id, phase, done, total)

    async def finish(self, job_id: int, error: str | None) -> None:
        state = JobState.DONE if error is None else JobState.FAILED
        with postgres_errors():
            await self._connection.execute(SQL["finish"], job_id, state.value, error)

    async def read(self, job_id: int) -> Job | None:
        with postgres_errors():
            record = await self._connection.fetchrow(SQL["read"], job_id)
        if record is None:
            return None
        values = dict(record)
        return Job(kind=JobKind(values.pop("kind")), state=JobState(values.pop("state")), **values)

    async def add_generation(self, *, above: int) -> int:
        """A number that no generation had before, and greater than `above`."""
        with postgres_errors():
            return int(await self._connection.fetchval(SQL["add_generation"], above))

    async def record_live(self, number: int, documents: int) -> None:
        """Remember that a generation went live, and that the one before is kept."""
        with postgres_errors():
            async with self._connection.transaction():
                await self._connection.execute(SQL["retire_live_generation"])
                await self._connection.execute(SQL["set_live_generation"], number, documents)

    async def record_state(self, number: int, state: str) -> None:
        with postgres_errors():
            await self._connection.execute(SQL["set_generation_state"], number, state)

    async def generations(self) -> list[Generation]:
        """Every generation that was not removed, newest first."""
        with postgres_errors():
            return [Generation(**dict(record)) for record in await self._connection.fetch(SQL["generations"])]

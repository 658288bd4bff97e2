"""Instruments in Postgres: single reads and history for the API, snapshots and changes for the indexer."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from app.search.document import Row, instrument_json
from app.store.postgres import (
    LONG_STATEMENT_TIMEOUT_S,
    Connection,
    Postgres,
    open_connection,
    postgres_errors,
)
from app.store.statements import Statements

SQL: Final = Statements("instruments.sql")


@dataclass(frozen=True, slots=True)
class StoredInstrument:
    json: bytes
    version: int


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change: what each changed field was and became; `changes` is empty for a deletion."""

    version: int
    operation: str
    changed_at: datetime
    actor: str | None
    request_id: str | None
    changes: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a snapshot of Postgres stands."""

    watermark: int
    """The oldest transaction still running: everything below it is decided, and visible if committed."""
    cluster: str
    """System identifier and timeline: a restored or failed-over server has another one."""
    changed: bool
    """Whether anything changed at or after the watermark that was asked about."""
    is_held: bool
    """Whether a transaction that still runs keeps the watermark where it is."""
    snapshot: str
    """Which transactions it sees, as Postgres writes a `pg_snapshot`."""
    taken_at: float
    """The monotonic clock just before the snapshot was taken."""

    @property
    def age_s(self) -> float:
        return time.monotonic() - self.taken_at


async def read_instrument(connection: Connection, number: int) -> StoredInstrument | None:
    """One instrument as Postgres has it now."""
    row = await connection.fetchrow(SQL["one"], number)
    return None if row is None else StoredInstrument(instrument_json(row), row["version"])


async def read_members(
    postgres: Postgres, profile_id: UUID, *, after: int, skip: int, limit: int
) -> list[tuple[int, bytes]]:
    """Listed members beyond the position `after`, without the first `skip`: position and JSON of each."""
    async with postgres.connection() as connection:
        rows = await connection.fetch(SQL["members"], profile_id, after, skip, limit)
    return [(row["position"], instrument_json(row)) for row in rows]


async def read_history(
    postgres: Postgres, number: int, *, limit: int, before: int | None
) -> list[HistoryEntry]:
    """The newest `limit` changes with a version below `before`, newest first. Raises PostgresUnavailable."""
    async with postgres.connection() as connection:
        records = await connection.fetch(SQL["history"], number, before, limit)
    return [_history_entry(record) for record in records[:limit]]


def _history_entry(record: asyncpg.Record) -> HistoryEntry:
    return HistoryEntry(
        record["version"],
        record["operation"],
        record["changed_at"],
        record["actor"],
        record["request_id"],
        changed_fields(record["previous"], record["document"]),
    )


def changed_fields(before: str | None, after: str | None) -> dict[str, dict[str, Any]]:
    """What each field that differs between two documents of the history was and became, by name.

    Nothing where there is no document after: the instrument was deleted.
    """
    old: dict[str, Any] = orjson.loads(before) if before else {}
    new: dict[str, Any] = orjson.loads(after) if after else {}
    return {
        "primary" if name == "is_primary" else name: {"from": old.get(name), "to": new.get(name)}
        for name in (sorted(old.keys() | new.keys()) if new else ())
        if old.get(name) != new.get(name)
    }


class Snapshot:
    """One consistent view of all instruments, for a refresh or a rebuild."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._opened_at = time.monotonic()

    async def position(self, since: int) -> Position:
        record = await self.connection.fetchrow(SQL["position"], since)
        assert record is not None  # noqa: S101 - a query without a table yields a row
        return Position(**dict(record), taken_at=self._opened_at)

    async def count(self) -> int:
        """How many instruments there are."""
        return int(await self.connection.fetchval(SQL["count_everything"]))

    async def some(self, numbers: Sequence[int]) -> Sequence[Row]:
        """Those of the instruments that there are."""
        return await self.connection.fetch(SQL["some"], numbers)

    async def sample(self, size: int, *, seed: int) -> list[int]:
        """The numbers of some instruments, others with another seed."""
        return [record["id"] for record in await self.connection.fetch(SQL["sample"], seed, size)]

    async def rows(self, since: int | None, batch: int) -> AsyncIterator[Sequence[Row]]:
        """Everything, or what changed at or after the watermark `since`, in batches."""
        query = (SQL["everything"],) if since is None else (SQL["changed_since"], since)
        cursor = await self.connection.cursor(*query)
        while rows := await cursor.fetch(batch):
            yield rows

    async def removed(self, since: int) -> list[int]:
        """The numbers of the instruments deleted at or after the watermark."""
        return [
            record["instrument_id"] for record in await self.connection.fetch(SQL["removed_since"], since)
        ]

    async def versions(self, batch: int) -> AsyncIterator[Sequence[tuple[int, int]]]:
        """(number, version) of every instrument, in batches."""
        cursor = await self.connection.cursor(SQL["versions"])
        while records := await cursor.fetch(batch):
            yield [(record["id"], record["version"]) for record in records]

    async def versions_of(self, numbers: Sequence[int]) -> dict[int, int]:
        records = await self.connection.fetch(SQL["versions_of"], numbers)
        return {record["id"]: record["version"] for record in records}


@asynccontextmanager
async def open_snapshot(url: str) -> AsyncIterator[Snapshot]:
    """A snapshot on a connection of its own. Raises PostgresUnavailable, also from inside."""
    async with open_connection(url, statement_timeout_s=LONG_STATEMENT_TIMEOUT_S) as connection:
        with postgres_errors():
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield Snapshot(connection)

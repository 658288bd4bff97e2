"""When copies of profiles in Redis may be read: only while every writer can mark the ones that it changes.

A copy is right as long as each write marks it before its commit. A writer that cannot reach Redis would
leave an old copy behind, and so would a Redis that lost what it was told. So copies belong to an epoch,
which one row in Postgres describes, and an epoch is suspended for good before the first write without a
mark:

- A process reads copies only if it saw less than `TRUST_S` ago, in Postgres, that their epoch is not
  suspended, and if the run of Redis and the Postgres cluster are those that the epoch began with.
- A writer that cannot mark suspends the epoch, waits until nobody trusts it any more, and writes unmarked.
- Some process resumes when Redis has answered for `RESUME_AFTER_S`. It waits until the writers that saw
  the suspension have committed, and begins another epoch, which has no copies yet.

Moments are on each process's own monotonic clock; no clocks are compared.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import asyncpg
import structlog

from app import metrics
from app.domain.errors import PostgresUnavailable
from app.store.copy_server import CopyServer
from app.store.postgres import Connection, open_connection, postgres_errors
from app.store.statements import Statements

SQL: Final = Statements("profile_copies.sql")
POLL_S: Final = 0.5
POLL_TIMEOUT_S: Final = 2.0
TRUST_S: Final = 2.0
SETTLE_S: Final = TRUST_S + 0.1
RESUME_AFTER_S: Final = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Epoch:
    number: int
    redis_run_id: str
    """Empty before the first."""
    suspended: bool
    foreign: bool
    """Whether its copies are of another Postgres cluster."""


class CopyEpochs:
    def __init__(self, database_url: str, server: CopyServer) -> None:
        self._database_url = database_url
        self._server = server
        self._known: Epoch | None = None
        self._asked_at = 0.0
        self._suspended: tuple[int, float] = (-1, 0.0)
        """The epoch last seen suspended, and when this process first saw it so."""
        self.postgres_is_away = False

    @property
    def readable(self) -> Epoch | None:
        """The epoch whose copies may be read at this moment."""
        return self.last_readable if time.monotonic() - self._asked_at < TRUST_S else None

    @property
    def are_copies_read(self) -> bool:
        """Whether profiles are read from Redis at this moment, rather than from Postgres."""
        return self.readable is not None and self._server.is_connected

    @property
    def last_readable(self) -> Epoch | None:
        """The epoch whose copies could be read when Postgres was last asked."""
        known = self._known
        return None if known is None or known.suspended or known.foreign else known

    async def follow(self) -> None:
        """Keep the state fresh, suspend and resume, for ever. To be run as a task."""
        while True:
            try:
                async with open_connection(
                    self._database_url, statement_timeout_s=POLL_TIMEOUT_S
                ) as connection:
                    while True:
                        with postgres_errors():
                            await self._poll(connection)
                        await asyncio.sleep(POLL_S)
            except PostgresUnavailable as error:
                if not self.postgres_is_away:
                    log.warning("state of profile copies cannot be read", reason=str(error))
                self.postgres_is_away = True
            await asyncio.sleep(POLL_S)

    async def join(self, connection: Connection) -> Epoch:
        """For a writer: the epoch, which is not resumed before the transaction ends."""
        epoch = _epoch(await connection.fetchrow(SQL["join"]))
        self._notice(epoch)
        return epoch

    def is_distrusted(self, epoch: Epoch) -> bool:
        """Whether no process reads copies of this epoch any more."""
        number, seen_at = self._suspended
        return epoch.suspended and number == epoch.number and time.monotonic() - seen_at >= SETTLE_S

    async def distrust(self, connection: Connection) -> None:
        """Suspend the epoch and wait until no process reads its copies any more."""
        number = await connection.fetchval(SQL["suspend"])
        if self._suspended[0] != number:
            self._suspended = number, time.monotonic()
        await asyncio.sleep(self._suspended[1] + SETTLE_S - time.monotonic())

    async def _poll(self, connection: Connection) -> None:
        run_id = await self._server.probe()
        asked_at = time.monotonic()
        epoch = _epoch(await connection.fetchrow(SQL["state"]))
        self._known, self._asked_at, self.postgres_is_away = epoch, asked_at, False
        self._notice(epoch)
        metrics.PROFILE_COPIES_READABLE.set(self.are_copies_read)
        if run_id is None:
            return
        if epoch.suspended:
            suspended_s = time.monotonic() - self._suspended[1]
            if epoch.number == 0 or suspended_s >= RESUME_AFTER_S:
                await _resume(connection, epoch, run_id)
        elif epoch.foreign or run_id != epoch.redis_run_id:
            log.warning("copies of profiles are of another server", epoch=epoch.number)
            await connection.execute(SQL["suspend"])

    def _notice(self, epoch: Epoch) -> None:
        if epoch.suspended and self._suspended[0] != epoch.number:
            self._suspended = epoch.number, time.monotonic()


async def _resume(connection: Connection, epoch: Epoch, run_id: str) -> None:
    try:
        async with connection.transaction():
            await connection.execute(SQL["limit_lock_wait"])
            await connection.execute(SQL["lock_for_resumption"])
            number = await connection.fetchval(SQL["resume"], epoch.number, run_id)
    except asyncpg.LockNotAvailableError:
        return  # a writer takes long; there is another time
    if number is not None:
        log.info("copies of profiles are used again", epoch=number)


def _epoch(record: asyncpg.Record | None) -> Epoch:
    assert record is not None  # noqa: S101 - the table has its one row always
    return Epoch(record["epoch"], record["redis_run_id"] or "", record["suspended"], record["foreign"])

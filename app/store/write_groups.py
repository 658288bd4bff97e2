"""Transactions of profile writes: writes that come at the same time share one.

A transaction costs its begin and commit, the copies' epoch, a connection, and a round trip for each
statement, whether it holds one write or ten. So at most `TRANSACTIONS` groups are written at a time; what
comes meanwhile waits for one of them to end, and is the next group. Nobody is refused for another: where a
group fails before its commit, it is rolled back, and each of its writes has a transaction of its own.
"""

import asyncio
import contextlib
from collections.abc import Callable, Hashable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

import asyncpg
import structlog

from app import metrics
from app.domain.errors import PostgresUnavailable, RedisUnavailable, RegistryError
from app.store import copy_epochs
from app.store.copy_epochs import Epoch
from app.store.postgres import Connection, Postgres, postgres_errors
from app.store.profile_copies import Mark, MarkFailed, ProfileCopies, Written
from app.store.statements import Statements
from app.store.steps import Steps, carry_out

SQL: Final = Statements("write_groups.sql")
TRANSACTIONS: Final = 3
"""Enough for this process to work while Postgres does (two were a little slower, four no quicker), few enough
to leave connections to readers, and that groups form."""
GROUP_SIZE: Final = 16
MAX_ATTEMPTS: Final = 3
MOST_WAIT_S: Final = 5.0
"""How long a write waits to be one of a group, where groups take as long: Postgres hangs then."""

_NOT_COMMITTED: Final = (asyncpg.SerializationError, asyncpg.LockNotAvailableError)
"""What a commit is refused with before it begins: the copies' epoch is another, or about to be."""
_COMMITTED: Final = metrics.PROFILE_WRITE_GROUPS.labels("committed")
_FAILED: Final = metrics.PROFILE_WRITE_GROUPS.labels("failed")

log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Write(Generic[T]):
    """A write, which may be begun more than once: the last time counts."""

    begin: Callable[[], Steps[tuple[T, Written | None]]]
    """Its steps; what it returns, and what it changed, if anything."""
    subject: Hashable
    """What it writes: a profile, or the profiles of an owner. Groups never wait for each other's."""
    is_large: bool = False
    """So large that others should not wait for it."""


@dataclass(frozen=True, slots=True)
class _Carried:
    """A write that was carried out, its transaction committed or about to be."""

    result: Any
    written: Written | None
    mark: Mark | None


_Outcome: TypeAlias = _Carried | RegistryError | None
"""What became of a write, or its refusal; None: its group failed, and nothing was done."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    write: Write[Any]
    outcome: "asyncio.Future[_Outcome]"


class WriteGroups:
    """The writes of one process."""

    def __init__(self, postgres: Postgres, copies: ProfileCopies) -> None:
        self._postgres = postgres
        self._copies = copies
        self._waiting: list[_Waiting] = []
        self._being_written: set[Hashable] = set()
        """Subjects of the groups that are written now."""
        self._running = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def do(self, write: Write[T]) -> T:
        """Carry the write out in a transaction, the copy of what it changed marked before the commit.

        Raises what the write raises, PostgresUnavailable and RedisUnavailable.
        """
        outcome = None if write.is_large else await self._do_with_others(write)
        if outcome is None:
            outcome = await self._do_alone(write)
        if isinstance(outcome, RegistryError):
            raise outcome
        if outcome.mark is not None and outcome.written is not None:
            self._copies.settle(outcome.mark, outcome.written)
        result: T = outcome.result
        return result

    async def _do_with_others(self, write: Write[Any]) -> _Outcome:
        loop = asyncio.get_running_loop()
        waiting = _Waiting(write, loop.create_future())
        self._waiting.append(waiting)
        if self._running < TRANSACTIONS:
            self._running += 1
            # In a context of its own: what is logged there is not of the request that happened to begin it.
            task = loop.create_task(self._write_groups(), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        patience = loop.call_later(MOST_WAIT_S, self._give_up, waiting)
        try:
            return await waiting.outcome
        finally:
            patience.cancel()

    def _give_up(self, waiting: _Waiting) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)
            waiting.outcome.set_exception(
                PostgresUnavailable("Postgres does not keep up with writes; try again in a moment")
            )

    async def _do_alone(self, write: Write[Any]) -> _Carried | RegistryError:
        failure: RegistryError = RedisUnavailable(
            "Redis comes and goes; nothing was changed, try again in a moment"
        )
        for _ in range(MAX_ATTEMPTS):
            try:
                async with self._postgres.connection() as connection, connection.transaction():
                    await connection.execute(SQL["plan_by_index"])
                    (outcome,), _ = await self._carry_out(connection, [write], None)
                return outcome
            except MarkFailed:
                await self._copies.distrust(self._postgres)
            except PostgresUnavailable as error:
                # Writers who rename in a circle wait for each other; one of them has to begin anew.
                if not isinstance(error.__cause__, asyncpg.DeadlockDetectedError):
                    raise
                failure = error
        raise failure

    async def _write_groups(self) -> None:
        """Write groups until nobody waits."""
        try:
            while group := self._take_group():
                subjects = {waiting.write.subject for waiting in group}
                self._being_written |= subjects
                try:
                    await self._finish(group)
                finally:
                    self._being_written -= subjects
        finally:
            self._running -= 1

    def _take_group(self) -> list[_Waiting]:
        """Those who have waited longest, one for each subject; nobody who gave up."""
        group: list[_Waiting] = []
        left: list[_Waiting] = []
        taken = set(self._being_written)
        for waiting in self._waiting:
            if waiting.outcome.done():
                continue
            if len(group) == GROUP_SIZE or waiting.write.subject in taken:
                left.append(waiting)
            else:
                group.append(waiting)
                taken.add(waiting.write.subject)
        self._waiting = left
        return group

    async def _finish(self, group: list[_Waiting]) -> None:
        try:
            outcomes = await self._write_group([waiting.write for waiting in group])
        except BaseException as error:
            for waiting in group:
                if not waiting.outcome.done():
                    waiting.outcome.set_exception(error)
            if not isinstance(error, Exception):
                raise
        else:
            for waiting, outcome in zip(group, outcomes, strict=True):
                if not waiting.outcome.done():
                    waiting.outcome.set_result(outcome)

    async def _write_group(self, writes: list[Write[Any]]) -> list[_Outcome]:
        """What became of each. Raises what keeps all of them from being written."""
        async with self._postgres.connection() as connection:
            await connection.execute(SQL["begin"])
            try:
                outcomes, epoch = await self._carry_out(connection, writes, self._copies.epoch)
            except Exception as error:
                await _roll_back(connection)
                if len(writes) == 1 and isinstance(error, RegistryError):
                    raise
                return _failed(writes, error)
            try:
                await connection.execute(_commit(epoch))
            except _NOT_COMMITTED as error:
                await _roll_back(connection)
                return _failed(writes, error)
            _COMMITTED.observe(len(writes))
            return [*outcomes]

    async def _carry_out(
        self, connection: Connection, writes: list[Write[Any]], epoch: Epoch | None
    ) -> tuple[list[_Carried | RegistryError], Epoch | None]:
        """What became of each, and the epoch whose copies are marked, if anything changed.

        `epoch` is required to be the copies' when the transaction commits; None: that is asked for.
        """
        outcomes = await carry_out(connection, [write.begin() for write in writes])
        changes = [None if isinstance(outcome, RegistryError) else outcome[1] for outcome in outcomes]
        marks: list[Mark | None] = [None] * len(writes)
        if any(changes):
            epoch = epoch or await self._copies.join(connection)
            marks = await self._copies.mark(epoch, changes)
        else:
            epoch = None
        return [
            outcome if isinstance(outcome, RegistryError) else _Carried(*outcome, mark)
            for outcome, mark in zip(outcomes, marks, strict=True)
        ], epoch


async def _roll_back(connection: Connection) -> None:
    with contextlib.suppress(PostgresUnavailable), postgres_errors():
        await connection.execute(SQL["roll_back"])


def _failed(writes: Sequence[Write[Any]], error: Exception) -> list[_Outcome]:
    log.info("a group of writes was rolled back", writes=len(writes), reason=type(error).__name__)
    _FAILED.observe(len(writes))
    return [None] * len(writes)


def _commit(epoch: Epoch | None) -> str:
    """With what it requires: both in one round trip, so without arguments."""
    if epoch is None:
        return SQL["commit"]
    return f"{copy_epochs.SQL['require'].replace('$1', str(epoch.number))} {SQL['commit']}"

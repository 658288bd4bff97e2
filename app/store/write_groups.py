"""Transactions of profile writes: writes that come at the same time share one.

A transaction costs its begin and commit, the copies' epoch, a connection, and a round trip for each
statement, whether it holds one write or ten. So at most `TRANSACTIONS` groups are written at a time; what
comes meanwhile waits for one of them to end, and is the next group. Nobody fails for another: where a group
fails before its commit, it is rolled back, and each of its writes has a transaction of its own.
"""

import asyncio
from collections.abc import Callable, Hashable
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import structlog

from app import metrics
from app.domain.errors import RedisUnavailable, RegistryError
from app.store.postgres import Connection, Postgres
from app.store.profile_copies import Mark, MarkFailed, ProfileCopies, Written
from app.store.statements import Statements
from app.store.steps import Steps, carry_out

SQL: Final = Statements("write_groups.sql")
TRANSACTIONS: Final = 3
GROUP_SIZE: Final = 16
MAX_ATTEMPTS: Final = 3

_DONE: Final = metrics.PROFILE_WRITE_GROUPS.labels("done")
_FAILED: Final = metrics.PROFILE_WRITE_GROUPS.labels("failed")

log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Write(Generic[T]):
    """A write, which may be begun more than once: the last time counts."""

    begin: Callable[[], Steps[tuple[T, Written | None]]]
    """Its steps; what it returns, and what it changed, if anything."""
    subject: Hashable
    """What it writes: a profile, or the profiles of an owner. No other write of its group has the same."""
    is_large: bool = False
    """So large that others should not wait for it."""


@dataclass(frozen=True, slots=True)
class _Done:
    """A write of a transaction that is committed; `result` may be the refusal of it."""

    result: Any
    written: Written | None
    mark: Mark | None


@dataclass(frozen=True, slots=True)
class _Waiting:
    write: Write[Any]
    done: "asyncio.Future[_Done | None]"
    """None: the group failed, nothing is done."""


class WriteGroups:
    def __init__(self, postgres: Postgres, copies: ProfileCopies) -> None:
        self._postgres = postgres
        self._copies = copies
        self._waiting: list[_Waiting] = []
        self._running = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def do(self, write: Write[T]) -> T:
        """Carry the write out in a transaction, the copy of what it changed marked before the commit.

        Raises what the write raises, PostgresUnavailable and RedisUnavailable.
        """
        done = None if write.is_large else await self._do_with_others(write)
        if done is None:
            done = await self._do_alone(write)
        if done.written is not None:
            await self._copies.settle(done.mark, done.written)
        if isinstance(done.result, RegistryError):
            raise done.result
        result: T = done.result
        return result

    async def _do_with_others(self, write: Write[Any]) -> _Done | None:
        loop = asyncio.get_running_loop()
        waiting = _Waiting(write, loop.create_future())
        self._waiting.append(waiting)
        if self._running < TRANSACTIONS:
            self._running += 1
            task = loop.create_task(self._write_groups(), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await waiting.done

    async def _do_alone(self, write: Write[Any]) -> _Done:
        for _ in range(MAX_ATTEMPTS):
            try:
                async with self._postgres.connection() as connection, connection.transaction():
                    await connection.execute(SQL["plan_by_index"])
                    (done,) = await self._carry_out(connection, [write])
            except MarkFailed:
                await self._copies.distrust(self._postgres)
                continue
            return done
        raise RedisUnavailable("Redis comes and goes; nothing was changed, try again in a moment")

    async def _write_groups(self) -> None:
        """Write groups until nobody waits."""
        while group := self._take_group():
            try:
                outcomes = await self._write_group([waiting.write for waiting in group])
            except Exception as error:
                for waiting in group:
                    if not waiting.done.done():
                        waiting.done.set_exception(error)
            else:
                for waiting, outcome in zip(group, outcomes, strict=True):
                    if not waiting.done.done():
                        waiting.done.set_result(outcome)
        self._running -= 1

    def _take_group(self) -> list[_Waiting]:
        """Those who have waited longest, one for each subject; nobody who gave up."""
        group: list[_Waiting] = []
        left: list[_Waiting] = []
        taken: set[Hashable] = set()
        for waiting in self._waiting:
            if waiting.done.done():
                continue
            if len(group) == GROUP_SIZE or waiting.write.subject in taken:
                left.append(waiting)
            else:
                group.append(waiting)
                taken.add(waiting.write.subject)
        self._waiting = left
        return group

    async def _write_group(self, writes: list[Write[Any]]) -> "list[_Done] | list[None]":
        """What became of each; None of all if the group failed before its commit."""
        async with self._postgres.connection() as connection:
            await connection.execute(SQL["begin"])
            try:
                done = await self._carry_out(connection, writes)
            except Exception as error:
                await connection.execute(SQL["roll_back"])
                log.info("a group of writes was rolled back", writes=len(writes), reason=str(error))
                _FAILED.observe(len(writes))
                return [None] * len(writes)
            await connection.execute(SQL["commit"])
            _DONE.observe(len(writes))
            return done

    async def _carry_out(self, connection: Connection, writes: list[Write[Any]]) -> list[_Done]:
        outcomes = await carry_out(connection, [write.begin() for write in writes])
        pairs = [(it, None) if isinstance(it, RegistryError) else it for it in outcomes]
        marks = await self._copies.mark(connection, [written for _, written in pairs])
        return [_Done(result, written, mark) for (result, written), mark in zip(pairs, marks, strict=True)]

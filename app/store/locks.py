"""Locks of the whole database, by fixed numbers; each is held until the transaction ends."""

from enum import IntEnum, unique
from typing import Final

from app.store.postgres import Connection
from app.store.statements import Statements

SQL: Final = Statements("locks.sql")


@unique
class Lock(IntEnum):
    """Any numbers do that differ."""

    MIGRATION = 7_236_451_908_113
    """Two simultaneous migrations meet at it."""
    IMPORTS = 7_236_451_908_114
    """One import or bulk write at a time: each merges into what it has read."""
    PRIMARIES = 7_236_451_908_115
    """Who makes a listing the primary one sees those that others made so. Its holder goes on to the other
    listings of the issue, so nobody who holds a row waits for it."""
    SEARCH_PINS = 7_236_451_908_116
    """One write at a time, so that events become visible in the order of their ids."""


async def take(connection: Connection, lock: Lock) -> None:
    """Waits for who holds it, `lock_timeout` at most."""
    await connection.execute(SQL["take"], lock)


async def try_take(connection: Connection, lock: Lock) -> bool:
    """False while somebody else holds it."""
    return bool(await connection.fetchval(SQL["try_take"], lock))

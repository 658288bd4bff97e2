"""Transactions of those who write instruments, aliases and pins: in whose name, and how long they wait."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from app.store import write_groups
from app.store.postgres import Connection
from app.store.statements import Statements

SQL: Final = Statements("writing.sql")
LOCK_TIMEOUT: Final = "5s"
"""How long a write waits for one that holds what it needs: a row, a symbol, a lock; then it gets 503."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes, as the history tells it; without a request, the id is empty."""

    actor: str
    request_id: str = ""


@asynccontextmanager
async def writing(connection: Connection, writer: Writer) -> AsyncIterator[None]:
    """A transaction in the writer's name that waits for nobody for long."""
    async with connection.transaction():
        await connection.execute(write_groups.SQL["plan_by_index"])
        await connection.execute(SQL["wait_at_most"], LOCK_TIMEOUT)
        await sign(connection, writer)
        yield


async def sign(connection: Connection, writer: Writer) -> None:
    """Write the rest of this transaction in the writer's name."""
    await connection.execute(SQL["sign"], writer.actor, writer.request_id)

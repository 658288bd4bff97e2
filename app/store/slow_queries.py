"""Tells which searches and statements took long: one line each, with how they are carried out.

A line shows the shape of what was asked, never its values: people paste keys into search boxes. Lines are
bounded in number, for everything is slow when a server is; the metric counts all.
"""

import asyncio
import contextvars
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import asyncpg
import structlog

from app import metrics
from app.domain.errors import RegistryError
from app.domain.query import Search
from app.store.postgres import open_connection, postgres_errors
from app.store.statements import name_of

LINES_AT_ONCE: Final = 10
LINES_PER_S: Final = 1.0
"""After so many at once."""
PLAN_WITHIN_S: Final = 2.0
"""After that a line goes without its plan, and is tried again with the next one."""
PLANS_KEPT: Final = 200

_PARAMETER: Final = re.compile(r"\$(\d+)")
_PLANNED: Final = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|MERGE|WITH|VALUES)\b", re.IGNORECASE)

log = structlog.get_logger(__name__)


class SlowQueries:
    """`threshold_ms` 0: none is slow. `database_url`: where plans of statements are asked for."""

    def __init__(self, threshold_ms: int, database_url: str) -> None:
        self.threshold_s = threshold_ms / 1000 if threshold_ms else float("inf")
        self._database_url = database_url
        self._lines = float(LINES_AT_ONCE)
        """How many may be written now."""
        self._counted_at = time.monotonic()
        self._left_out = 0
        self._unwritten: asyncio.Queue[tuple[contextvars.Context, dict[str, Any]]] = asyncio.Queue()
        """Lines of statements, each with the context of its request."""
        self._plans: dict[str, str] = {}

    def took(self, plan: str, asked: Search | int, elapsed_s: float) -> None:
        """A search, or a batch of so many identifiers, took this long."""
        if elapsed_s < self.threshold_s:
            return
        metrics.SLOW_QUERIES.labels("search").inc()
        if (more := self._next_line()) is not None:
            shape = {"identifiers": asked} if isinstance(asked, int) else shape_of(asked)
            log.warning("slow search", plan=plan, shape=shape, duration_ms=_ms(elapsed_s), **more)

    def on_statement(self, record: asyncpg.connection.LoggedQuery) -> None:
        """A query logger of asyncpg; the line follows when the plan is known."""
        if record.elapsed < self.threshold_s:
            return
        metrics.SLOW_QUERIES.labels("statement").inc()
        if (more := self._next_line()) is not None:
            line = {
                "statement": record.query,
                "shape": [_size(argument) for argument in record.args or ()],
                "failed": type(record.exception).__name__ if record.exception else None,
                "duration_ms": _ms(record.elapsed),
                **more,
            }
            self._unwritten.put_nowait((contextvars.copy_context(), line))

    async def follow(self) -> None:
        """Write the lines of statements, for ever. To be run as a task."""
        while True:
            context, line = await self._unwritten.get()
            try:
                line["plan"] = await self._plan(line["statement"])
            finally:
                context.run(_write, line)

    async def write_rest(self) -> None:
        """What is left at the end, without plans."""
        while not self._unwritten.empty():
            context, line = self._unwritten.get_nowait()
            context.run(_write, line)

    def _next_line(self) -> Mapping[str, Any] | None:
        """What the next line says of those that were left out before it; None: it is left out itself."""
        now = time.monotonic()
        self._lines = min(LINES_AT_ONCE, self._lines + (now - self._counted_at) * LINES_PER_S)
        self._counted_at = now
        if self._lines < 1:
            self._left_out += 1
            return None
        self._lines -= 1
        left_out, self._left_out = self._left_out, 0
        return {"left_out": left_out} if left_out else {}

    async def _plan(self, statement: str) -> str | None:
        """As Postgres would carry it out whatever its values; None where it does not say."""
        if statement not in self._plans and _PLANNED.match(statement):
            with suppress(RegistryError, asyncpg.PostgresError, TimeoutError):
                async with asyncio.timeout(PLAN_WITHIN_S):
                    plan = await _generic_plan(self._database_url, statement)
                if len(self._plans) >= PLANS_KEPT:
                    self._plans.clear()
                self._plans[statement] = plan
        return self._plans.get(statement)


NOTHING_IS_SLOW: Final = SlowQueries(0, "")


def shape_of(search: Search) -> dict[str, Any]:
    """What a search asks for, without its text and values."""
    return {
        "characters": len(search.text),
        "words": len(search.text.split()),
        "filters": {name: len(values) for name, values in search.filters.items()},
        "sort": search.sort.value,
        "limit": search.limit,
        "offset": search.offset,
        "cursor": search.cursor is not None,
        "facets": list(search.facets),
    }


def _size(argument: object) -> str:
    """The type of an argument, and how much it holds."""
    kind = type(argument).__name__
    return f"{kind} of {len(argument)}" if isinstance(argument, list | tuple | str | bytes) else kind


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


def _write(line: dict[str, Any]) -> None:
    statement = line.pop("statement")
    name = name_of(statement)
    log.warning("slow statement", statement=name or " ".join(statement.split())[:200], **line)


async def _generic_plan(database_url: str, statement: str) -> str:
    """What EXPLAIN says of the plan that serves any values. It is not carried out.

    Raises RegistryError, and PostgresError for what cannot be prepared.
    """
    count = max(map(int, _PARAMETER.findall(statement)), default=0)
    arguments = f"({', '.join(['NULL'] * count)})" if count else ""
    async with open_connection(database_url, statement_timeout_s=PLAN_WITHIN_S) as connection:
        with postgres_errors():
            await connection.execute("SET plan_cache_mode = force_generic_plan")
            await connection.execute(f"PREPARE slow AS {statement}")
            rows = await connection.fetch(f"EXPLAIN EXECUTE slow{arguments}")
    return "\n".join(str(row[0]) for row in rows)

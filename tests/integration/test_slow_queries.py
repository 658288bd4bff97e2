"""What takes long is told once, with how it is carried out, in few lines, and without what was asked."""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import structlog

from app import metrics
from app.domain.query import Search, Sort
from app.logs import add_request_id
from app.store.postgres import Connection, Postgres
from app.store.slow_queries import LINES_AT_ONCE, SlowQueries
from app.store.statements import Statements
from app.tasks import end_tasks
from tests.integration.conftest import Import, WaitLevel, eventually, is_lock_awaited, running_api

SECRET = "ir_" + "s3cr3t" * 7


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs(processors=[add_request_id]) as captured:
        yield captured


async def held_up(slow: SlowQueries, database_url: str, statement: str, *arguments: object) -> None:
    postgres = Postgres(database_url, 1, query_loggers=(slow.on_statement,))
    await postgres.open()
    try:
        async with postgres.connection() as connection:
            await connection.fetch(statement, *arguments)
    finally:
        await postgres.close()


async def line_of(slow: SlowQueries, lines: list[Any], statement: str) -> Any:
    """The one line of a statement; others may be the driver's own."""
    following = asyncio.create_task(slow.follow())

    def found() -> list[Any]:
        return [line for line in lines if line["statement"] == statement]

    async def is_there() -> bool:
        return bool(found())

    await eventually(is_there)
    await end_tasks(following)
    (line,) = found()
    return line


async def test_a_slow_statement_is_told_with_its_plan_and_without_its_values(
    database_url: str, lines: list[Any]
) -> None:
    slow = SlowQueries(20, database_url)
    statement = (
        "SELECT pg_sleep(0.05), "
        "(SELECT count(*) FROM instruments WHERE symbol = $1 AND id = ANY ($2::bigint[]))"
    )
    await held_up(slow, database_url, statement, SECRET, [1, 2, 3])
    line = await line_of(slow, lines, statement)
    assert (line["event"], line["log_level"], line["failed"]) == ("slow statement", "warning", None)
    assert line["duration_ms"] >= 50
    assert line["shape"] == [f"str of {len(SECRET)}", "list of 3"]
    assert "Scan" in line["plan"] and "symbol = $1" in line["plan"]
    assert SECRET not in str(line)


async def test_a_statement_is_told_by_its_name(database_url: str, lines: list[Any]) -> None:
    slow = SlowQueries(1, database_url)
    slow.threshold_s = 0  # whatever it takes
    await held_up(slow, database_url, Statements("postgres.sql")["connections_allowed"])
    assert await line_of(slow, lines, "postgres.connections_allowed")


async def test_lines_are_few_and_the_metric_counts_all(database_url: str, lines: list[Any]) -> None:
    slow = SlowQueries(100, database_url)
    before = metrics.SLOW_QUERIES.labels("search")._value.get()
    search = Search(SECRET, {"mic": ("XNAS", "XNYS")}, Sort.NAME)
    for _ in range(LINES_AT_ONCE + 50):
        slow.took("sorted", search, 0.2)
    slow.took("sorted", search, 0.09)
    assert metrics.SLOW_QUERIES.labels("search")._value.get() - before == LINES_AT_ONCE + 50
    assert LINES_AT_ONCE <= len(lines) < LINES_AT_ONCE + 50
    assert lines[0]["shape"]["filters"] == {"mic": 2} and lines[0]["shape"]["sort"] == "name"
    assert lines[0]["plan"] == "sorted"
    assert SECRET not in str(lines)

    async def tells_what_was_left_out() -> bool:
        slow.took("lookup", 7, 0.3)
        return bool(lines[-1].get("left_out"))

    await eventually(tells_what_was_left_out)
    assert lines[-1]["shape"] == {"identifiers": 7}


async def test_nothing_is_slow_where_the_setting_is_zero(database_url: str, lines: list[Any]) -> None:
    slow = SlowQueries(0, database_url)
    slow.took("ranked", 1, 3600.0)
    assert not lines


async def test_a_plan_that_cannot_be_had_keeps_no_line_back(database_url: str, lines: list[Any]) -> None:
    away = SlowQueries(1, "postgresql://u:p@127.0.0.1:1/none")
    away.threshold_s = 0
    await held_up(away, database_url, "SELECT 1")
    assert (await line_of(away, lines, "SELECT 1"))["plan"] is None


async def test_slow_requests_are_told_with_their_ids(
    database_url: str,
    redis_url: str,
    indexer: WaitLevel,
    import_instruments: Import,
    database: Connection,
    lines: list[Any],
) -> None:
    await import_instruments([{"symbol": "AAA", "name": "Alpha", "asset_class": "equity", "mic": "XNAS"}])
    await indexer()
    async with running_api(database_url, redis_url, slow_query_ms=100) as client:
        number = await database.fetchval("SELECT id FROM instruments")
        transaction = database.transaction()
        await transaction.start()
        await database.execute("LOCK TABLE instrument_history IN ACCESS EXCLUSIVE MODE")
        asking = asyncio.create_task(
            client.get(f"/v1/instruments/ins_{number}/history", headers={"X-Request-ID": "who-waits"})
        )
        await eventually(partial(is_lock_awaited, database, "relation"))
        await asyncio.sleep(0.15)
        await transaction.rollback()
        async with await asking as response:
            assert response.status == 200

        async def is_told() -> bool:
            return any(line.get("statement") == "instruments.history" for line in lines)

        await eventually(is_told)
    (line,) = [line for line in lines if line.get("statement") == "instruments.history"]
    assert line["request_id"] == "who-waits" and line["duration_ms"] >= 100

"""The migrations make the schema that is committed beside them, on every supported major, and unmake it."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from app.embedded.postgres import start_postgres
from app.store import (
    aliases,
    api_keys,
    copy_epochs,
    idempotency,
    imports,
    index_jobs,
    instrument_writes,
    instruments,
    lease,
    locks,
    migrate,
    profile_changes,
    profile_writes,
    quality,
    search_pins,
    writing,
)
from app.store.postgres import Connection
from app.store.statements import Statements
from tests.conftest import execute_on

SCHEMA_FILE = Path(__file__).parent / "schema.txt"
"""Written by `python -m tests.migration.write_schema` after a migration was added."""

CATALOG = """
SELECT line FROM (
    SELECT 'column ' || attrelid::regclass || '.' || attname || ' ' || format_type(atttypid, atttypmod)
           || CASE WHEN attnotnull THEN ' not null' ELSE '' END
           || CASE attidentity WHEN 'a' THEN ' identity' ELSE '' END
           || coalesce(' default ' || pg_get_expr(adbin, adrelid), '') AS line
    FROM pg_attribute
    JOIN pg_class ON pg_class.oid = attrelid AND relkind = 'r' AND relnamespace = 'public'::regnamespace
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
    UNION ALL
    SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL
    SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL
    SELECT 'function ' || pg_get_functiondef(oid)
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace
) AS catalog
WHERE line NOT LIKE '%alembic_version%'
ORDER BY line COLLATE "C"
"""


async def describe_schema(connection: Connection) -> str:
    """Every column, constraint, index, trigger and function, a line each (functions: several)."""
    return "\n".join(record["line"] for record in await connection.fetch(CATALOG)) + "\n"


@pytest.fixture(params=[16, 18])
async def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """A server of its own, of each major at hand, without a schema."""
    server = start_postgres(tmp_path, "tests", major=request.param)
    try:
        await execute_on(server.url("postgres"), "CREATE DATABASE empty")
        yield server.url("empty")
    finally:
        server.child.stop()


async def schema_of(url: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        return await describe_schema(connection)
    finally:
        await connection.close()


async def test_upgrade_makes_the_committed_schema_and_downgrade_leaves_nothing(empty_database: str) -> None:
    await migrate.upgrade(empty_database)
    made = await schema_of(empty_database)
    assert made == SCHEMA_FILE.read_text(encoding="utf-8")
    await migrate.upgrade(empty_database)
    assert await schema_of(empty_database) == made, "a second upgrade changes nothing"
    await migrate.downgrade(empty_database, "base")
    assert await schema_of(empty_database) == "\n"
    await migrate.upgrade(empty_database)
    assert await schema_of(empty_database) == made


async def test_delistings_that_were_stored_before_they_took_effect_by_themselves_do_so(
    empty_database: str,
) -> None:
    await migrate.upgrade(empty_database, "0004_degraded")
    await execute_on(
        empty_database,
        "INSERT INTO instruments (symbol, name, asset_class, status, delisted_on) VALUES "
        "('PAST', 'N', 'equity', 'active', '2001-01-01'), "
        "('AHEAD', 'N', 'equity', 'suspended', '2999-01-01'), "
        "('GONE', 'N', 'equity', 'delisted', '2001-01-01'), "
        "('STAYS', 'N', 'equity', 'active', NULL)",
    )
    await migrate.upgrade(empty_database)
    connection = await asyncpg.connect(empty_database)
    try:
        rows = await connection.fetch(
            "SELECT symbol, i.status, due_at::date::text AS due, i.version, actor, "
            "document ->> 'status' AS told, i.changed_xid = h.changed_xid AS is_told_with_it "
            "FROM instruments i JOIN instrument_history h ON instrument_id = id AND h.version = i.version "
            "ORDER BY id"
        )
    finally:
        await connection.close()
    assert [tuple(row.values()) for row in rows] == [
        ("PAST", "delisted", None, 2, "migration", "delisted", True),
        ("AHEAD", "suspended", "2999-01-01", 2, "migration", "suspended", True),
        ("GONE", "delisted", None, 1, None, "delisted", True),
        ("STAYS", "active", None, 1, None, "active", True),
    ]


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        (
            "(aliases <> '{}' OR dated_aliases <> '[]') AND alias_keys(aliases, dated_aliases) && '{FB}'",
            "instruments_every_alias_key",
        ),
        ("aliases <> '{}' AND symbol_keys(aliases) && '{FB}'", "instruments_alias_keys"),
    ],
    ids=["this version", "the one before, while both run"],
)
async def test_aliases_are_found_by_an_index(database: Connection, condition: str, index: str) -> None:
    async with database.transaction():
        await database.execute("SET LOCAL enable_seqscan = off")
        plan = await database.fetch(f"EXPLAIN SELECT FROM instruments WHERE {condition}")
    assert f"Bitmap Index Scan on {index} " in str(plan) and "Index Cond" in str(plan)


@pytest.mark.parametrize(
    "statements",
    [
        instruments.SQL,
        instrument_writes.SQL,
        index_jobs.SQL,
        lease.SQL,
        api_keys.SQL,
        profile_writes.SQL,
        profile_changes.SQL,
        copy_epochs.SQL,
        idempotency.SQL,
        quality.SQL,
        aliases.SQL,
        locks.SQL,
        writing.SQL,
        search_pins.SQL,
    ],
    ids=lambda _: "",
)
async def test_every_statement_fits_the_schema(database: Connection, statements: Statements) -> None:
    for name in statements.names():
        if not name.endswith(("_columns", "_filters", "_part")):
            await database.prepare(statements[name])


async def test_every_statement_of_an_import_fits_the_schema(database: Connection) -> None:
    """These build on each other's temporary tables, so they are prepared in order, then run."""
    parameters = {
        "fill_venues": ([], [], []),
        "merge": (False,),
        "delist_missing": ([],),
    }
    async with database.transaction():
        for name in imports.SQL.names():
            await database.prepare(imports.SQL[name])
            arguments: tuple[object, ...] = parameters.get(name, ())
            await database.execute(imports.SQL[name], *arguments)


async def test_history_is_append_only(database: Connection) -> None:
    await database.execute("INSERT INTO instruments (symbol, name, asset_class) VALUES ('A', 'B', 'equity')")
    for statement in (
        "UPDATE instrument_history SET actor = 'x'",
        "DELETE FROM instrument_history",
        "TRUNCATE instrument_history",
        "TRUNCATE instruments CASCADE",
    ):
        with pytest.raises(asyncpg.RestrictViolationError):
            await database.execute(statement)


async def test_an_update_that_changes_nothing_leaves_no_trace(database: Connection) -> None:
    await database.execute("INSERT INTO instruments (symbol, name, asset_class) VALUES ('A', 'B', 'equity')")
    before = await database.fetchrow("SELECT * FROM instruments")
    await database.execute("UPDATE instruments SET name = 'B', version = 9, changed_xid = '1'")
    assert await database.fetchrow("SELECT * FROM instruments") == before
    assert await database.fetchval("SELECT count(*) FROM instrument_history") == 1


async def test_every_change_is_versioned_stamped_and_told(database: Connection) -> None:
    await database.execute("SET registry.actor = 'somebody'")
    await database.execute("INSERT INTO instruments (symbol, name, asset_class) VALUES ('A', 'B', 'equity')")
    await database.execute("UPDATE instruments SET name = 'C'")
    await database.execute("DELETE FROM instruments")
    history = await database.fetch("SELECT * FROM instrument_history ORDER BY version")
    assert [(h["version"], h["operation"], h["actor"]) for h in history] == [
        (1, "created", "somebody"),
        (2, "updated", "somebody"),
        (3, "deleted", "somebody"),
    ]
    assert history[2]["document"] is None
    tombstone = await database.fetchrow("SELECT * FROM instrument_tombstones")
    assert tombstone is not None and tombstone["instrument_id"] == history[0]["instrument_id"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("symbol", "'  '"),
        ("symbol", "repeat('x', 33)"),
        ("name", "' padded'"),
        ("asset_class", "'stock'"),
        ("status", "'gone'"),
        ("mic", "'xnas'"),
        ("currency", "'usd'"),
        ("country", "'USA'"),
        ("isin", "'US037833100'"),
        ("figi", "'BBG'"),
        ("lei", "'x'"),
        ("cfi", "'ESV'"),
        ("tick_size", "0"),
        ("lot_size", "'Infinity'"),
        ("attributes", "'[]'"),
        ("contract", "'1'"),
        ("aliases", "'{a,NULL}'"),
        ("delisted_on", "'2000-01-01'"),
        ("source", "'only half of the pair'"),
    ],
)
async def test_constraints_hold(database: Connection, column: str, value: str) -> None:
    columns = {"symbol": "'A'", "name": "'B'", "asset_class": "'equity'", "listed_on": "'2001-01-01'"}
    columns[column] = value
    with pytest.raises(asyncpg.CheckViolationError):
        await database.execute(
            f"INSERT INTO instruments ({', '.join(columns)}) VALUES ({', '.join(columns.values())})"  # noqa: S608
        )


async def test_a_symbol_is_unique_at_its_venue_among_the_living(database: Connection) -> None:
    insert = (
        "INSERT INTO instruments (symbol, name, asset_class, mic, exchange, status) "
        "VALUES ($1, 'N', 'equity', $2, $3, $4)"
    )
    await database.execute(insert, "A", "XNAS", "NMS", "active")
    for mic, exchange in (("XNAS", "NGM"), (None, "XNAS")):
        with pytest.raises(asyncpg.UniqueViolationError):
            await database.execute(insert, "A", mic, exchange, "suspended")
    await database.execute(insert, "A", "XNAS", "NMS", "delisted")
    await database.execute(insert, "A", None, None, "active")
    with pytest.raises(asyncpg.UniqueViolationError):
        await database.execute(insert, "A", None, None, "active")

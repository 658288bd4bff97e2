"""A million profiles: what lists, reads and writes cost does not depend on how many there are."""

import json
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import pytest

from app.store.postgres import Connection
from app.store.profile_writes import SQL
from app.store.steps import rows_of
from app.store.write_groups import SQL as GROUPS

PROFILES: Final = 1_000_000
MOST_BLOCKS: Final = 300
"""Of 8 kB, that a page of a hundred may touch; the table has more than twenty thousand."""
FILL: Final = f"""
-- Half of them one owner's; one in a hundred paused.
INSERT INTO profiles (id, owner, name, description, channels, query, member_count, delivery, status,
                      version, last_event, created_at, updated_at)
SELECT lpad(to_hex(n), 32, '0')::uuid, 'key:' || CASE WHEN n % 2 = 0 THEN 0 ELSE n % 1000 END,
       'Profile ' || n, '', '{{trades}}', '{{"currency": "EUR"}}', 0, '{{"mode": "streaming"}}',
       CASE WHEN n % 100 = 0 THEN 'paused' ELSE 'active' END, 1, 1, now(), now()
FROM generate_series(1, {PROFILES}) AS n;
INSERT INTO profile_members (profile_id, instrument_id, position)
SELECT lpad(to_hex(n), 32, '0')::uuid, instruments.id, instruments.id
FROM generate_series(1, 1000) AS n CROSS JOIN instruments WHERE instruments.id <= 90;
INSERT INTO profile_events (profile_id, number, owner, kind, at, version, actor, request_id, detail)
SELECT lpad(to_hex(n), 32, '0')::uuid, 1, 'key:0', 'created', now(), 1, 'key:1', 'r', '{{}}'
FROM generate_series(1, 100000) AS n
"""  # noqa: S608 - the number is ours
FIRST: Final = f"'{0:032x}'"
MIDDLE: Final = f"'{PROFILES // 2:032x}'"
CASES: Final = (
    ("read", "uuid", f"'{1:032x}'", {"profiles_pkey", "profile_members_position"}),
    ("page", "text[], uuid, int", f"'{{active,paused}}', {FIRST}, 100", {"profiles_status_id"}),
    ("page", "text[], uuid, int", f"'{{paused}}', {MIDDLE}, 100", {"profiles_status_id"}),
    (
        "page_of_owner",
        "text, text[], uuid, int",
        f"'key:0', '{{active,paused}}', {FIRST}, 100",
        {"profiles_owner_status_id"},
    ),
    (
        "page_of_owner",
        "text, text[], uuid, int",
        f"'key:7', '{{active,paused}}', {MIDDLE}, 100",
        {"profiles_owner_status_id"},
    ),
    ("events", "uuid, bigint, int", f"'{1:032x}', NULL, 100", {"profile_events_pkey"}),
)
"""Statement, types of its parameters, their values, and the indexes that it must go through."""
CONTENT: Final = {
    "name": "Another name",
    "description": "",
    "channels": ["trades"],
    "member_count": 0,
    "delivery": {"mode": "streaming"},
    "status": "active",
    "actor": "key:1",
    "request_id": "r",
    "detail": {},
}
WRITES: Final[tuple[tuple[str, dict[str, Any], set[str]], ...]] = (
    ("lock", {}, {"profiles_pkey", "profile_members_position"}),
    (
        "update",
        {**CONTENT, "removed": [1, 2, 3], "added": [91, 92, 93]},
        {"profiles_pkey", "profile_watches_pkey", "profile_members_pkey", "profile_members_position"},
    ),
    ("remove_members", {"removed": [7, 8, 9]}, {"profile_members_pkey"}),
    ("record_deletion", CONTENT, {"profiles_pkey"}),
    ("delete", {}, {"profiles_pkey"}),
)
"""Statement, its row beside the profile, and the indexes; in an order that they can be executed in."""


@pytest.fixture
async def million(database_url: str, database: Connection) -> Connection:
    await database.execute(
        "INSERT INTO instruments (symbol, name, asset_class) "
        "SELECT 'S' || n, 'N', 'equity' FROM generate_series(1, 100) AS n"
    )
    await database.execute(FILL)
    await database.execute("VACUUM ANALYZE")
    return database


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


async def test_a_million_are_read_and_written_through_indexes(
    million: Connection, subtests: pytest.Subtests
) -> None:
    """However the plans are made; the million cost more than all else here."""
    for mode in ("force_custom_plan", "force_generic_plan"):
        with subtests.test(mode):
            await million.execute(f"SET plan_cache_mode = {mode}")
            await assert_plans(million)


async def assert_plans(connection: Connection) -> None:
    for statement, types, arguments, indexes in CASES:
        await assert_plan(connection, SQL[statement], types, arguments, indexes)
    writing = connection.transaction()
    await writing.start()
    try:
        await connection.execute(GROUPS["plan_by_index"])
        for statement, row, indexes in WRITES:
            rows = rows_of(
                *({"profile": UUID(int=number), **row, "name": f"N{number}"} for number in range(1, 4))
            )
            await assert_plan(connection, SQL[statement], "jsonb", f"'{rows}'", indexes)
    finally:
        await writing.rollback()


async def assert_plan(
    connection: Connection, statement: str, types: str, arguments: str, indexes: set[str]
) -> None:
    await connection.execute(f"PREPARE asked ({types}) AS {statement}")
    explained = await connection.fetchval(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE asked ({arguments})"
    )
    await connection.execute("DEALLOCATE asked")
    plan = json.loads(explained)[0]["Plan"]
    assert "Seq Scan" not in {node["Node Type"] for node in nodes(plan)}, explained
    assert {node["Index Name"] for node in nodes(plan) if "Index Name" in node} == indexes, explained
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < MOST_BLOCKS, explained

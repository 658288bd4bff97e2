"""The leader removes what has had its time, and never what has not."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from app.store.postgres import Connection
from app.store.removal import remove_expired
from tests.integration.conftest import eventually, running_indexer

HOUR_S = 3600.0


@pytest.fixture
async def profile_id(database: Connection) -> UUID:
    """A profile with an audit event, an old event of its stream and a young one, all numbered in turn."""
    number = uuid4()
    await database.execute(
        "INSERT INTO profiles (id, owner, name, description, channels, query, member_count, delivery, "
        "status, version, last_event, created_at, updated_at) "
        "VALUES ($1, 'key:a', 'P', '', '{trades}', '{}', 0, '{}', 'active', 1, 4, now(), now())",
        number,
    )
    for place, (kind, age) in enumerate(
        (("created", 9), ("membership", 3), ("updated", 3), ("instruments", 0)), 1
    ):
        await database.execute(
            "INSERT INTO profile_events (profile_id, number, owner, kind, at, version, actor, detail) "
            "VALUES ($1, $2, 'key:a', $3, now() - $4::interval, 1, 'x', '{}')",
            number,
            place,
            kind,
            timedelta(hours=age),
        )
    return number


async def test_old_events_of_streams_go_and_leave_a_mark(database: Connection, profile_id: UUID) -> None:
    removed = await remove_expired(database, HOUR_S)
    assert removed.events == 1
    kinds = await database.fetch("SELECT kind FROM profile_events ORDER BY number")
    assert [record["kind"] for record in kinds] == ["created", "updated", "instruments"]
    mark = "SELECT events_removed_to FROM profiles"
    assert await database.fetchval(mark) == 2
    assert (await remove_expired(database, HOUR_S)).events == 0
    assert await database.fetchval(mark) == 2
    assert (await remove_expired(database, 0)).events == 1
    assert await database.fetchval(mark) == 4


async def test_old_events_of_deleted_profiles_go_as_well(database: Connection, profile_id: UUID) -> None:
    await database.execute("DELETE FROM profiles")
    assert (await remove_expired(database, HOUR_S)).events == 1


async def test_watches_are_kept_for_an_hour_after_the_last_listener(
    database: Connection, profile_id: UUID
) -> None:
    watch = "INSERT INTO profile_watches VALUES ($1, now() - $2::interval, pg_current_snapshot())"
    await database.execute(watch, profile_id, timedelta(minutes=59))
    assert (await remove_expired(database, HOUR_S)).watches == 0
    await database.execute("UPDATE profile_watches SET listened_until = now() - interval '61 minutes'")
    assert (await remove_expired(database, HOUR_S)).watches == 1


async def test_expired_answers_go_in_batches(database: Connection) -> None:
    await database.execute(
        "INSERT INTO idempotency_records "
        "SELECT 'p', 'POST', '/', n::text, sha256('x'), gen_random_uuid(), 1, 'x', "
        "now() + CASE WHEN n <= 2500 THEN interval '-1 s' ELSE interval '1 h' END "
        "FROM generate_series(1, 2510) AS n"
    )
    assert (await remove_expired(database, HOUR_S)).answers == 2500
    assert await database.fetchval("SELECT count(*) FROM idempotency_records") == 10


async def test_the_leader_keeps_house(
    database: Connection, database_url: str, redis_client: Redis, profile_id: UUID
) -> None:
    watch = "INSERT INTO profile_watches VALUES ($1, now() - interval '2 hours', pg_current_snapshot())"
    await database.execute(watch, profile_id)

    async def tidy() -> bool:
        return not await database.fetch("SELECT FROM profile_watches")

    async with running_indexer(database_url, redis_client):
        await eventually(tidy)
    assert await database.fetchval("SELECT count(*) FROM profile_events") == 4, "they are kept for a day"

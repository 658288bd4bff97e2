"""When keys were last used: written in batches, kept while Postgres is away, later moments only."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from app.auth.api_keys import key_hash
from app.auth.key_uses import KeyUses
from app.domain.access import INSTRUMENTS_READ
from app.store.api_keys import add_key, record_key_uses
from app.store.postgres import Connection, Postgres
from tests.conftest import url_of
from tests.integration.conftest import running_api

NOON = datetime(2026, 8, 9, 12, tzinfo=UTC)


@pytest.fixture
async def postgres(database_url: str) -> AsyncIterator[Postgres]:
    postgres = Postgres(database_url, 4)
    await postgres.open()
    yield postgres
    await postgres.close()


async def make_key(database_url: str, secret: str) -> int:
    return await add_key(
        database_url, owner="desk", scopes=[INSTRUMENTS_READ], secret_sha256=key_hash(secret)
    )


async def last_uses(database: Connection) -> dict[int, datetime | None]:
    return {
        record["id"]: record["last_used_at"]
        for record in await database.fetch("SELECT id, last_used_at FROM api_keys")
    }


async def test_a_use_is_written_when_the_service_ends(
    database_url: str, redis_url: str, database: Connection
) -> None:
    used, unused = await make_key(database_url, "used"), await make_key(database_url, "unused")
    before = await database.fetchval("SELECT now()")
    async with running_api(database_url, redis_url) as client:
        for _ in range(3):
            async with client.get("/v1/instruments/ins_1", headers={"X-API-Key": "used"}) as response:
                assert response.status == 404
        assert await last_uses(database) == {used: None, unused: None}, "no request writes"
    found = await last_uses(database)
    assert found[unused] is None
    assert before <= found[used] <= await database.fetchval("SELECT now()")


async def test_the_task_writes_meanwhile(
    database_url: str, postgres: Postgres, database: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.auth.key_uses.WRITE_EVERY_S", 0.01)
    key_id = await make_key(database_url, "k")
    uses = KeyUses(postgres)
    task = asyncio.create_task(uses.follow())
    try:
        uses.note(key_id)
        async with asyncio.timeout(5):
            while (await last_uses(database))[key_id] is None:  # noqa: ASYNC110 - the task says nothing
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_only_what_is_clearly_later_is_written(
    database_url: str, postgres: Postgres, database: Connection
) -> None:
    key_id = await make_key(database_url, "k")
    for seconds, stored in ((0, 0), (9, 0), (11, 11), (-60, 11)):
        await record_key_uses(postgres, {key_id: NOON + timedelta(seconds=seconds)})
        assert await last_uses(database) == {key_id: NOON + timedelta(seconds=stored)}


async def test_processes_that_write_the_same_keys_at_once_do_not_deadlock(
    database_url: str, postgres: Postgres, database: Connection
) -> None:
    ids = [await make_key(database_url, f"k{n}") for n in range(40)]
    for turn in range(10):
        at = NOON + timedelta(minutes=turn)
        await asyncio.gather(
            record_key_uses(postgres, dict.fromkeys(ids, at)),
            record_key_uses(postgres, dict.fromkeys(reversed(ids), at)),
            record_key_uses(postgres, dict.fromkeys(ids[20:] + ids[:20], at)),
        )
        assert set((await last_uses(database)).values()) == {at}


async def test_notes_are_kept_while_postgres_is_away(
    database_url: str, postgres: Postgres, database: Connection
) -> None:
    key_id = await make_key(database_url, "k")
    away = Postgres(url_of("no_such_database"), 1)
    await away.open()
    uses = KeyUses(away)
    uses.note(key_id)
    await uses.write()
    assert await last_uses(database) == {key_id: None}
    uses._postgres = postgres
    await uses.write()
    assert (await last_uses(database))[key_id] is not None
    await away.close()


async def test_a_write_that_is_given_up_is_made_again(
    database_url: str, postgres: Postgres, database: Connection
) -> None:
    key_id = await make_key(database_url, "k")
    uses = KeyUses(postgres)
    uses.note(key_id)
    async with database.transaction():
        await database.execute("LOCK TABLE api_keys")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await uses.write()
    await uses.write()
    assert (await last_uses(database))[key_id] is not None

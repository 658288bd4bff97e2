"""Copies of profiles in Redis: whoever fails at whichever moment, no read shows what was overwritten."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis

from app.domain.errors import NotFound, PostgresUnavailable
from app.domain.profile import ProfileLimits, parse_profile
from app.embedded.redis import start_redis
from app.store.copy_epochs import RESUME_AFTER_S, SETTLE_S
from app.store.postgres import Connection
from app.store.profile_copies import Mark, ProfileCopies, Written
from app.store.profile_writes import Author
from app.store.profiles import DOUBT_S, Profiles
from app.store.source import Source
from tests.integration.conftest import WAIT_S, eventually, open_profiles
from tests.stopwatch import Stopwatch
from tests.wire import Wire, wire_to

LIMITS = ProfileLimits(profiles_per_owner=100, members=100, name_length=100)
ALICE = Author("key:alice", False, "key:1", "request-1")
PROFILE = parse_profile(
    {"name": "P", "channels": ["trades"], "selection": {"query": {"currency": "EUR"}}}, LIMITS
)


def anything(_: int) -> bool:
    return True


async def create(profiles: Profiles) -> UUID:
    return (await profiles.create(ALICE, PROFILE, None)).subject


async def write(profiles: Profiles, profile_id: UUID, text: str) -> int:
    """Change the description; the version acknowledged."""
    change = partial(replace, description=text)
    return (await profiles.update(ALICE, profile_id, anything, change)).version


async def read(profiles: Profiles, profile_id: UUID) -> tuple[int, Source]:
    profile, source = await profiles.read(ALICE, profile_id)
    return profile.version, source


async def kept(client: Redis, profile_id: UUID) -> bytes | None:
    """What stands in Redis in place of the profile's copy: its first bytes."""
    keys = await client.keys(f"ir:profile:*:{profile_id.hex}")
    value = await client.get(keys[0]) if keys else None
    return value.split(b"\0")[0] if isinstance(value, bytes) else None


@pytest.fixture
async def redis_wire(redis_url: str) -> AsyncIterator[Wire]:
    async with wire_to(redis_url) as wire:
        yield wire


@pytest.fixture
async def postgres_wire(database_url: str) -> AsyncIterator[Wire]:
    async with wire_to(database_url) as wire:
        yield wire


@pytest.fixture
async def profiles(database_url: str, redis_url: str) -> AsyncIterator[Profiles]:
    async with open_profiles(database_url, redis_url, LIMITS) as opened:
        yield opened


async def test_what_was_written_is_read_from_its_copy_by_every_process(
    profiles: Profiles, database_url: str, redis_url: str
) -> None:
    profile_id = await create(profiles)
    async with open_profiles(database_url, redis_url, LIMITS) as other:
        assert await read(other, profile_id) == (1, Source.REDIS)
        assert await write(other, profile_id, "x") == 2
        assert await read(other, profile_id) == (2, Source.REDIS)
        assert await read(profiles, profile_id) == (2, Source.REDIS)
        await profiles.delete(ALICE, profile_id, anything)
        with pytest.raises(NotFound):
            await other.read(ALICE, profile_id)


async def test_a_copy_is_its_owners_alone(profiles: Profiles) -> None:
    profile_id = await create(profiles)
    with pytest.raises(NotFound):
        await profiles.read(Author("key:bob", False, "key:2", "r"), profile_id)
    profile, source = await profiles.read(Author("key:ops", True, "key:3", "r"), profile_id)
    assert (profile.owner, source) == ("key:alice", Source.REDIS)


async def test_what_is_missing_is_filled_by_its_reader(profiles: Profiles, redis_client: Redis) -> None:
    profile_id = await create(profiles)
    await redis_client.flushall()
    assert await read(profiles, profile_id) == (1, Source.POSTGRES)
    assert await read(profiles, profile_id) == (1, Source.REDIS)


async def test_every_process_reads_every_acknowledged_write(
    profiles: Profiles, database_url: str, redis_url: str
) -> None:
    """Eight writers and eight readers on two processes, and a key that vanishes all the while."""
    profile_id = await create(profiles)
    acknowledged = 1
    done = False
    sources = set()

    async with open_profiles(database_url, redis_url, LIMITS) as other:

        async def write_on(process: Profiles, writer: int) -> None:
            nonlocal acknowledged
            for turn in range(25):
                version = await write(process, profile_id, f"{writer}/{turn}")
                acknowledged = max(acknowledged, version)

        async def read_on(process: Profiles) -> None:
            while not done:
                floor = acknowledged
                version, source = await read(process, profile_id)
                assert version >= floor
                sources.add(source)
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            for process in (profiles, other) * 4:
                group.create_task(read_on(process))
            await asyncio.gather(*(write_on((profiles, other)[n % 2], n) for n in range(8)))
            done = True
        assert await read(profiles, profile_id) == (201, Source.REDIS)
    assert sources == {Source.REDIS, Source.POSTGRES}


class _LateCopies(ProfileCopies):
    """Keeps back what would be put into Redis, until it is told to do it."""

    late: list[Any]

    def settle(self, mark: Mark, written: Written) -> None:
        async def settle() -> None:
            ProfileCopies.settle(self, mark, written)

        self.late.append(settle)

    async def fill(self, *arguments: Any) -> None:
        self.late.append(partial(super().fill, *arguments))


def make_late(profiles: Profiles) -> list[Any]:
    """Whatever this process does to Redis after a commit or a reading waits in the list returned."""
    copies = profiles._copies
    late = _LateCopies(copies._server, copies._epochs)
    late.late = []
    profiles._copies = profiles._groups._copies = late
    return late.late


async def test_a_writer_that_has_not_heard_of_the_next_epoch_marks_its_copies(
    profiles: Profiles, database: Connection, database_url: str, redis_url: str
) -> None:
    profile_id = await create(profiles)
    epochs = profiles._copies._epochs
    ended = epochs.readable
    await database.execute("UPDATE profile_copies SET epoch = epoch + 1")
    async with open_profiles(database_url, redis_url, LIMITS) as other:
        assert await read(other, profile_id) == (1, Source.POSTGRES)
        assert await read(other, profile_id) == (1, Source.REDIS)
        epochs._known, epochs._asked_at = ended, time.monotonic()
        assert await write(profiles, profile_id, "newer") == 2
        assert (await read(other, profile_id))[0] == 2


async def test_a_resumption_that_takes_long_refuses_no_writer(
    profiles: Profiles, database: Connection
) -> None:
    profile_id = await create(profiles)
    await database.execute("SELECT pg_advisory_lock(hashtextextended('profile copies', 0))")
    writing = asyncio.create_task(write(profiles, profile_id, "x"))
    await asyncio.sleep(0.4)  # longer than a group waits for a lock
    await database.execute("SELECT pg_advisory_unlock_all()")
    assert await writing == 2
    assert await read(profiles, profile_id) == (2, Source.REDIS)


async def test_an_older_write_never_replaces_a_newer_one(
    profiles: Profiles, database_url: str, redis_url: str
) -> None:
    profile_id = await create(profiles)
    async with open_profiles(database_url, redis_url, LIMITS) as slow:
        late = make_late(slow)
        assert await write(slow, profile_id, "older") == 2
        assert await write(profiles, profile_id, "newer") == 3
        await late[0]()
        assert await read(profiles, profile_id) == (3, Source.REDIS)


async def test_a_slow_reader_puts_no_old_copy(
    profiles: Profiles, database_url: str, redis_url: str, redis_client: Redis
) -> None:
    profile_id = await create(profiles)
    async with open_profiles(database_url, redis_url, LIMITS) as slow:
        late = make_late(slow)
        await redis_client.flushall()
        assert await read(slow, profile_id) == (1, Source.POSTGRES)
        assert await kept(redis_client, profile_id) == b"claim"
        assert await write(profiles, profile_id, "newer") == 2
        await late[0]()
        assert await read(profiles, profile_id) == (2, Source.REDIS)


async def test_a_mark_is_mended_by_a_reader_but_not_under_a_writer(
    profiles: Profiles, database: Connection, redis_client: Redis
) -> None:
    profile_id = await create(profiles)
    late = make_late(profiles)
    assert await write(profiles, profile_id, "x") == 2
    late.clear()  # the writer died
    assert await kept(redis_client, profile_id) == b"mark"
    async with database.transaction():
        await database.execute("SELECT FROM profiles WHERE id = $1 FOR UPDATE", profile_id)
        async with asyncio.timeout(WAIT_S):  # the other writer does not hold readers up
            assert await read(profiles, profile_id) == (2, Source.POSTGRES)
        assert not late
    assert await read(profiles, profile_id) == (2, Source.POSTGRES)
    await late[0]()
    assert await read(profiles, profile_id) == (2, Source.REDIS)


DYING_WRITER = """
import asyncio, os, signal, sys
from app.store import profile_copies
from tests.integration import test_profile_copies as tests
from uuid import UUID

moment, database_url, redis_url, profile_id = sys.argv[1:]

mark = profile_copies.ProfileCopies.mark

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

async def mark_and_die(*arguments):
    await mark(*arguments)
    die()

if moment == "before":  # the commit, with the mark in place
    profile_copies.ProfileCopies.mark = mark_and_die
else:
    profile_copies.ProfileCopies.settle = die

async def main():
    async with tests.open_profiles(database_url, redis_url, tests.LIMITS) as profiles:
        await tests.write(profiles, UUID(profile_id), "last words")

asyncio.run(main())
"""


@pytest.mark.parametrize(("moment", "version"), [("before", 1), ("after", 2)])
async def test_a_writer_killed_around_its_commit_leaves_no_old_copy(
    profiles: Profiles, database_url: str, redis_url: str, redis_client: Redis, moment: str, version: int
) -> None:
    profile_id = await create(profiles)
    assert await read(profiles, profile_id) == (1, Source.REDIS)
    command = [sys.executable, "-c", DYING_WRITER, moment, database_url, redis_url, str(profile_id)]
    process = await asyncio.create_subprocess_exec(*command, cwd=Path(__file__).parents[2])
    assert await process.wait() == -signal.SIGKILL
    assert await kept(redis_client, profile_id) == b"mark"

    async def is_mended() -> bool:  # at once, or when Postgres has noticed that the writer is gone
        seen, source = await read(profiles, profile_id)
        assert seen == version
        return source is Source.REDIS

    await eventually(is_mended)


async def test_a_process_cut_off_from_redis_writes_and_nobody_reads_an_old_copy(
    profiles: Profiles, database_url: str, redis_wire: Wire
) -> None:
    profile_id = await create(profiles)
    async with open_profiles(database_url, redis_wire.url, LIMITS) as cut_off:
        assert await read(cut_off, profile_id) == (1, Source.REDIS)
        await redis_wire.cut()
        for expected in (2, 3):
            assert await write(cut_off, profile_id, f"v{expected}") == expected
            assert await read(profiles, profile_id) == (expected, Source.POSTGRES)
            assert await read(cut_off, profile_id) == (expected, Source.POSTGRES)
        redis_wire.mend()
        for process in (cut_off, profiles):
            await eventually(partial(is_read_from_redis, process, profile_id, 3))


async def is_read_from_redis(profiles: Profiles, profile_id: UUID, version: int) -> bool:
    seen, source = await read(profiles, profile_id)
    assert seen == version
    return source is Source.REDIS


async def test_a_frozen_redis_holds_writers_up_once(
    profiles: Profiles, database_url: str, redis_wire: Wire
) -> None:
    profile_id = await create(profiles)
    async with open_profiles(database_url, redis_wire.url, LIMITS) as cut_off:
        redis_wire.freeze()
        async with asyncio.timeout(SETTLE_S + 5):
            versions = await asyncio.gather(*(write(cut_off, profile_id, str(n)) for n in range(8)))
        assert sorted(versions) == list(range(2, 10))
        assert await read(cut_off, profile_id) == (9, Source.POSTGRES)
        async with asyncio.timeout(SETTLE_S):
            assert await write(cut_off, profile_id, "again") == 10
        redis_wire.mend()


async def test_a_redis_that_came_back_with_old_data_shows_none_of_it(
    database_url: str, tmp_path: Path
) -> None:
    first = start_redis(tmp_path, "tests")
    async with AsyncExitStack() as stack:
        stack.callback(lambda: first.child.stop())
        wire = await stack.enter_async_context(wire_to(first.url()))
        profiles = await stack.enter_async_context(open_profiles(database_url, wire.url, LIMITS))
        profile_id = await create(profiles)
        client = Redis.from_url(first.url())
        await client.save()
        await client.aclose()
        assert await write(profiles, profile_id, "after the save") == 2
        first.child.process.kill()
        first.child.process.wait()
        second = start_redis(tmp_path, "tests")
        stack.callback(lambda: second.child.stop())
        await wire.lead_to(second.url())
        client = Redis.from_url(second.url())
        assert await kept(client, profile_id) == b"copy"  # of version 1
        await client.aclose()
        await eventually(partial(is_read_from_redis, profiles, profile_id, 2))


async def test_while_postgres_is_away_copies_are_read_and_nothing_is_written(
    profiles: Profiles, database_url: str, redis_url: str, postgres_wire: Wire
) -> None:
    profile_id = await create(profiles)
    unread = await create_another(profiles)
    async with open_profiles(postgres_wire.url, redis_url, LIMITS) as cut_off:
        await postgres_wire.cut()
        assert await read(cut_off, profile_id) == (1, Source.REDIS)
        with pytest.raises(PostgresUnavailable):
            await write(cut_off, profile_id, "x")
        with pytest.raises(PostgresUnavailable):
            await cut_off.delete(ALICE, profile_id, anything)
        await asyncio.sleep(SETTLE_S)
        assert await read(cut_off, profile_id) == (1, Source.REDIS)
        await profiles.delete(ALICE, unread, anything)
        with pytest.raises(PostgresUnavailable):
            await cut_off.read(ALICE, unread)
        postgres_wire.mend()
        assert await write(cut_off, profile_id, "x") == 2
        assert await read(profiles, profile_id) == (2, Source.REDIS)


async def create_another(profiles: Profiles) -> UUID:
    answer = await profiles.create(ALICE, replace(PROFILE, name="another"), None)
    return answer.subject


async def test_a_frozen_postgres_delays_readers_of_copies_little(
    profiles: Profiles, redis_url: str, postgres_wire: Wire
) -> None:
    profile_id = await create(profiles)
    async with open_profiles(postgres_wire.url, redis_url, LIMITS) as cut_off:
        postgres_wire.freeze()

        async def is_noticed() -> bool:
            return cut_off._copies.postgres_is_away

        await eventually(is_noticed)
        with Stopwatch() as reading:
            assert await read(cut_off, profile_id) == (1, Source.REDIS)
        assert reading.seconds < DOUBT_S + 5
        postgres_wire.mend()


async def test_a_restored_postgres_distrusts_all_copies(
    profiles: Profiles, database: Connection, database_url: str, redis_url: str
) -> None:
    profile_id = await create(profiles)
    assert await read(profiles, profile_id) == (1, Source.REDIS)
    before = await database.fetchval("SELECT epoch FROM profile_copies")
    await database.execute("UPDATE profile_copies SET cluster = 'another'")
    async with open_profiles(database_url, redis_url, LIMITS, readable=False) as other:
        assert await read(other, profile_id) == (1, Source.POSTGRES)
        await eventually(partial(is_read_from_redis, other, profile_id, 1), RESUME_AFTER_S + 10)
    assert await database.fetchval("SELECT epoch FROM profile_copies") == before + 1


async def test_copies_are_not_resumed_under_a_writer_that_leaves_no_mark(
    profiles: Profiles, database: Connection, database_url: str, redis_url: str
) -> None:
    """The writer saw the suspension, and commits long after the others would resume."""
    profile_id = await create(profiles)
    await database.execute("UPDATE profile_copies SET suspended_at = now()")
    async with database.transaction():
        assert await database.fetchval("SELECT suspended FROM join_profile_copies()")
        await database.execute("UPDATE profiles SET version = 2 WHERE id = $1", profile_id)
        await asyncio.sleep(RESUME_AFTER_S + 2)
        assert await read(profiles, profile_id) == (1, Source.POSTGRES)
    await eventually(partial(is_read_from_redis, profiles, profile_id, 2))

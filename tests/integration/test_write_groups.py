"""Writes that share a transaction: each is done once, and none fails or waits because of another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from prometheus_client import REGISTRY

from app.domain.errors import (
    Conflict,
    InvalidInput,
    NameTaken,
    NotFound,
    PostgresUnavailable,
    PreconditionFailed,
    RegistryError,
)
from app.domain.member_edit import Edited, MemberEdit, parse_member_edit
from app.domain.profile import Profile, ProfileLimits
from app.store import write_groups
from app.store.idempotency import Answer
from app.store.postgres import Connection
from app.store.profile_rows import ShownProfile
from app.store.profiles import MANY_INSTRUMENTS, Profiles
from app.store.steps import Records, Step, Steps, ask, carry_out, tell
from tests.integration.conftest import open_profiles
from tests.integration.test_profiles import ALICE, anything, members, once, profile, read

LIMITS = ProfileLimits(profiles_per_owner=100, members=10_000, name_length=100)
NUMBERS = "SELECT place, n * 2 FROM jsonb_to_recordset($1) AS given(place int, n int)"
SERIES = "SELECT place, generate_series(1, n) FROM jsonb_to_recordset($1) AS given(place int, n int)"


@pytest.fixture
async def profiles(database_url: str, database: Connection, redis_url: str) -> AsyncIterator[Profiles]:
    await database.execute(
        "INSERT INTO instruments (symbol, name, asset_class) "
        "SELECT 'S' || n, 'N', 'equity' FROM generate_series(1, 5) AS n"
    )
    async with open_profiles(database_url, redis_url, LIMITS) as opened:
        yield opened


async def create(profiles: Profiles, count: int) -> list[UUID]:
    return [(await profiles.create(ALICE, profile(f"P{n}"), None)).subject for n in range(count)]


async def update(profiles: Profiles, profile_id: UUID, **changes: Any) -> None:
    await profiles.update(ALICE, profile_id, anything, partial(replace, **changes))


async def each_in_a_group_of_its_own(profiles: Profiles, ids: list[UUID]) -> list["asyncio.Task[None]"]:
    """Updates of these, begun one by one, as long as there are transactions left."""
    tasks = []
    for profile_id in ids:
        tasks.append(asyncio.create_task(update(profiles, profile_id, description="x")))
        for _ in range(2):  # it begins, and so does its group
            await asyncio.sleep(0)
    return tasks


async def versions(database: Connection) -> dict[str, int]:
    return {row["name"]: row["version"] for row in await database.fetch("SELECT name, version FROM profiles")}


async def transactions(database: Connection, kind: str) -> int:
    """In how many transactions events of this kind were written."""
    found = await database.fetchval(
        "SELECT count(DISTINCT xmin::text) FROM profile_events WHERE kind = $1", kind
    )
    return int(found)


async def test_writes_that_come_together_share_transactions(profiles: Profiles, database: Connection) -> None:
    ids = await create(profiles, 32)
    await asyncio.gather(*(update(profiles, profile_id, description="x") for profile_id in ids))
    assert set((await versions(database)).values()) == {2}
    assert await transactions(database, "updated") <= 6
    await asyncio.gather(*(profiles.delete(ALICE, profile_id, anything) for profile_id in ids))
    assert await versions(database) == {}
    assert await transactions(database, "deleted") <= 6


async def test_creations_of_several_owners_share_transactions(
    profiles: Profiles, database: Connection
) -> None:
    authors = [replace(ALICE, owner=f"key:{n}") for n in range(32)]

    async def create_all() -> list[Answer]:
        return await asyncio.gather(
            *(
                profiles.create(author, profile(author.owner, **members(n % 5 + 1)), once(author.owner))
                for n, author in enumerate(authors)
            )
        )

    answers = await create_all()
    assert await transactions(database, "created") <= 6
    for n, (author, answer) in enumerate(zip(authors, answers, strict=True)):
        shown = await read(profiles, author, answer.subject)
        assert (shown.owner, shown.selection) == (author.owner, (n % 5 + 1,))
    again = await create_all()
    assert [answer.body for answer in again] == [answer.body for answer in answers]
    assert all(answer.replayed for answer in again)
    assert len(await database.fetch("SELECT FROM profiles")) == 32


async def test_edits_share_transactions_and_keep_their_members_apart(
    profiles: Profiles, database: Connection
) -> None:
    """Each profile has 1 and 2, loses one of them, and gets another; 99 is unknown."""
    created = [await profiles.create(ALICE, profile(f"P{n}", **members(1, 2)), None) for n in range(12)]

    def edit(n: int) -> MemberEdit:
        wanted = {"add": [f"ins_{n % 3 + 3}", "ins_99"], "remove": [f"ins_{n % 2 + 1}"], "atomic": False}
        return parse_member_edit(wanted)

    def report(shown: ShownProfile, edited: Edited) -> bytes:
        return repr(
            (shown.selection, [(outcome.item.text, str(outcome.result)) for outcome in edited.outcomes])
        ).encode()

    async def edit_all() -> list[Answer]:
        return await asyncio.gather(
            *(
                profiles.edit(ALICE, answer.subject, anything, edit(n), report, once(f"k{n}"))
                for n, answer in enumerate(created)
            )
        )

    answers = await edit_all()
    assert await transactions(database, "updated") <= 4
    for n, answer in enumerate(answers):
        kept, added = 2 - n % 2, n % 3 + 3
        assert (await read(profiles, ALICE, answer.subject)).selection == (kept, added)
        assert str((kept, added)).encode() in answer.body
        assert b"ins_99" in answer.body and b"rejected" in answer.body
    assert [answer.body for answer in await edit_all()] == [answer.body for answer in answers]


async def test_writes_of_one_profile_come_one_after_the_other(profiles: Profiles) -> None:
    (profile_id,) = await create(profiles, 1)

    def append(content: Profile) -> Profile:
        return replace(content, description=content.description + "x")

    await asyncio.gather(*(profiles.update(ALICE, profile_id, anything, append) for _ in range(32)))
    shown = await read(profiles, ALICE, profile_id)
    assert shown.version == 33
    assert b'"' + b"x" * 32 + b'"' in shown.json


async def test_a_large_write_has_a_transaction_of_its_own(profiles: Profiles, database: Connection) -> None:
    ids = await create(profiles, 12)
    change, named = partial(replace, description="x"), range(MANY_INSTRUMENTS + 1)
    await asyncio.gather(*(profiles.update(ALICE, each, anything, change, named) for each in ids))
    assert await transactions(database, "updated") == 12


def failed_writes() -> float:
    """How many writes were in groups that failed."""
    return REGISTRY.get_sample_value("registry_profile_write_group_size_sum", {"result": "failed"}) or 0


async def test_nobody_fails_for_another(profiles: Profiles, database: Connection) -> None:
    """All of these are one group."""
    ids = await create(profiles, 14)

    def broken(_: Profile) -> Profile:
        raise ZeroDivisionError

    bad = {
        NotFound: update(profiles, uuid4(), description="x"),
        PreconditionFailed: profiles.update(ALICE, ids[0], lambda _: False, lambda content: content),
        NameTaken: update(profiles, ids[1], name="P2"),
        InvalidInput: update(profiles, ids[3], instruments=(1, 99)),
        ZeroDivisionError: profiles.update(ALICE, ids[4], anything, broken),
    }
    good = [update(profiles, profile_id, description="x") for profile_id in ids[5:]]
    failed = failed_writes()
    results = await asyncio.gather(*good, *bad.values(), return_exceptions=True)
    assert failed_writes() == failed + 14
    assert [type(result) for result in results[len(good) :]] == list(bad)
    assert results[: len(good)] == [None] * len(good)
    assert await versions(database) == {f"P{n}": 1 if n < 5 else 2 for n in range(14)}
    assert await database.fetchval("SELECT count(*) FROM profile_events") == 14 + len(good)


async def test_what_is_refused_alone_is_tried_once(profiles: Profiles) -> None:
    ids = await create(profiles, 2)
    failed = failed_writes()
    with pytest.raises(NameTaken):
        await update(profiles, ids[0], name="P1")
    assert failed_writes() == failed


async def test_a_group_whose_connection_ends_before_its_commit_is_written(
    profiles: Profiles, database: Connection
) -> None:
    ids = await create(profiles, 6)
    await database.execute(
        """
        CREATE SEQUENCE tries;
        CREATE FUNCTION die_at_first() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF nextval('tries') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER die_at_first AFTER UPDATE ON profiles
            FOR EACH STATEMENT EXECUTE FUNCTION die_at_first();
        """
    )
    await asyncio.gather(*(update(profiles, each, description="x") for each in ids))
    assert set((await versions(database)).values()) == {2}


async def test_nobody_waits_long_for_a_lock_that_another_needs(
    profiles: Profiles, database: Connection
) -> None:
    ids = await create(profiles, 20)
    async with database.transaction():
        await database.execute("SELECT FROM profiles WHERE id = ANY ($1) FOR UPDATE", ids[:8])
        blocked = await each_in_a_group_of_its_own(profiles, ids[:8])
        async with asyncio.timeout(5):
            await asyncio.gather(*(update(profiles, each, description="x") for each in ids[8:]))
        assert not any(task.done() for task in blocked)
    await asyncio.gather(*blocked)
    assert set((await versions(database)).values()) == {2}


async def test_who_has_given_up_is_left_out(profiles: Profiles, database: Connection) -> None:
    ids = await create(profiles, 8)
    async with database.transaction():
        await database.execute("SELECT FROM profiles WHERE id = ANY ($1) FOR UPDATE", ids[:3])
        blocked = await each_in_a_group_of_its_own(profiles, ids[:3])
        waiting = [asyncio.create_task(update(profiles, each, description="x")) for each in ids[3:]]
        await asyncio.sleep(0)
        for task in waiting[1:]:
            task.cancel()
        await waiting[0]
    await asyncio.gather(*blocked)
    assert sorted((await versions(database)).values()) == [1] * 4 + [2] * 4


async def test_a_commit_whose_end_is_not_known_is_not_tried_again(
    profiles: Profiles, database: Connection
) -> None:
    ids = await create(profiles, 3)
    await database.execute(
        """
        CREATE SEQUENCE commits;
        CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM nextval('commits'), pg_terminate_backend(pg_backend_pid());
            RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER die AFTER UPDATE ON profiles DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW WHEN (NEW.description = 'die') EXECUTE FUNCTION die();
        """
    )
    results = await asyncio.gather(
        *(update(profiles, each, description="die") for each in ids), return_exceptions=True
    )
    assert [type(result) for result in results] == [PostgresUnavailable] * 3
    assert await database.fetchval("SELECT last_value FROM commits") <= 3
    assert set((await versions(database)).values()) == {1}
    await update(profiles, ids[0], description="x")


async def test_groups_wait_for_each_others_commits(
    profiles: Profiles, database: Connection, database_url: str, redis_url: str
) -> None:
    """Commits that notify come one after the other; each takes a tenth of a second here."""
    ids = await create(profiles, 6)
    await database.execute(
        "INSERT INTO profile_watches (profile_id, listened_until, told) "
        "SELECT id, now() + interval '1 hour', pg_current_snapshot() FROM profiles"
    )
    name = database_url.rpartition("/")[2]
    for setting in ("commit_delay = 100000", "commit_siblings = 0"):
        await database.execute(f"ALTER DATABASE {name} SET {setting}")
    async with open_profiles(database_url, redis_url, LIMITS) as slow:
        await asyncio.gather(*await each_in_a_group_of_its_own(slow, ids))
    assert set((await versions(database)).values()) == {2}


async def test_nobody_waits_without_end_while_postgres_hangs(
    profiles: Profiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_groups, "MOST_WAIT_S", 0.2)
    ids = await create(profiles, 4)
    async with AsyncExitStack() as stack:
        for _ in range(32):
            await stack.enter_async_context(profiles._postgres.connection())
        blocked = await each_in_a_group_of_its_own(profiles, ids[:3])
        with pytest.raises(PostgresUnavailable, match="does not keep up"):
            await update(profiles, ids[3], description="x")
    await asyncio.gather(*blocked)
    assert (await read(profiles, ALICE, ids[3])).version == 1


async def test_processes_that_write_the_same_profiles_never_block_each_other(
    profiles: Profiles, database_url: str, redis_url: str, database: Connection
) -> None:
    """They rename, in opposite orders, into names that others are leaving."""
    ids = await create(profiles, 8)
    taken = 0

    async def rename(process: Profiles, profile_id: UUID, name: str) -> None:
        nonlocal taken
        try:
            await update(process, profile_id, name=name)
        except NameTaken:
            taken += 1

    async with open_profiles(database_url, redis_url, LIMITS) as other, asyncio.timeout(30):
        for turn in range(20):
            await asyncio.gather(
                *(rename(profiles, each, f"N{(n + turn) % 9}") for n, each in enumerate(ids)),
                *(rename(other, each, f"N{(n * 2 + turn) % 9}") for n, each in enumerate(reversed(ids))),
            )
    events = await database.fetchval("SELECT count(*) FROM profile_events WHERE kind = 'updated'")
    assert sum((await versions(database)).values()) == 8 + events
    assert events > 0 < taken


def doubled(*numbers: int) -> Steps[list[int]]:
    found = []
    for number in numbers:
        ((_, double),) = yield from ask(NUMBERS, n=number)
        found.append(double)
    return found


async def test_a_statement_of_several_writes_is_executed_once(database: Connection) -> None:
    executed: list[str] = []

    def listed(count: int) -> Steps[list[int]]:
        records: Records = yield from ask(SERIES, n=count)
        return [number for _, number in records]

    with database.query_logger(lambda query: executed.append(query.query)):
        outcomes = await carry_out(database, [doubled(1, 2), listed(0), doubled(3), listed(3), doubled()])
        await asyncio.sleep(0)  # the driver logs a moment later
    assert outcomes == [[2, 4], [], [6], [1, 2, 3], []]
    assert executed == [NUMBERS, SERIES, NUMBERS]


async def test_a_refusal_counts_until_something_was_changed(database: Connection) -> None:
    def refused(first: Steps[Records]) -> Steps[list[int]]:
        yield from first
        raise Conflict("no")

    outcomes = await carry_out(database, [refused(ask(NUMBERS, n=1)), doubled(1)])
    assert isinstance(outcomes[0], RegistryError) and outcomes[1] == [2]
    with pytest.raises(Conflict):
        await carry_out(database, [refused(tell(NUMBERS, n=1)), doubled(1)])


async def test_an_error_of_the_driver_is_told_to_a_write_that_is_alone(database: Connection) -> None:
    def dividing() -> Steps[int]:
        try:
            yield Step("SELECT 0 AS place, 1 / (0 * jsonb_array_length($1))", {}, changes=True)
        except Exception as error:
            raise Conflict("translated") from error
        return 1

    with pytest.raises(Conflict, match="translated"):
        await carry_out(database, [dividing()])
    with pytest.raises(Exception, match="division by zero"):
        await carry_out(database, [dividing(), dividing()])

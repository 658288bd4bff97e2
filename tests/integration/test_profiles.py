"""Profiles in Postgres: nothing is lost, doubled or half written, whoever writes at the same time."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from app.domain.errors import (
    Conflict,
    InFlight,
    InvalidInput,
    KeyReused,
    NameTaken,
    NotFound,
    PreconditionFailed,
)
from app.domain.profile import Profile, ProfileLimits, ProfileStatus, parse_profile
from app.store.idempotency import Once
from app.store.postgres import Connection
from app.store.profile_rows import ShownProfile
from app.store.profile_writes import Author
from app.store.profiles import Profiles
from tests.integration.conftest import eventually, open_profiles

LIMITS = ProfileLimits(profiles_per_owner=3, members=10_000, name_length=100)
ALICE = Author("key:alice", False, "key:1", "request-1")
BOB = Author("key:bob", False, "key:2", "request-2")
ADMIN = Author("key:ops", True, "key:3", "request-3")


def profile(name: str = "P", **changes: Any) -> Profile:
    document = {"name": name, "channels": ["trades"], "selection": {"instruments": ["ins_1"]}, **changes}
    return parse_profile(document, LIMITS)


def members(*numbers: int) -> dict[str, Any]:
    return {"selection": {"instruments": [f"ins_{number}" for number in numbers]}}


def once(key: str, body: bytes = b"{}") -> Once:
    return Once("key:1", "POST", "/v1/subscription-profiles", key, hashlib.sha256(body).digest())


def anything(_: int) -> bool:
    return True


async def read(profiles: Profiles, author: Author, profile_id: UUID) -> ShownProfile:
    profile, _ = await profiles.read(author, profile_id)
    return profile


@pytest.fixture
async def profiles(database_url: str, database: Connection, redis_url: str) -> AsyncIterator[Profiles]:
    """Over six instruments, the last of which is delisted."""
    await database.execute(
        "INSERT INTO instruments (symbol, name, asset_class, status) "
        "SELECT 'S' || n, 'N', 'equity', CASE n WHEN 6 THEN 'delisted' ELSE 'active' END "
        "FROM generate_series(1, 6) AS n"
    )
    async with open_profiles(database_url, redis_url, LIMITS) as opened:
        yield opened


@pytest.fixture
async def processes(
    profiles: Profiles, database_url: str, redis_url: str
) -> AsyncIterator[tuple[Profiles, ...]]:
    """Several, which share nothing but the servers."""
    async with (
        open_profiles(database_url, redis_url, LIMITS) as second,
        open_profiles(database_url, redis_url, LIMITS) as third,
    ):
        yield profiles, second, third


async def test_32_writers_with_preconditions_lose_no_update(processes: tuple[Profiles, ...]) -> None:
    answer = await processes[0].create(ALICE, profile(), None)
    successes: list[str] = []

    async def write(writer: int) -> None:
        profiles = processes[writer % len(processes)]
        for turn in range(4):
            description = f"{writer}/{turn}"
            while True:
                known = (await read(profiles, ALICE, answer.subject)).version
                try:
                    await profiles.update(
                        replace(ALICE, request_id=description),
                        answer.subject,
                        known.__eq__,
                        partial(replace, description=description),
                    )
                except PreconditionFailed as error:
                    assert error.version > known
                    continue
                successes.append(description)
                break

    await asyncio.gather(*map(write, range(32)))
    final = await read(processes[0], ALICE, answer.subject)
    assert final.version == len(successes) + 1 == 129
    events = await processes[0].events(ALICE, answer.subject, before=None, limit=1000)
    assert [(event.number, event.version) for event in events] == [(n, n) for n in range(129, 0, -1)]
    changes = [event.detail["changes"]["description"] for event in events[:-1]]
    assert Counter(change["to"] for change in changes) == Counter(successes)
    assert all(newer["from"] == older["to"] for newer, older in pairwise(changes))


async def test_who_waited_for_another_writer_sees_the_members_that_it_left(
    profiles: Profiles, database: Connection
) -> None:
    profile_id = (await profiles.create(ALICE, profile(**members(1, 2)), None)).subject

    async def is_waiting() -> bool:
        return bool(await database.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    async with database.transaction():
        await database.execute("SELECT FROM profiles WHERE id = $1 FOR UPDATE", profile_id)
        change = partial(replace, description="x")
        update = asyncio.create_task(profiles.update(ALICE, profile_id, anything, change))
        await eventually(is_waiting)
        await database.execute(
            "UPDATE profile_members SET instrument_id = 3 WHERE profile_id = $1 AND instrument_id = 2",
            profile_id,
        )
        await database.execute("UPDATE profiles SET version = version + 1 WHERE id = $1", profile_id)
    shown = await update
    assert (shown.version, shown.selection) == (3, (1, 3))


async def test_retries_with_one_key_have_one_effect(
    processes: tuple[Profiles, ...], database: Connection
) -> None:
    async def attempt(profiles: Profiles) -> bytes | None:
        try:
            return (await profiles.create(ALICE, profile(), once("k"))).body
        except InFlight:
            return None

    attempts = (attempt(processes[n % len(processes)]) for n in range(32))
    answers = [body for body in await asyncio.gather(*attempts) if body]
    profiles = processes[0]
    assert len(set(answers)) == 1
    again = await profiles.create(ALICE, profile(), once("k"))
    assert again.replayed and again.body == answers[0]
    assert await database.fetchval("SELECT count(*) FROM profiles") == 1
    with pytest.raises(KeyReused):
        await profiles.create(ALICE, profile(), once("k", b"{ }"))


async def test_a_failed_write_stores_no_answer(profiles: Profiles) -> None:
    with pytest.raises(InvalidInput):
        await profiles.create(ALICE, profile(**members(6)), once("k"))
    assert not (await profiles.create(ALICE, profile(), once("k"))).replayed


async def test_an_expired_answer_is_forgotten(profiles: Profiles, database: Connection) -> None:
    await profiles.create(ALICE, profile("A"), once("k"))
    await database.execute("UPDATE idempotency_records SET expires_at = now()")
    assert not (await profiles.create(ALICE, profile("B"), once("k", b"other"))).replayed
    assert (await profiles.create(ALICE, profile("B"), once("k", b"other"))).replayed


async def test_a_name_is_its_owners_once(profiles: Profiles) -> None:
    first = await profiles.create(ALICE, profile("N"), None)
    await profiles.create(BOB, profile("N"), None)
    with pytest.raises(NameTaken):
        await profiles.create(ALICE, profile("N"), None)
    other = await profiles.create(ALICE, profile("M"), None)
    with pytest.raises(NameTaken):
        await profiles.update(ALICE, other.subject, anything, lambda content: replace(content, name="N"))
    await profiles.delete(ALICE, first.subject, anything)
    await profiles.update(ALICE, other.subject, anything, lambda content: replace(content, name="N"))


async def test_concurrent_creations_do_not_pass_the_limit(profiles: Profiles) -> None:
    results = await asyncio.gather(
        *(profiles.create(ALICE, profile(f"P{n}"), None) for n in range(12)), return_exceptions=True
    )
    refusals = [result for result in results if isinstance(result, BaseException)]
    assert len(refusals) == 9 and all(isinstance(refusal, Conflict) for refusal in refusals)


async def test_another_owners_profile_does_not_exist(profiles: Profiles) -> None:
    mine = (await profiles.create(ALICE, profile(), None)).subject
    for attempt in (
        profiles.read(BOB, mine),
        profiles.events(BOB, mine, before=None, limit=1),
        profiles.update(BOB, mine, anything, lambda content: content),
        profiles.delete(BOB, mine, lambda _: False),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert (await read(profiles, ADMIN, mine)).owner == "key:alice"
    assert len(await profiles.page(ADMIN, owner=None, statuses=["active"], after=None, limit=5)) == 1
    assert await profiles.page(BOB, owner="key:alice", statuses=["active"], after=None, limit=5) == []


async def test_unknown_and_delisted_instruments_are_all_named(profiles: Profiles) -> None:
    with pytest.raises(InvalidInput) as refused:
        await profiles.create(ALICE, profile(**members(1, 99, 6, 2)), None)
    assert [(error.field, error.message) for error in refused.value.errors] == [
        ("selection.instruments[1]", "ins_99 is unknown"),
        ("selection.instruments[2]", "ins_6 is delisted"),
    ]
    assert await profiles.page(ALICE, owner=None, statuses=["active"], after=None, limit=5) == []


@pytest.mark.parametrize(
    "wanted", [(1, 2, 3), (2,), (3, 2, 1), (2, 1, 4), (5,), (1, 2, 4, 5)], ids=lambda wanted: str(wanted)
)
async def test_members_keep_the_order_given(profiles: Profiles, wanted: tuple[int, ...]) -> None:
    created = await profiles.create(ALICE, profile(**members(1, 2, 3)), None)
    await profiles.update(
        ALICE, created.subject, anything, lambda content: replace(content, instruments=wanted)
    )
    assert (await read(profiles, ALICE, created.subject)).selection == wanted


async def test_a_member_that_was_delisted_since_may_stay(profiles: Profiles, database: Connection) -> None:
    created = await profiles.create(ALICE, profile(**members(1, 2)), None)
    await database.execute("UPDATE instruments SET status = 'delisted' WHERE id = 1")
    await profiles.update(
        ALICE, created.subject, anything, lambda content: replace(content, instruments=(1, 2, 3))
    )


async def test_nothing_changed_is_no_change(profiles: Profiles) -> None:
    created = await profiles.create(ALICE, profile(), None)
    written = await profiles.update(ALICE, created.subject, anything, lambda content: content)
    assert written.version == 1
    assert len(await profiles.events(ALICE, created.subject, before=None, limit=9)) == 1


async def test_the_trail_outlives_the_profile_for_its_owner_alone(profiles: Profiles) -> None:
    created = await profiles.create(ALICE, profile(), None)
    await profiles.delete(ALICE, created.subject, anything)
    with pytest.raises(NotFound):
        await profiles.read(ALICE, created.subject)
    for author in (ALICE, ADMIN):
        events = await profiles.events(author, created.subject, before=None, limit=9)
        assert [(event.kind, event.actor) for event in events] == [("deleted", "key:1"), ("created", "key:1")]
    with pytest.raises(NotFound):
        await profiles.events(BOB, created.subject, before=None, limit=9)


async def test_lists_go_through_every_profile_once(profiles: Profiles) -> None:
    ids = [(await profiles.create(ALICE, profile(f"P{n}"), None)).subject for n in range(3)]
    await profiles.update(
        ALICE, ids[1], anything, lambda content: replace(content, status=ProfileStatus.PAUSED)
    )
    both = ["active", "paused"]
    first = await profiles.page(ALICE, owner=None, statuses=both, after=None, limit=2)
    rest = await profiles.page(ALICE, owner=None, statuses=both, after=ids[1], limit=2)
    assert [summary.id for summary in first + rest] == ids
    assert all(f'"id":"prf_{summary.id.hex}"'.encode() in summary.json for summary in first + rest)
    assert len(await profiles.page(ALICE, owner=None, statuses=["paused"], after=None, limit=9)) == 1

"""The steps of writing a profile, each on a connection whose transaction the caller holds."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from secrets import randbits
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from app.domain.errors import (
    Conflict,
    FieldError,
    InvalidInput,
    NameTaken,
    NotFound,
    PreconditionFailed,
)
from app.domain.instrument import public_id
from app.domain.profile import Profile, profile_document
from app.domain.profile_patch import describe_changes
from app.store.postgres import Connection
from app.store.profile_rows import StoredProfile, column_values, content_of, public_profile_id, stored_profile
from app.store.statements import Statements

SQL = Statements("profiles.sql")


@dataclass(frozen=True, slots=True)
class Author:
    """Who reads or writes: an owner, or (`sees_all`) somebody who may cross owners."""

    owner: str
    sees_all: bool
    actor: str
    request_id: str

    def sees(self, owner: str) -> bool:
        return self.sees_all or owner == self.owner


async def insert_profile(
    connection: Connection, author: Author, content: Profile, max_profiles: int
) -> StoredProfile:
    """Raises InvalidInput, Conflict or NameTaken."""
    await connection.execute(SQL["lock_owner"], author.owner)
    if await connection.fetchval(SQL["count_of_owner"], author.owner) >= max_profiles:
        raise Conflict(f"you have {max_profiles} profiles, the most that are allowed; delete one first")
    members = content.instruments or ()
    await refuse_unusable(connection, members, members)
    detail = _detail(profile=profile_document(content))
    stored = await _store(connection, SQL["insert"], (_new_id(), author.owner), content, author, detail)
    await connection.execute(SQL["add_members"], stored.id, members)
    return stored


async def lock_profile(
    connection: Connection, author: Author, profile_id: UUID, accepts: Callable[[int], bool]
) -> StoredProfile:
    """The profile, which nobody else writes until the transaction ends.

    Raises NotFound, and PreconditionFailed unless `accepts` its version.
    """
    record = await connection.fetchrow(SQL["lock"], profile_id)
    if record is not None and record["version"] != record["version_of_members"]:
        record = await connection.fetchrow(SQL["read"], profile_id)  # under the lock this stays
    stored = _stored(record)
    if stored is None or not author.sees(stored.owner):
        raise no_such_profile(profile_id)
    if not accepts(stored.version):
        raise PreconditionFailed(stored.version)
    return stored


async def find_profile(connection: Connection, profile_id: UUID) -> StoredProfile | None:
    return _stored(await connection.fetchrow(SQL["read"], profile_id))


async def update_profile(
    connection: Connection, author: Author, before: StoredProfile, content: Profile
) -> StoredProfile:
    """What changes nothing is not a change. Raises NameTaken."""
    changes = describe_changes(before.content, content)
    if not changes:
        return before
    detail = _detail(changes=changes)
    stored = await _store(connection, SQL["update"], (before.id,), content, author, detail)
    await _write_members(connection, before.id, before.content.instruments or (), content.instruments or ())
    return stored


async def delete_profile(connection: Connection, author: Author, stored: StoredProfile) -> None:
    """The profile's events stay."""
    detail = _detail(profile=profile_document(stored.content))
    await connection.execute(SQL["record_deletion"], stored.id, author.actor, author.request_id, detail)
    await connection.execute(SQL["delete"], stored.id)


async def unusable_instruments(connection: Connection, numbers: Sequence[int]) -> dict[int, str]:
    """Which of the numbers are not those of living instruments, and what they are instead."""
    if not numbers:
        return {}
    records = await connection.fetch(SQL["unusable_instruments"], numbers)
    return {record["number"]: record["status"] or "unknown" for record in records}


async def refuse_unusable(connection: Connection, numbers: Sequence[int], members: Sequence[int]) -> None:
    """Raises InvalidInput naming every one of `numbers` that is unknown or delisted, by its place."""
    unusable = await unusable_instruments(connection, numbers)
    if unusable:
        raise InvalidInput(
            *(
                FieldError(f"selection.instruments[{place}]", f"{public_id(number)} is {unusable[number]}")
                for place, number in enumerate(members)
                if number in unusable
            )
        )


def no_such_profile(profile_id: UUID) -> NotFound:
    return NotFound(f"there is no profile {public_profile_id(profile_id)}")


def _stored(record: asyncpg.Record | None) -> StoredProfile | None:
    return None if record is None else stored_profile(record, content_of(record))


async def _store(
    connection: Connection,
    statement: str,
    identity: tuple[object, ...],
    content: Profile,
    author: Author,
    detail: str,
) -> StoredProfile:
    """Insert or update a profile's row together with its event. Raises NameTaken."""
    arguments = *identity, *column_values(content), author.actor, author.request_id, detail
    try:
        (record,) = await connection.fetch(statement, *arguments)
    except asyncpg.UniqueViolationError as error:
        raise NameTaken(content.name) from error
    return stored_profile(record, content)


async def _write_members(
    connection: Connection, profile_id: UUID, old: Sequence[int], new: Sequence[int]
) -> None:
    """Make `new` the members in that order, moving none that need not move."""
    if old == new:
        return
    staying = set(new)
    kept = [number for number in old if number in staying]
    if kept == list(new[: len(kept)]):
        removed, added = [number for number in old if number not in staying], new[len(kept) :]
        if removed:
            await connection.execute(SQL["remove_members"], profile_id, removed)
    else:
        await connection.execute(SQL["remove_members"], profile_id, None)
        added = new
    if added:
        await connection.execute(SQL["add_members"], profile_id, added)


def _detail(**values: Any) -> str:
    return orjson.dumps(values).decode()


def _new_id() -> UUID:
    """A UUID of version 7 (RFC 9562, section 5.7): grows with time, and tells nobody how many there are."""
    milliseconds = time.time_ns() // 1_000_000
    return UUID(int=milliseconds << 80 | 0x7 << 76 | randbits(12) << 64 | 0b10 << 62 | randbits(62))

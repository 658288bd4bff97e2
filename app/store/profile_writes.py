"""The steps of writing a profile, each on a connection whose transaction the caller holds."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from secrets import randbits
from typing import Any, Final
from uuid import UUID

import asyncpg

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
from app.store.steps import Steps, ask, ask_one, tell

SQL = Statements("profiles.sql")
_NAMES: Final = "profiles_name_owner"
"""The index that holds each owner's names apart."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who reads or writes: an owner, or (`sees_all`) somebody who may cross owners."""

    owner: str
    sees_all: bool
    actor: str
    request_id: str

    def sees(self, owner: str) -> bool:
        return self.sees_all or owner == self.owner


def insert_profile(author: Author, content: Profile, max_profiles: int) -> Steps[StoredProfile]:
    """Raises InvalidInput, Conflict or NameTaken."""
    yield from ask(SQL["lock_owner"], owner=author.owner)
    counted = yield from ask_one(SQL["count_of_owner"], owner=author.owner)
    if counted is None or counted["profiles"] >= max_profiles:
        raise Conflict(f"you have {max_profiles} profiles, the most that are allowed; delete one first")
    members = content.instruments or ()
    yield from refuse_unusable(members, members)
    detail = {"profile": profile_document(content)}
    identity = {"profile": _new_id(), "owner": author.owner, "added": members}
    return (yield from _store(SQL["insert"], identity, content, author, detail))


def lock_profile(author: Author, profile_id: UUID, accepts: Callable[[int], bool]) -> Steps[StoredProfile]:
    """The profile, which nobody else writes until the transaction ends.

    Raises NotFound, and PreconditionFailed unless `accepts` its version.
    """
    record = yield from ask_one(SQL["lock"], profile=profile_id)
    if record is not None and record["version"] != record["version_of_members"]:
        record = yield from ask_one(SQL["lock"], profile=profile_id)  # under the lock it stays
    stored = _stored(record)
    if stored is None or not author.sees(stored.owner):
        raise no_such_profile(profile_id)
    if not accepts(stored.version):
        raise PreconditionFailed(stored.version)
    return stored


async def find_profile(connection: Connection, profile_id: UUID) -> StoredProfile | None:
    return _stored(await connection.fetchrow(SQL["read"], profile_id))


def update_profile(author: Author, before: StoredProfile, content: Profile) -> Steps[StoredProfile]:
    """What changes nothing is not a change. Raises NameTaken."""
    changes = describe_changes(before.content, content)
    if not changes:
        return before
    removed, added = _moved(before.content.instruments or (), content.instruments or ())
    if not set(removed).isdisjoint(added):
        yield from tell(SQL["remove_members"], profile=before.id, removed=removed)
        removed = ()
    identity = {"profile": before.id, "removed": removed, "added": added}
    return (yield from _store(SQL["update"], identity, content, author, {"changes": changes}))


def delete_profile(author: Author, stored: StoredProfile) -> Steps[None]:
    """The profile's events stay."""
    detail = {"profile": profile_document(stored.content)}
    yield from tell(SQL["record_deletion"], profile=stored.id, **_authorship(author), detail=detail)
    yield from tell(SQL["delete"], profile=stored.id)


def unusable_instruments(numbers: Sequence[int]) -> Steps[dict[int, str]]:
    """Which of the numbers are not those of living instruments, and what they are instead."""
    if not numbers:
        return {}
    records = yield from ask(SQL["unusable_instruments"], numbers=numbers)
    return {record["number"]: record["status"] or "unknown" for record in records}


def refuse_unusable(numbers: Sequence[int], members: Sequence[int]) -> Steps[None]:
    """Raises InvalidInput naming every one of `numbers` that is unknown or delisted, by its place."""
    unusable = yield from unusable_instruments(numbers)
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


def _store(
    statement: str, identity: dict[str, object], content: Profile, author: Author, detail: dict[str, Any]
) -> Steps[StoredProfile]:
    """Insert or update a profile's row together with its members and its event. Raises NameTaken."""
    row = {**identity, **column_values(content), **_authorship(author), "detail": detail}
    try:
        (record,) = yield from tell(statement, **row)
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != _NAMES:
            raise
        raise NameTaken(content.name) from error
    return stored_profile(record, content)


def _moved(old: Sequence[int], new: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
    """Which members are to be removed, and which then added, so that `new` are the members in that order.

    None is moved that need not move.
    """
    if old == new:
        return (), ()
    staying = set(new)
    kept = [number for number in old if number in staying]
    if kept == list(new[: len(kept)]):
        return [number for number in old if number not in staying], new[len(kept) :]
    return old, new


def _authorship(author: Author) -> dict[str, str]:
    return {"actor": author.actor, "request_id": author.request_id}


def _new_id() -> UUID:
    """A UUID of version 7 (RFC 9562, section 5.7): grows with time, and tells nobody how many there are."""
    milliseconds = time.time_ns() // 1_000_000
    return UUID(int=milliseconds << 80 | 0x7 << 76 | randbits(12) << 64 | 0b10 << 62 | randbits(62))

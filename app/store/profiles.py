"""Subscription profiles in Postgres: every write is one transaction with its event and its stored answer.

Writers of one profile take its row's lock in turn, so versions and event numbers become visible in
their order, and a lost race is seen before anything is written.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from secrets import randbits
from typing import Any, Final
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
from app.domain.profile import Profile, ProfileLimits, describe_changes, profile_document
from app.store.idempotency import Answer, Once, find_answer, remember_answer
from app.store.postgres import Connection, Postgres
from app.store.profile_rows import (
    ProfileEvent,
    ProfileSummary,
    StoredProfile,
    column_values,
    content_of,
    event_of,
    profile_summary,
    public_profile_id,
    stored_profile,
)
from app.store.statements import Statements

SQL: Final = Statements("profiles.sql")
_FIRST_ID: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Author:
    """Who reads or writes: an owner, or (`sees_all`) somebody who may cross owners."""

    owner: str
    sees_all: bool
    actor: str
    request_id: str


class Profiles:
    """Methods raise PostgresUnavailable, and NotFound for what the author may not see."""

    def __init__(self, postgres: Postgres, limits: ProfileLimits) -> None:
        self._postgres = postgres
        self.limits = limits

    async def create(self, author: Author, content: Profile, once: Once | None) -> Answer:
        """Store a new profile. Raises InvalidInput, Conflict, NameTaken, InFlight or KeyReused."""
        async with self._postgres.connection() as connection, connection.transaction():
            if once is not None and (done := await find_answer(connection, once)) is not None:
                return done
            await connection.execute(SQL["lock_owner"], author.owner)
            if (
                await connection.fetchval(SQL["count_of_owner"], author.owner)
                >= self.limits.profiles_per_owner
            ):
                raise Conflict(
                    f"you have {self.limits.profiles_per_owner} profiles, the most that are allowed; "
                    "delete one first"
                )
            members = content.instruments or ()
            await _refuse_unusable(connection, members, members)
            detail = _detail(profile=profile_document(content))
            stored = await _store(
                connection, SQL["insert"], (_new_id(), author.owner), content, author, detail
            )
            await connection.execute(SQL["add_members"], stored.id, members)
            answer = Answer(stored.id, stored.version, stored.json)
            if once is not None:
                await remember_answer(connection, once, answer)
        return answer

    async def update(
        self,
        author: Author,
        profile_id: UUID,
        accepts: Callable[[int], bool],
        change: Callable[[Profile], Profile],
    ) -> StoredProfile:
        """Replace a profile's content by what `change` makes of it; what changes nothing is not a change.

        `accepts` tells of a version whether the author knew it. Raises PreconditionFailed, InvalidInput
        or NameTaken, and whatever `change` raises.
        """
        async with self._postgres.connection() as connection, connection.transaction():
            stored = await _lock(connection, author, profile_id, accepts)
            return await _write(connection, author, stored, change(stored.content))

    async def delete(self, author: Author, profile_id: UUID, accepts: Callable[[int], bool]) -> None:
        """Raises PreconditionFailed. The profile's events stay."""
        async with self._postgres.connection() as connection, connection.transaction():
            stored = await _lock(connection, author, profile_id, accepts)
            detail = _detail(profile=profile_document(stored.content))
            await connection.execute(
                SQL["record_deletion"], profile_id, author.actor, author.request_id, detail
            )
            await connection.execute(SQL["delete"], profile_id)

    async def read(self, author: Author, profile_id: UUID) -> StoredProfile:
        async with self._postgres.connection() as connection:
            return await _read(connection, author, profile_id)

    async def page(
        self, author: Author, *, owner: str | None, statuses: Sequence[str], after: UUID | None, limit: int
    ) -> list[ProfileSummary]:
        """Up to `limit` profiles beyond the id `after`, without their members.

        `owner` None: of all owners where the author may see them, else of the author.
        """
        if not author.sees_all:
            owner = author.owner
        arguments = list(statuses), after or _FIRST_ID, limit
        async with self._postgres.connection() as connection:
            records = (
                await connection.fetch(SQL["page"], *arguments)
                if owner is None
                else await connection.fetch(SQL["page_of_owner"], owner, *arguments)
            )
        return [profile_summary(record) for record in records]

    async def events(
        self, author: Author, profile_id: UUID, *, before: int | None, limit: int
    ) -> list[ProfileEvent]:
        """The newest events with a number below `before`, newest first; of a deleted profile too."""
        async with self._postgres.connection() as connection:
            records = await connection.fetch(SQL["events"], profile_id, before, limit)
            if not records:  # beyond the last, or nothing of this author's
                await _read(connection, author, profile_id)
        if any(record["owner"] != author.owner for record in records) and not author.sees_all:
            raise _not_found(profile_id)
        return [event_of(record) for record in records]


async def _lock(
    connection: Connection, author: Author, profile_id: UUID, accepts: Callable[[int], bool]
) -> StoredProfile:
    """The profile, which nobody else writes until the transaction ends. Raises PreconditionFailed."""
    await connection.execute(SQL["lock"], profile_id)
    stored = await _read(connection, author, profile_id)
    if not accepts(stored.version):
        raise PreconditionFailed(stored.version)
    return stored


async def _read(connection: Connection, author: Author, profile_id: UUID) -> StoredProfile:
    record = await connection.fetchrow(SQL["read"], profile_id)
    if record is None or (record["owner"] != author.owner and not author.sees_all):
        raise _not_found(profile_id)
    return stored_profile(record, content_of(record))


async def _write(
    connection: Connection, author: Author, before: StoredProfile, content: Profile
) -> StoredProfile:
    changes = describe_changes(profile_document(before.content), profile_document(content))
    if not changes:
        return before
    old, new = before.content.instruments or (), content.instruments or ()
    known = set(old)
    await _refuse_unusable(connection, [number for number in new if number not in known], new)
    detail = _detail(changes=changes)
    stored = await _store(connection, SQL["update"], (before.id,), content, author, detail)
    await _write_members(connection, before.id, old, new)
    return stored


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


async def _refuse_unusable(connection: Connection, numbers: Sequence[int], members: Sequence[int]) -> None:
    """Raises InvalidInput naming every one of `numbers` that is unknown or delisted, by its place."""
    if not numbers:
        return
    records = await connection.fetch(SQL["unusable_instruments"], numbers)
    if records:
        places = {number: place for place, number in enumerate(members)}
        raise InvalidInput(
            *(
                FieldError(
                    f"selection.instruments[{places[record['number']]}]",
                    f"{public_id(record['number'])} is {record['status'] or 'unknown'}",
                )
                for record in sorted(records, key=lambda record: places[record["number"]])
            )
        )


def _detail(**values: Any) -> str:
    return orjson.dumps(values).decode()


def _new_id() -> UUID:
    """A UUID of version 7 (RFC 9562, section 5.7): grows with time, and tells nobody how many there are."""
    milliseconds = time.time_ns() // 1_000_000
    return UUID(int=milliseconds << 80 | 0x7 << 76 | randbits(12) << 64 | 0b10 << 62 | randbits(62))


def _not_found(profile_id: UUID) -> NotFound:
    return NotFound(f"there is no profile {public_profile_id(profile_id)}")

"""Subscription profiles: writes through to Postgres, reads from their copies in Redis where those are right.

Every write is committed together with its event and its stored answer, under load with other writes (see
`app.store.write_groups`). Writers of one profile take its row's lock in turn, so versions and event numbers
become visible in their order, and a lost race is seen before anything is written. The commit is the
acknowledgement.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from app import metrics
from app.domain.errors import Conflict, PostgresUnavailable
from app.domain.member_edit import Edited, MemberEdit, edit_members
from app.domain.profile import Profile, ProfileLimits
from app.store.idempotency import Answer, Once, find_answer, remember_answer
from app.store.postgres import Connection, Postgres
from app.store.profile_copies import Gap, ProfileCopies, Written
from app.store.profile_rows import (
    ProfileEvent,
    ProfileSummary,
    ShownProfile,
    StoredProfile,
    event_of,
    profile_summary,
)
from app.store.profile_writes import (
    SQL,
    Author,
    delete_profile,
    find_profile,
    insert_profile,
    lock_profile,
    no_such_profile,
    refuse_unusable,
    unusable_instruments,
    update_profile,
)
from app.store.source import Source
from app.store.steps import Steps
from app.store.write_groups import Write, WriteGroups

MANY_INSTRUMENTS: Final = 1_000
"""A write that names more has a transaction of its own."""
DOUBT_S: Final = 1.0
"""How long Postgres is waited for when it did not answer lately and there is a copy."""

_READS: Final = {source: metrics.PROFILE_READS.labels(source) for source in (Source.REDIS, Source.POSTGRES)}
_FIRST_ID: Final = UUID(int=0)


class Profiles:
    """Methods raise PostgresUnavailable, and NotFound for what the author may not see."""

    def __init__(self, postgres: Postgres, copies: ProfileCopies, limits: ProfileLimits) -> None:
        self._postgres = postgres
        self._copies = copies
        self._groups = WriteGroups(postgres, copies)
        self.limits = limits

    @property
    def copies_are_readable(self) -> bool:
        """Whether profiles are read from Redis at this moment, rather than from Postgres."""
        return self._copies.are_readable

    async def create(self, author: Author, content: Profile, once: Once | None) -> Answer:
        """Store a new profile. Raises InvalidInput, Conflict, NameTaken, InFlight or KeyReused."""

        def steps() -> Steps[tuple[Answer, Written | None]]:
            if once is not None and (done := (yield from find_answer(once))) is not None:
                return done, None
            stored = yield from insert_profile(author, content, self.limits.profiles_per_owner)
            shown = stored.shown
            answer = Answer(shown.id, shown.version, shown.json)
            if once is not None:
                yield from remember_answer(once, answer)
            return answer, Written(shown.id, shown.version, shown, is_new=True)

        return await self._groups.do(Write(steps, author.owner, _is_large(content.instruments or ())))

    async def update(
        self,
        author: Author,
        profile_id: UUID,
        accepts: Callable[[int], bool],
        change: Callable[[Profile], Profile],
        named: Sequence[object] = (),
    ) -> ShownProfile:
        """Replace a profile's content by what `change` makes of it; what changes nothing is not a change.

        `accepts` tells of a version whether the author knew it; `named` are the instruments that the
        author names. Raises PreconditionFailed, InvalidInput or NameTaken, and whatever `change` raises.
        """

        def steps() -> Steps[tuple[ShownProfile, Written | None]]:
            before = yield from lock_profile(author, profile_id, accepts)
            content = change(before.content)
            if content.instruments != before.content.instruments:
                old, new = set(before.content.instruments or ()), content.instruments or ()
                yield from refuse_unusable([number for number in new if number not in old], new)
            return (yield from _update(author, before, content))

        return await self._groups.do(Write(steps, profile_id, _is_large(named)))

    async def edit(
        self,
        author: Author,
        profile_id: UUID,
        accepts: Callable[[int], bool],
        edit: MemberEdit,
        report: Callable[[ShownProfile, Edited], bytes],
        once: Once | None,
    ) -> Answer:
        """Add and remove listed members, and answer with a `report` of it.

        Raises PreconditionFailed, InFlight, KeyReused, Conflict for a dynamic profile, and InvalidInput
        naming every item that is refused where the edit is atomic.
        """

        def steps() -> Steps[tuple[Answer, Written | None]]:
            if once is not None and (done := (yield from find_answer(once))) is not None:
                return done, None
            before = yield from lock_profile(author, profile_id, accepts)
            members = before.content.instruments
            if members is None:
                raise Conflict(
                    "this profile's instruments are those of a saved search; change its selection instead"
                )
            known = set(members)
            added = [item.number for item in edit.add if item.number is not None and item.number not in known]
            unusable = yield from unusable_instruments(added)
            edited = edit_members(edit, members, unusable, self.limits.members)
            content = replace(before.content, instruments=edited.members)
            shown, written = yield from _update(author, before, content)
            answer = Answer(profile_id, shown.version, report(shown, edited))
            if once is not None:
                yield from remember_answer(once, answer)
            return answer, written

        return await self._groups.do(Write(steps, profile_id, _is_large((*edit.add, *edit.remove))))

    async def delete(self, author: Author, profile_id: UUID, accepts: Callable[[int], bool]) -> None:
        """Raises PreconditionFailed. The profile's events stay."""

        def steps() -> Steps[tuple[None, Written]]:
            stored = yield from lock_profile(author, profile_id, accepts)
            yield from delete_profile(author, stored)
            return None, Written(profile_id, stored.version + 1, None)

        await self._groups.do(Write(steps, profile_id))

    async def read(self, author: Author, profile_id: UUID) -> tuple[ShownProfile, Source]:
        """The profile as it is now, and where that was read.

        While Postgres does not answer: as Redis had it when Postgres last did.
        """
        profile, source = await self._find(profile_id)
        _READS[source].inc()
        return _visible(author, profile_id, profile), source

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
                _visible(author, profile_id, await _read(connection, profile_id))
        if not all(author.sees(record["owner"]) for record in records):
            raise no_such_profile(profile_id)
        return [event_of(record) for record in records]

    async def _find(self, profile_id: UUID) -> tuple[ShownProfile | None, Source]:
        found = await self._copies.find(profile_id)
        if isinstance(found, ShownProfile):
            return found, Source.REDIS
        last = await self._copies.find_last(profile_id) if self._copies.postgres_is_away else None
        try:
            async with asyncio.timeout(None if last is None else DOUBT_S):
                return await self._read_and_fill(profile_id, found), Source.POSTGRES
        except (PostgresUnavailable, TimeoutError):
            last = last or await self._copies.find_last(profile_id)
            if last is None:
                raise
            return last, Source.REDIS

    async def _read_and_fill(self, profile_id: UUID, gap: Gap | None) -> ShownProfile | None:
        async with self._postgres.connection() as connection:
            if gap is None or not gap.is_mark:
                current = await _read(connection, profile_id)
                if gap is not None:
                    await self._copies.fill(gap, current)
                return current
            async with connection.transaction():
                # No row: it is gone, or somebody is writing it, and will settle the mark.
                is_locked = await connection.fetchval(SQL["lock_unless_being_written"], profile_id)
                current = await _read(connection, profile_id)
                if is_locked:
                    await self._copies.fill(gap, current)
                return current


def _is_large(named: Sequence[object]) -> bool:
    return len(named) > MANY_INSTRUMENTS


def _update(
    author: Author, before: StoredProfile, content: Profile
) -> Steps[tuple[ShownProfile, Written | None]]:
    shown = (yield from update_profile(author, before, content)).shown
    changed = shown.version != before.version
    return shown, Written(shown.id, shown.version, shown) if changed else None


async def _read(connection: Connection, profile_id: UUID) -> ShownProfile | None:
    stored = await find_profile(connection, profile_id)
    return None if stored is None else stored.shown


def _visible(author: Author, profile_id: UUID, profile: ShownProfile | None) -> ShownProfile:
    if profile is None or not author.sees(profile.owner):
        raise no_such_profile(profile_id)
    return profile

"""Copies of profiles in Redis, finished for sending; where there is none to be trusted, Postgres answers.

Under a profile's key stands one of three things, or nothing:

- a *copy*, with its version and owner;
- a *mark*: a write is about to commit, has committed, or its writer died before it said so;
- a *claim*: a reader that found nothing reads Postgres, and puts the copy there if its claim still stands.

A writer marks as the last step before its commit, under the lock of the profile's row, and settles the mark
afterwards. Whoever finds a mark reads Postgres, and puts the copy in its place while it holds the row's
lock, so that no writer is between its mark and its commit. Marks and claims carry a random token: nobody
replaces another's.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_bytes
from typing import Any, Final
from uuid import UUID

import structlog

from app.domain.errors import RedisUnavailable
from app.store.copy_epochs import CopyEpochs, Epoch
from app.store.copy_server import CopyServer
from app.store.postgres import Connection, Postgres
from app.store.profile_rows import ShownProfile
from app.store.redis import script_text

COPY_LIVES_MS: Final = 3_600_000
CLAIM_LIVES_MS: Final = 10_000

_COPY: Final = b"copy"
_MARK: Final = b"mark\0"
_CLAIM: Final = b"claim\0"

log = structlog.get_logger(__name__)


class MarkFailed(Exception):
    """The copy cannot be marked, so its epoch must be distrusted before the write is tried again."""


@dataclass(frozen=True, slots=True)
class Written:
    """A change that a transaction is about to commit; `profile` None: the profile is gone."""

    profile_id: UUID
    version: int
    profile: ShownProfile | None
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """What a writer left under a key before its commit."""

    key: str
    redis_run_id: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Gap:
    """What a reader may replace by a copy: its own claim, or a writer's mark."""

    key: str
    redis_run_id: str
    value: bytes

    @property
    def is_mark(self) -> bool:
        return self.value.startswith(_MARK)


class ProfileCopies:
    def __init__(self, server: CopyServer, epochs: CopyEpochs) -> None:
        self._server = server
        self._epochs = epochs

    @property
    def are_readable(self) -> bool:
        return self._epochs.are_copies_read

    @property
    def postgres_is_away(self) -> bool:
        """Whether Postgres did not answer when it was last asked which copies may be read."""
        return self._epochs.postgres_is_away

    async def find(self, profile_id: UUID) -> ShownProfile | Gap | None:
        """The copy; or what to `fill` after reading Postgres; or None: Postgres alone knows."""
        epoch = self._epochs.readable
        if epoch is None:
            return None
        key, run_id = _key(epoch, profile_id), epoch.redis_run_id
        try:
            found: bytes | None = await self._server.execute(run_id, "GET", key)
            if found is None:
                claim = _CLAIM + token_bytes(16)
                claimed = await self._server.execute(run_id, "SET", key, claim, "NX", "PX", CLAIM_LIVES_MS)
                return Gap(key, run_id, claim) if claimed else None
        except RedisUnavailable:
            return None
        if found.startswith(_MARK):
            return Gap(key, run_id, found)
        return _decode(profile_id, found) if self._epochs.readable == epoch else None

    async def find_last(self, profile_id: UUID) -> ShownProfile | None:
        """The copy as it was readable when Postgres last answered; for while it does not."""
        epoch = self._epochs.last_readable
        if epoch is None:
            return None
        try:
            found: bytes | None = await self._server.execute(
                epoch.redis_run_id, "GET", _key(epoch, profile_id)
            )
        except RedisUnavailable:
            return None
        return None if found is None else _decode(profile_id, found)

    async def fill(self, gap: Gap, profile: ShownProfile | None) -> None:
        """Replace what was found by what Postgres said since; None: there is no such profile.

        For a mark, the caller holds a lock of the profile's row.
        """
        copy = b"" if profile is None else _encode(profile)
        try:
            await self._run_script(gap.redis_run_id, "fill_profile_copy", gap.key, gap.value, copy)
        except RedisUnavailable as error:
            _left_to_readers(error)

    @property
    def epoch(self) -> Epoch | None:
        """What a writer may take for the epoch, if its commit requires that it still is."""
        return self._epochs.readable

    async def join(self, connection: Connection) -> Epoch:
        """The epoch, which stays until the transaction ends."""
        return await self._epochs.join(connection)

    async def mark(self, epoch: Epoch, writes: Sequence[Written | None]) -> list[Mark | None]:
        """Announce the commit of these, which follows at once. Raises MarkFailed.

        None for what changed nothing, and where no copy is read.
        """
        return await asyncio.gather(*(self._mark(epoch, written) for written in writes))

    async def distrust(self, postgres: Postgres) -> None:
        """After MarkFailed, and outside of any transaction: have no copies read by anybody."""
        async with postgres.connection() as connection:
            await self._epochs.distrust(connection)

    def settle(self, mark: Mark, written: Written) -> None:
        """Have the mark replaced by what was committed; nobody waits for that.

        Readers of this process find the copy, as they ask after it; others may still find the mark.
        """
        copy = b"" if written.profile is None else _encode(written.profile)
        try:
            settled = self._run_script(
                mark.redis_run_id, "settle_profile_copy", mark.key, mark.value, written.version, copy
            )
        except RedisUnavailable as error:
            _left_to_readers(error)
        else:
            settled.add_done_callback(_tell_failure)

    async def _mark(self, epoch: Epoch, written: Written | None) -> Mark | None:
        """A new profile has no copy that could be wrong, so it may go without."""
        if written is None:
            return None
        if epoch.suspended:
            if written.is_new or self._epochs.is_distrusted(epoch):
                return None
            raise MarkFailed
        mark = Mark(_key(epoch, written.profile_id), epoch.redis_run_id, _MARK + token_bytes(16))
        try:
            await self._server.execute(mark.redis_run_id, "SET", mark.key, mark.value, "PX", COPY_LIVES_MS)
        except RedisUnavailable as error:
            if written.is_new:
                return None
            raise MarkFailed from error
        return mark

    def _run_script(
        self, run_id: str, script: str, key: str, *arguments: bytes | int
    ) -> "asyncio.Future[Any]":
        return self._server.execute(run_id, "EVAL", script_text(script), 1, key, *arguments, COPY_LIVES_MS)


def _tell_failure(settled: "asyncio.Future[Any]") -> None:
    if (error := settled.exception()) is not None:
        _left_to_readers(error)


def _left_to_readers(error: BaseException) -> None:
    """A mark or a claim stays, which sends readers to Postgres."""
    log.warning("a profile's copy is left to its readers", reason=str(error))


def _key(epoch: Epoch, profile_id: UUID) -> str:
    return f"ir:profile:{epoch.number}:{profile_id.hex}"


def _encode(profile: ShownProfile) -> bytes:
    return b"%b\0%d\0%b\0%b" % (_COPY, profile.version, profile.owner.encode(), profile.json)


def _decode(profile_id: UUID, value: bytes) -> ShownProfile | None:
    """The profile of a copy; None for a mark or a claim."""
    if not value.startswith(_COPY):
        return None
    _, version, owner, json = value.split(b"\0", 3)
    return ShownProfile(profile_id, owner.decode(), int(version), json)

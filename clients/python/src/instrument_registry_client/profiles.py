"""Subscription profiles: ETags are read and sent, retries have no second effect, lost races are run again."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Final
from urllib.parse import quote
from uuid import uuid4

from instrument_registry_client import streams
from instrument_registry_client.errors import IncompleteAnswer, NotAllowed, NotFound, PreconditionFailed
from instrument_registry_client.models import (
    Instrument,
    MemberEditReport,
    Profile,
    ProfileDocument,
    ProfileEvent,
    ProfileEvents,
    ProfileList,
    ProfilePatch,
    ProfileStatus,
    ProfileSummary,
    ResolvedInstruments,
)
from instrument_registry_client.results import Event, Versioned
from instrument_registry_client.transport import Answer, Transport

PATH: Final = "/v1/subscription-profiles"
_EVENTS_LOOKED_AT: Final = 100


class Profiles:
    """Raises ClientError from every method."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(
        self, document: ProfileDocument, *, idempotency_key: str | None = None
    ) -> Versioned[Profile]:
        """A new profile. Without a key of the caller's the client makes one: its own retries create one."""
        return _versioned(
            await self._transport.send(
                "POST",
                PATH,
                document=document,
                headers={"Idempotency-Key": idempotency_key or str(uuid4())},
                repeatable=True,
            )
        )

    async def read(self, profile_id: str) -> Versioned[Profile]:
        return _versioned(await self._transport.get(_path(profile_id)))

    async def list_page(
        self,
        *,
        status: ProfileStatus | None = None,
        owner: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> ProfileList:
        """Profiles in the order of creation, without what they select."""
        asked = {"status": status, "owner": owner, "limit": limit, "cursor": cursor}
        found: ProfileList = (await self._transport.get(PATH, asked)).json()
        return found

    async def list_all(
        self, *, status: ProfileStatus | None = None, owner: str | None = None
    ) -> AsyncIterator[ProfileSummary]:
        cursor = None
        while True:
            page = await self.list_page(status=status, owner=owner, cursor=cursor)
            for profile in page["profiles"]:
                yield profile
            if (cursor := page["next_cursor"]) is None:
                return

    async def replace(self, profile_id: str, document: ProfileDocument, *, etag: str) -> Versioned[Profile]:
        """The profile as it is now. Raises PreconditionFailed where it is not of version `etag` any more."""
        return await self._write("PUT", profile_id, document, etag)

    async def patch(self, profile_id: str, changes: ProfilePatch, *, etag: str) -> Versioned[Profile]:
        """As `replace`, by a merge patch (RFC 7396)."""
        return await self._write("PATCH", profile_id, changes, etag)

    async def edit(
        self, profile_id: str, change: Callable[[Profile], ProfilePatch | None], *, attempts: int = 10
    ) -> Versioned[Profile]:
        """Read, change and write: `change` gets the profile and returns a patch, None for nothing to do.

        When somebody else writes in between, `change` is called again with what there is then. Raises
        PreconditionFailed when the race was lost `attempts` times, and what `change` raises.
        """
        for attempt in range(1, attempts + 1):
            current = await self.read(profile_id)
            changes = change(current.value)
            if changes is None:
                return current
            try:
                return await self.patch(profile_id, changes, etag=current.etag)
            except PreconditionFailed:
                if attempt == attempts:
                    raise
            await asyncio.sleep(self._transport.retries.wait_s(attempt, None))
        raise ValueError("attempts must be at least 1")

    async def delete(self, profile_id: str, *, etag: str) -> None:
        request_id = uuid4().hex
        try:
            await self._transport.send(
                "DELETE",
                _path(profile_id),
                headers={"If-Match": etag},
                request_id=request_id,
                repeatable=True,
            )
        except NotFound:
            if not await self._carried_out(profile_id, request_id):
                raise

    async def edit_members(
        self,
        profile_id: str,
        *,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        atomic: bool = True,
        etag: str | None = None,
        idempotency_key: str | None = None,
    ) -> MemberEditReport:
        """Add and remove listed instruments, to 10 000 of each.

        All or nothing, or with `atomic=False` item by item; edits of others are not lost without `etag`.
        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        if etag is not None:
            headers["If-Match"] = etag
        answer = await self._transport.send(
            "POST",
            f"{_path(profile_id)}/instruments",
            document={"add": list(add), "remove": list(remove), "atomic": atomic},
            headers=headers,
            repeatable=True,
        )
        report: MemberEditReport = answer.json()
        return report

    async def instruments_page(
        self, profile_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> ResolvedInstruments:
        """What the profile resolves to now."""
        asked = {"limit": limit, "cursor": cursor}
        found: ResolvedInstruments = (
            await self._transport.get(f"{_path(profile_id)}/instruments", asked)
        ).json()
        return found

    async def instruments_all(self, profile_id: str) -> AsyncIterator[Instrument]:
        """Raises IncompleteAnswer where the service could not tell all of them."""
        cursor = None
        while True:
            page = await self.instruments_page(profile_id, cursor=cursor)
            if page.get("partial"):
                raise IncompleteAnswer(page.get("partial_reason", "the service could not tell all"))
            for instrument in page["instruments"]:
                yield instrument
            if (cursor := page["next_cursor"]) is None:
                return

    async def events_page(
        self, profile_id: str, *, limit: int | None = None, before: int | None = None
    ) -> ProfileEvents:
        """The audit trail, newest first; of a deleted profile, too."""
        asked = {"limit": limit, "before": before}
        found: ProfileEvents = (await self._transport.get(f"{_path(profile_id)}/events", asked)).json()
        return found

    async def events_all(self, profile_id: str) -> AsyncIterator[ProfileEvent]:
        before = None
        while True:
            page = await self.events_page(profile_id, before=before)
            for event in page["events"]:
                yield event
            if (before := page["next_before"]) is None:
                return

    def stream(
        self, profile_id: str, *, after: int | None = None, give_up_after_s: float | None = 300.0
    ) -> AsyncGenerator[Event]:
        """What happens after the event `after`, or (None) from now on, until the profile is deleted.

        A broken connection is made again without losing or repeating an event; after `give_up_after_s`
        without one the error is raised (None: never).
        """
        return streams.events(
            self._transport, f"{_path(profile_id)}/stream", after=after, give_up_after_s=give_up_after_s
        )

    async def _write(
        self, method: str, profile_id: str, document: ProfileDocument | ProfilePatch, etag: str
    ) -> Versioned[Profile]:
        request_id = uuid4().hex
        media_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
        try:
            answer = await self._transport.send(
                method,
                _path(profile_id),
                document=document,
                headers={"If-Match": etag, "Content-Type": media_type},
                request_id=request_id,
                repeatable=True,
            )
        except PreconditionFailed:
            if await self._carried_out(profile_id, request_id):
                return await self.read(profile_id)
            raise
        return _versioned(answer)

    async def _carried_out(self, profile_id: str, request_id: str) -> bool:
        """Whether an attempt of this request is known to have taken effect, though its answer was lost.

        Not asked only after a retry of ours: aiohttp itself repeats a PUT or DELETE on a fresh connection.
        A key that may not read (profiles:read) does not learn it.
        """
        try:
            page = await self.events_page(profile_id, limit=_EVENTS_LOOKED_AT)
        except NotAllowed:
            return False
        return any(event["request_id"] == request_id for event in page["events"])


def _path(profile_id: str) -> str:
    return f"{PATH}/{quote(profile_id, safe='')}"


def _versioned(answer: Answer) -> Versioned[Profile]:
    return Versioned(answer.json(), answer.headers["ETag"])

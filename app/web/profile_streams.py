"""The open streams of one API process: one reader for all profiles, one bounded queue for each listener.

A connection of its own hears which profiles have new events; an event is read once, however many listen.
Every few seconds all profiles are read again, so that a lost notification only delays. A listener that
does not take what it is sent is cut off: it comes back with the number of the last event it has.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import structlog

from app import metrics
from app.domain.access import Principal
from app.domain.errors import PostgresUnavailable, StreamsExhausted, TooManyStreams
from app.store.postgres import Connection, open_connection, postgres_errors
from app.store.profile_watches import EVENTS_CHANNEL, EventPage, ProfileWatches, keep_watches, read_events
from app.store.profile_writes import Author
from app.web.event_frames import Frame, event_frame, ready_frame, reset_frame
from app.web.listener import Listener, Start

PAGE_EVENTS: Final = 25
"""Well below what may wait in a listener: who is quick has taken one page before the next is read."""
PROFILES_AT_ONCE: Final = 100
KEEP_S: Final = 5.0
CHECK_S: Final = 1.0
RETRY_S: Final = 1.0
STATEMENT_TIMEOUT_S: Final = 10.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How many streams one process serves, in all and to one owner."""

    streams: int
    streams_per_owner: int


@dataclass(slots=True)
class _Channel:
    """The listeners of one profile, who were given its events up to the number `position`."""

    position: int
    listeners: set[Listener] = field(default_factory=set)
    is_over: bool = False
    """They were given the last event that there will be."""


class ProfileStreams:
    """`still_admits` tells whether a credential that was let in is still valid."""

    def __init__(
        self,
        database_url: str,
        watches: ProfileWatches,
        still_admits: Callable[[Principal], bool],
        limits: StreamLimits,
        heartbeat_s: float,
    ) -> None:
        self._database_url = database_url
        self._watches = watches
        self._still_admits = still_admits
        self._limits = limits
        self._heartbeat_s = heartbeat_s
        self._owners: Counter[str] = Counter()
        self._channels: dict[UUID, _Channel] = {}
        self._due: set[UUID] = set()
        self._wake = asyncio.Event()
        self._stopping = False

    @asynccontextmanager
    async def listen(
        self,
        author: Author,
        principal: Principal,
        profile_id: UUID,
        after: int | None,
        transport: asyncio.BaseTransport,
    ) -> AsyncIterator[Listener]:
        """Be a listener meanwhile: to what comes after the event `after`, or (None) from now on.

        Raises TooManyStreams or StreamsExhausted, and what `ProfileWatches.begin` does.
        """
        self._admit(principal)
        self._owners[principal.owner] += 1
        try:
            last_event = await self._watches.begin(author, profile_id)
            channel = self._channels.setdefault(profile_id, _Channel(last_event))
            start = Start(profile_id, after, last_event, channel.position)
            listener = Listener(principal, start, transport, self._heartbeat_s)
            channel.listeners.add(listener)
            metrics.STREAM_LISTENERS.inc()
            if self._stopping:
                listener.end()
            # What was committed since the watch began was perhaps told to nobody here.
            self._make_due((profile_id,))
            try:
                yield listener
            finally:
                metrics.STREAM_LISTENERS.dec()
                channel.listeners.discard(listener)
                if not channel.listeners:
                    del self._channels[profile_id]
        finally:
            self._owners[principal.owner] -= 1
            if not self._owners[principal.owner]:
                del self._owners[principal.owner]

    async def frames(self, listener: Listener) -> AsyncGenerator[Frame]:
        """What a listener is to be sent, until it ends. Raises PostgresUnavailable."""
        start = listener.start
        # 1. Where it stands.
        listener.position = start.last_event
        if start.after is None:
            yield ready_frame(start.last_event)
        elif start.after > start.last_event:
            yield reset_frame(start.last_event, "unknown_id")
        else:
            listener.position = start.after
        # 2. What the others of its profile were given before it came.
        while listener.position < start.joined_at and not listener.ended:
            page = await self._watches.events(start.profile_id, listener.position, PAGE_EVENTS)
            missed = _frames_of(page)
            if not missed:  # what there was is removed, and so is the profile
                break
            for frame in missed:
                listener.position = frame.number
                yield frame
        # 3. What comes.
        while (coming := await listener.next()) is not None:
            yield coming

    async def follow(self) -> None:
        """Give listeners the events of their profiles, for ever. To be run as a task."""
        reachable = True
        while True:
            try:
                async with open_connection(
                    self._database_url, statement_timeout_s=STATEMENT_TIMEOUT_S
                ) as connection:
                    with postgres_errors():
                        await connection.add_listener(EVENTS_CHANNEL, self._notified)
                        connection.add_termination_listener(lambda _: self._wake.set())
                        reachable = True
                        await self._follow(connection)
            except PostgresUnavailable as error:
                if reachable:
                    log.warning("profile events cannot be read", reason=str(error))
                reachable = False
            await asyncio.sleep(RETRY_S)

    async def check(self) -> None:
        """End streams whose credential is not valid any more, or whose caller is gone, for ever. A task."""
        while True:
            await asyncio.sleep(CHECK_S)
            for listener in self._listeners(self._channels):
                if not self._still_admits(listener.principal):
                    listener.drop("credential")
                elif listener.is_gone:
                    listener.end()

    def stop(self) -> None:
        """End every stream; callers come back, to another process."""
        self._stopping = True
        for listener in self._listeners(self._channels):
            listener.end()

    def _admit(self, principal: Principal) -> None:
        if self._stopping or self._owners.total() >= self._limits.streams:
            raise StreamsExhausted(
                f"this process serves {self._limits.streams} streams, as many as it may; try again soon"
            )
        if self._owners[principal.owner] >= self._limits.streams_per_owner:
            raise TooManyStreams(
                f"you listen to {self._limits.streams_per_owner} streams, the most that are allowed; "
                "end one first"
            )

    async def _follow(self, connection: Connection) -> None:
        """Read what is due, until the connection is closed."""
        keep_at = 0.0
        while not connection.is_closed():
            lapsed: set[UUID] = set()
            if time.monotonic() >= keep_at:
                keep_at = time.monotonic() + KEEP_S
                known = list(self._channels)
                if known:
                    lapsed = set(known) - await keep_watches(connection, known)
                self._make_due(known)
            await self._read_due(connection)
            # While a watch had lapsed nobody looked for changes: whoever comes back makes up for it.
            for listener in self._listeners(lapsed):
                if not self._channels[listener.start.profile_id].is_over:
                    listener.drop("lapsed")
            if not self._due:
                self._wake.clear()
                try:
                    async with asyncio.timeout(max(0.0, keep_at - time.monotonic())):
                        await self._wake.wait()
                except TimeoutError:
                    pass

    async def _read_due(self, connection: Connection) -> None:
        """Give listeners the next events of the profiles that are due; those with more stay due."""
        due = [profile_id for profile_id in self._due if profile_id in self._channels]
        self._due.clear()
        for start in range(0, len(due), PROFILES_AT_ONCE):
            wanted = [
                (profile_id, self._channels[profile_id].position)
                for profile_id in due[start : start + PROFILES_AT_ONCE]
                if profile_id in self._channels
            ]
            for page in await read_events(connection, wanted, PAGE_EVENTS):
                channel = self._channels.get(page.profile_id)
                if channel is None:  # everybody left meanwhile
                    continue
                for frame in _frames_of(page):
                    channel.position = frame.number
                    channel.is_over = frame.is_last
                    for listener in tuple(channel.listeners):
                        listener.offer(frame)
                if len(page.events) == PAGE_EVENTS:
                    self._make_due((page.profile_id,))

    def _notified(self, *notification: object) -> None:
        profile_id = UUID(str(notification[-1]))
        if profile_id in self._channels:
            self._make_due((profile_id,))

    def _make_due(self, profile_ids: Iterable[UUID]) -> None:
        self._due.update(profile_ids)
        self._wake.set()

    def _listeners(self, profile_ids: Iterable[UUID]) -> list[Listener]:
        channels = (self._channels.get(profile_id) for profile_id in profile_ids)
        return [listener for channel in channels if channel for listener in channel.listeners]


def _frames_of(page: EventPage) -> list[Frame]:
    if page.reset_to is not None:
        return [reset_frame(page.reset_to, "removed")]
    return [event_frame(event) for event in page.events]

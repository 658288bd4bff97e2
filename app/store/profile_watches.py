"""Who listens to which profile: begins and keeps watches, and reads the events that streams tell.

A watch says that a profile is listened to, so that changes of its instruments are looked for and its
events are notified. One that has lapsed keeps where it stood for a while; what happened since is told
when somebody listens again. Where nothing is known of the time before, a `reset` event says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Final
from uuid import UUID

import orjson
from redis.asyncio import Redis

from app.parameters.live import LiveParameters
from app.store.matches import read_live_matches
from app.store.postgres import Connection, Postgres
from app.store.profile_changes import SQL, append, tell_instruments, tell_membership
from app.store.profile_rows import ProfileEvent
from app.store.profile_writes import Author, no_such_profile

EVENTS_CHANNEL: Final = "profile_events"
"""Notified of a profile's id when it has new events and is listened to."""
LISTENED_S: Final = 30.0
"""How long a watch lasts unless it is kept."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """A profile's next events; `reset_to`: go on from there, for some before it were removed."""

    profile_id: UUID
    reset_to: int | None
    events: tuple[ProfileEvent, ...]


class ProfileWatches:
    """Methods raise PostgresUnavailable."""

    def __init__(self, postgres: Postgres, client: Redis, parameters: LiveParameters) -> None:
        self._postgres = postgres
        self._client = client
        self._parameters = parameters

    async def begin(self, author: Author, profile_id: UUID) -> int:
        """The number of the newest event; everything later will be told, while the watch is kept.

        Raises NotFound for what the author may not see, and of a dynamic profile that nobody listens to
        IndexNotReady, RedisUnavailable or SearchTimedOut.
        """
        async with self._postgres.connection() as connection:
            # First the watch: what is committed from now on, the indexer tells.
            async with connection.transaction():
                is_compared = await _begin(connection, author, profile_id)
            # Then what happened until now.
            async with connection.transaction():
                await tell_instruments(connection, [profile_id])
            if not is_compared:
                async with connection.transaction():
                    timeout_ms = self._parameters.search_timeout
                    read_matches = partial(read_live_matches, self._client, timeout_ms=timeout_ms)
                    await tell_membership(connection, profile_id, read_matches)
            last_event = await connection.fetchval(SQL["last_event"], profile_id)
        if last_event is None:
            raise no_such_profile(profile_id)
        return int(last_event)

    async def events(self, profile_id: UUID, after: int, limit: int) -> EventPage:
        async with self._postgres.connection() as connection:
            (page,) = await read_events(connection, [(profile_id, after)], limit)
        return page


async def _begin(connection: Connection, author: Author, profile_id: UUID) -> bool:
    """Whether what the profile selects is compared already, or needs no comparison."""
    profile = await connection.fetchrow(SQL["lock"], profile_id)
    if profile is None or not author.sees(profile["owner"]):
        raise no_such_profile(profile_id)
    watch = await connection.fetchrow(SQL["listen"], profile_id, LISTENED_S)
    if watch is None:
        await connection.execute(SQL["begin"], profile_id, LISTENED_S)
        if not profile["is_dynamic"]:  # else its first comparison says it
            await append(connection, profile_id, "reset", reason="not_watched")
        return not profile["is_dynamic"]
    return not profile["is_dynamic"] or (watch["was_listened"] and watch["has_members"])


async def keep_watches(connection: Connection, profile_ids: Sequence[UUID]) -> set[UUID]:
    """Keep the watches of these profiles; which of them had not lapsed."""
    records = await connection.fetch(SQL["keep"], profile_ids, LISTENED_S)
    return {record["profile_id"] for record in records}


async def read_events(
    connection: Connection, wanted: Sequence[tuple[UUID, int]], limit: int
) -> list[EventPage]:
    """Of each profile up to `limit` events beyond the number given with it, oldest first."""
    ids, numbers = [profile_id for profile_id, _ in wanted], [after for _, after in wanted]
    pages = []
    records = await connection.fetch(SQL["events"], ids, numbers, limit)
    for profile_id, group in groupby(records, key=itemgetter("profile_id")):
        rows = list(group)
        events = tuple(
            ProfileEvent(
                row["number"],
                row["kind"],
                row["at"],
                row["version"],
                row["actor"],
                row["request_id"],
                orjson.loads(row["detail"]),
            )
            for row in rows
            if row["number"] is not None
        )
        pages.append(EventPage(profile_id, rows[0]["reset_to"], events))
    return pages

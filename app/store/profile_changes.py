"""What changed about the instruments of profiles that somebody listens to, told as events of the profiles.

The indexer asks after each refresh that changed something, the API when a stream begins. Whoever asks
holds the profile's lock from reading what was told until the event is written, so that no change is told
twice, and none is between two askers.
"""

from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

import orjson

from app.domain.instrument import public_id
from app.domain.query import Search, parse_saved_search
from app.store.instruments import changed_fields
from app.store.postgres import Connection
from app.store.statements import Statements

SQL: Final = Statements("profile_watches.sql")
MAX_LISTED: Final = 1000
"""Instruments in an event. More changed at once are a reset; a membership says how many it leaves out."""


async def tell_instruments(connection: Connection, profile_ids: Sequence[UUID]) -> None:
    """Tell each profile which of its members' instruments changed since the last time.

    To be called in a transaction, as the others here are.
    """
    await connection.execute(SQL["lock_in_order"], profile_ids)
    await connection.execute(SQL["lock_watches_in_order"], profile_ids)
    records = await connection.fetch(SQL["tell_changed"], profile_ids, MAX_LISTED + 1)
    for profile_id, changed in groupby(records, key=itemgetter("profile_id")):
        entries = [
            {
                "id": public_id(record["instrument_id"]),
                "version": record["version"],
                "changes": changed_fields(record["previous"], record["document"]),
            }
            for record in changed
        ]
        if len(entries) > MAX_LISTED:
            await append(connection, profile_id, "reset", reason="many_changes")
        else:
            await append(connection, profile_id, "instruments", instruments=entries)


async def tell_membership(
    connection: Connection, profile_id: UUID, read_matches: Callable[[Search], Awaitable[list[int]]]
) -> None:
    """Tell a dynamic profile which instruments came and went since the last time.

    Where there is nothing to compare with, it is told to start anew. A query that is edited meanwhile is
    left to the next time. Raises what `read_matches` raises.
    """
    await connection.execute(SQL["lock_comparison"], profile_id)
    query = await connection.fetchval(SQL["query"], profile_id)
    if query is None:
        return
    numbers = await read_matches(parse_saved_search(orjson.loads(query), "selection.query"))
    await connection.execute(SQL["lock"], profile_id)
    record = await connection.fetchrow(SQL["members"], profile_id)
    if record is None or record["query"] != query or record["members"] == numbers:
        return
    await connection.execute(SQL["store_members"], profile_id, numbers)
    if record["members"] is None:
        await append(connection, profile_id, "reset", reason="selection_unknown")
        return
    before, after = set(record["members"]), set(numbers)
    added, removed = sorted(after - before), sorted(before - after)
    await append(
        connection,
        profile_id,
        "membership",
        added=[public_id(number) for number in added[:MAX_LISTED]],
        removed=[public_id(number) for number in removed[:MAX_LISTED]],
        added_count=len(added),
        removed_count=len(removed),
    )


async def append(connection: Connection, profile_id: UUID, kind: str, **detail: Any) -> None:
    """Add an event of the stream's own; the profile itself does not change."""
    await connection.execute(SQL["append"], profile_id, kind, orjson.dumps(detail).decode())

"""Removes what has had its time, in small transactions: it may be a lot, and somebody is always writing."""

from dataclasses import dataclass
from typing import Final

from app.store import idempotency, profile_changes
from app.store.postgres import Connection, postgres_errors

ANSWERS_AT_ONCE: Final = 1000
EVENTS_AT_ONCE: Final = 10_000
IDLE_WATCH_S: Final = 3600.0
"""How long a watch that nobody keeps knows where it stood."""


@dataclass(frozen=True, slots=True)
class Removed:
    answers: int
    events: int
    watches: int


async def remove_expired(connection: Connection, events_kept_s: float) -> Removed:
    """Stored answers that have expired, events of streams (never of the audit trail), idle watches.

    Raises PostgresUnavailable.
    """
    with postgres_errors():
        return Removed(
            await _remove_answers(connection),
            await _remove_events(connection, events_kept_s),
            _count(await connection.execute(profile_changes.SQL["remove_idle"], IDLE_WATCH_S)),
        )


async def _remove_answers(connection: Connection) -> int:
    removed = 0
    while count := _count(await connection.execute(idempotency.SQL["remove_expired"], ANSWERS_AT_ONCE)):
        removed += count
    return removed


async def _remove_events(connection: Connection, kept_s: float) -> int:
    removed = 0
    find = profile_changes.SQL["profiles_with_old_events"]
    while profiles := await connection.fetch(find, kept_s, EVENTS_AT_ONCE):
        for record in profiles:
            removed += await connection.fetchval(
                profile_changes.SQL["remove_old_events"], record["profile_id"], kept_s, EVENTS_AT_ONCE
            )
    return removed


def _count(command_tag: str) -> int:
    return int(command_tag.rpartition(" ")[2])

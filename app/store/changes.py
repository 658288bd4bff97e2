"""What changed in all instruments since a position, exactly: nothing is skipped or told twice.

A position is a snapshot of Postgres (`pg_snapshot`): which transactions it sees. What the next one sees and
this one does not is what has changed, whenever it was committed. A long difference is read in pages; they go
up to the snapshot of the first, and what changes meanwhile is of the next difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg
import orjson

from app.domain.cursor import decode_token, encode_token
from app.domain.errors import CursorExpired, InvalidInput
from app.domain.instrument import public_id
from app.search.document import instrument_json
from app.store.instruments import SQL
from app.store.postgres import Connection, Postgres

_FIELD: Final = "since"
_STATEMENTS: Final = ("changed_between", "removed_between")


@dataclass(frozen=True, slots=True)
class Place:
    """Where to go on: after the snapshot `since`, in the pages up to `until` beyond the last change seen."""

    cluster: str
    """A restored or failed-over server counts transactions anew."""
    since: str
    until: str | None = None
    deletions: bool = False
    """Whether its changes are told, and its deletions follow."""
    xid: str | None = None
    number: int = 0

    def encode(self) -> str:
        fields = self.cluster, self.since, self.until, self.deletions, self.xid, self.number
        return encode_token(orjson.dumps(fields))

    @classmethod
    def decode(cls, text: str) -> "Place":
        """Raises InvalidInput."""
        try:
            place = cls(*orjson.loads(decode_token(text)))
        except (ValueError, TypeError) as error:
            raise _not_a_position() from error
        if not (
            all(isinstance(value, str) for value in (place.cluster, place.since))
            and all(value is None or isinstance(value, str) for value in (place.until, place.xid))
            and isinstance(place.deletions, bool)
            and type(place.number) is int
            and 0 <= place.number < 2**63
        ):
            raise _not_a_position()
        return place


@dataclass(frozen=True, slots=True)
class Changes:
    """`changes` are finished JSON objects; `more`: there are others before now."""

    changes: Sequence[bytes]
    next: Place
    more: bool


async def place_of_now(connection: Connection) -> Place:
    """The position of a connection's snapshot."""
    record = await connection.fetchrow(SQL["here"], None)
    assert record is not None  # noqa: S101 - a query without a table yields a row
    return Place(record["cluster"], record["snapshot"])


async def read_changes(postgres: Postgres, since: Place | None, limit: int) -> Changes:
    """Up to `limit` changes from a place on; None: nothing yet, but where to follow from.

    Raises InvalidInput, CursorExpired where the position says nothing about this Postgres, and
    PostgresUnavailable.
    """
    async with postgres.connection() as connection:
        if since is None:
            return Changes((), await place_of_now(connection), more=False)
        try:
            return await _read(connection, since, limit)
        except (asyncpg.DataError, asyncpg.InvalidTextRepresentationError) as error:
            raise _not_a_position() from error


async def _read(connection: Connection, place: Place, limit: int) -> Changes:
    here = await connection.fetchrow(SQL["here"], place.until or place.since)
    assert here is not None  # noqa: S101 - a query without a table yields a row
    if here["cluster"] != place.cluster or not here["is_past"]:
        raise CursorExpired("this position is of another Postgres, or of before a restore; export anew")
    until = place.until or here["snapshot"]
    changes: list[bytes] = []
    xid, number = place.xid, place.number
    for deletions in (False, True)[place.deletions :]:
        records = await connection.fetch(
            SQL[_STATEMENTS[deletions]], place.since, until, xid, number, limit - len(changes)
        )
        changes += map(_deletion if deletions else _change, records)
        if len(changes) == limit:
            last = records[-1] if records else None
            xid, number = (last["xid"], last["id"]) if last else (None, 0)
            return Changes(changes, Place(place.cluster, place.since, until, deletions, xid, number), True)
        xid, number = None, 0
    return Changes(changes, Place(place.cluster, until), more=False)


def _change(record: asyncpg.Record) -> bytes:
    return b'{"id":"%b","instrument":%b}' % (public_id(record["id"]).encode(), instrument_json(record))


def _deletion(record: asyncpg.Record) -> bytes:
    return b'{"id":"%b","instrument":null}' % public_id(record["id"]).encode()


def _not_a_position() -> InvalidInput:
    return InvalidInput.of(_FIELD, "is not a position of this service; leave it out to follow from now")

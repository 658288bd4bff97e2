"""Search pins in Postgres: written with an audit trail, read in pages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg
import orjson

from app.domain.errors import FieldError, InvalidInput, NotFound, PreconditionFailed, QueryPinned
from app.domain.instrument import no_such_instrument, public_id
from app.domain.search_pin import SearchPin, pin_document, public_pin_id
from app.store.locks import Lock, take
from app.store.postgres import Connection, Postgres
from app.store.statements import Statements
from app.store.writing import Writer, writing

SQL: Final = Statements("search_pins.sql")


@dataclass(frozen=True, slots=True)
class StoredPin:
    id: int
    pin: SearchPin
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PinEvent:
    """One change: the pin's content before and after it; None where there was no pin."""

    version: int
    operation: str
    at: datetime
    actor: str
    request_id: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class SearchPins:
    """Methods raise PostgresUnavailable."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def create(self, writer: Writer, pin: SearchPin) -> StoredPin:
        """Raises QueryPinned, and InvalidInput naming instruments that there are not."""
        async with self._postgres.connection() as connection, writing(connection, writer):
            await take(connection, Lock.SEARCH_PINS)
            await _refuse_unusable(connection, pin, None)
            number = await connection.fetchval(SQL["insert"], pin.query, pin.key, pin.note)
            await connection.execute(SQL["add_instruments"], number, pin.instruments)
            await _record(connection, writer, number, "created", pin)
            return await _read(connection, number)

    async def read(self, number: int) -> StoredPin:
        """Raises NotFound."""
        async with self._postgres.connection() as connection:
            return await _read(connection, number)

    async def page(self, *, after: int, limit: int) -> list[StoredPin]:
        """Those with an id beyond `after`, in the order of their ids."""
        async with self._postgres.connection() as connection:
            return [_stored(record) for record in await connection.fetch(SQL["page"], after, limit)]

    async def replace(
        self, writer: Writer, number: int, pin: SearchPin, accepts: Callable[[int], bool]
    ) -> StoredPin:
        """What changes nothing is not a change. Raises NotFound, PreconditionFailed, and as `create` does."""
        async with self._postgres.connection() as connection, writing(connection, writer):
            before = await _read_to_write(connection, number, accepts)
            if before.pin == pin:
                return before
            await _refuse_unusable(connection, pin, number)
            await connection.execute(SQL["update"], number, pin.query, pin.key, pin.note)
            await connection.execute(SQL["remove_instruments"], number)
            await connection.execute(SQL["add_instruments"], number, pin.instruments)
            await _record(connection, writer, number, "updated", pin)
            return await _read(connection, number)

    async def delete(self, writer: Writer, number: int, accepts: Callable[[int], bool]) -> None:
        """The pin's events stay. Raises NotFound and PreconditionFailed."""
        async with self._postgres.connection() as connection, writing(connection, writer):
            await _read_to_write(connection, number, accepts)
            await connection.execute(SQL["delete"], number)
            await _record(connection, writer, number, "deleted", None)

    async def events(self, number: int, *, before: int | None, limit: int) -> list[PinEvent]:
        """The newest events with a version below `before`, newest first; none: there was no such pin."""
        async with self._postgres.connection() as connection:
            records = await connection.fetch(SQL["events"], number, before, limit)
        return [_event(record) for record in records]

    async def last_event(self) -> int | None:
        """Another one than before: some pin was written."""
        async with self._postgres.connection() as connection:
            number: int | None = await connection.fetchval(SQL["last_event"])
        return number

    async def pinned(self) -> Mapping[str, tuple[int, ...]]:
        """The numbers of what is pinned, by the keys of the queries."""
        async with self._postgres.connection() as connection:
            records = await connection.fetch(SQL["all"])
        return {record["query_key"]: tuple(record["instruments"]) for record in records}


async def _read(connection: Connection, number: int) -> StoredPin:
    record = await connection.fetchrow(SQL["read"], number)
    if record is None:
        raise NotFound(f"there is no pin {public_pin_id(number)}")
    return _stored(record)


async def _read_to_write(connection: Connection, number: int, accepts: Callable[[int], bool]) -> StoredPin:
    """A pin that nobody else writes until the transaction ends."""
    await take(connection, Lock.SEARCH_PINS)
    stored = await _read(connection, number)
    if not accepts(stored.version):
        raise PreconditionFailed(stored.version)
    return stored


async def _refuse_unusable(connection: Connection, pin: SearchPin, number: int | None) -> None:
    holder = await connection.fetchval(SQL["of_query"], pin.key)
    if holder not in (None, number):
        raise QueryPinned(public_pin_id(holder))
    records = await connection.fetch(SQL["unknown_instruments"], pin.instruments)
    unknown = {record["number"] for record in records}
    if unknown:
        raise InvalidInput(
            *(
                FieldError(f"instruments[{place}]", str(no_such_instrument(public_id(instrument))))
                for place, instrument in enumerate(pin.instruments)
                if instrument in unknown
            )
        )


async def _record(
    connection: Connection, writer: Writer, number: int, operation: str, pin: SearchPin | None
) -> None:
    document = None if pin is None else orjson.dumps(pin_document(pin)).decode()
    await connection.execute(SQL["record"], number, operation, writer.actor, writer.request_id, document)


def _stored(record: asyncpg.Record) -> StoredPin:
    pin = SearchPin(record["query"], record["query_key"], tuple(record["instruments"]), record["note"])
    return StoredPin(record["id"], pin, record["version"], record["created_at"], record["updated_at"])


def _event(record: asyncpg.Record) -> PinEvent:
    before, after = (
        None if document is None else orjson.loads(document)
        for document in (record["before"], record["after"])
    )
    return PinEvent(**{**dict(record), "before": before, "after": after})

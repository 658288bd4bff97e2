"""Writes of instruments: each a transaction that is answered from the row it leaves.

Whoever changes an instrument holds its row's lock, so that of those who read one version one wins. A symbol
at a venue is kept to one living instrument by a unique index; who has it is looked up to say so.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from app.domain.errors import Conflict, PreconditionFailed, RegistryError, SymbolTaken
from app.domain.instrument import decimal_text, no_such_instrument, public_id
from app.domain.instrument_write import Change, Stored, place_of
from app.store.idempotency import Answer, Once, find_answer, remember_answer
from app.store.instruments import StoredInstrument, read_instrument
from app.store.locks import Lock, take, try_take
from app.store.postgres import Connection, Postgres, postgres_errors
from app.store.statements import Statements
from app.store.steps import Steps, T, carry_out, rows_of
from app.store.writing import Writer, writing

SQL: Final = Statements("instrument_writes.sql")
DUE_AT_ONCE: Final = 1000
_OBJECTS: Final = ("contract", "attributes")
_ISSUE: Final = frozenset({"is_primary", "isin", "share_class_figi"})
"""Columns that may make a primary listing one of two."""


class PrimariesHeld(Exception):
    """Somebody else holds Lock.PRIMARIES: to be done anew, the lock taken before any row.

    Who waited for it, rows held, might wait in a circle: its holder goes on to those rows.
    """


async def create_instrument(postgres: Postgres, writer: Writer, new: Change, once: Once | None) -> Answer:
    """Raises SymbolTaken, InFlight, KeyReused and PostgresUnavailable."""
    async with postgres.connection() as connection, writing(connection, writer):
        if once is not None and (done := await do_steps(connection, find_answer(once))) is not None:
            return done
        if new.columns.get("is_primary"):
            await take(connection, Lock.PRIMARIES)
        (number,) = await insert_instruments(connection, [new])
        if isinstance(number, Conflict):
            raise number
        stored = await _read(connection, number)
        answer = Answer(UUID(int=number), stored.version, stored.json)
        if once is not None:
            await do_steps(connection, remember_answer(once, answer))
        return answer


async def change_instrument(
    postgres: Postgres,
    writer: Writer,
    number: int,
    accepts: Callable[[int], bool],
    change: Callable[[Stored], Change],
) -> StoredInstrument:
    """Store what `change` makes of an instrument; nothing where it changes nothing.

    `accepts` tells of a version whether the writer knew it. Raises NotFound, PreconditionFailed, SymbolTaken,
    PostgresUnavailable, and whatever `change` raises.
    """

    async def attempt(primaries_first: bool) -> StoredInstrument:
        return await _change(postgres, writer, number, accepts, change, primaries_first=primaries_first)

    try:
        return await without_circle(attempt)
    except Conflict as error:
        if not isinstance(error.__cause__, asyncpg.UniqueViolationError):
            raise
        # Somebody took the symbol at the same moment; now it can be said who.
        return await without_circle(attempt)


async def without_circle(attempt: Callable[[bool], Awaitable[T]]) -> T:
    """What `attempt` returns, a transaction that takes Lock.PRIMARIES before any row if it is told to."""
    try:
        return await attempt(False)
    except PrimariesHeld:
        return await attempt(True)


async def _change(
    postgres: Postgres,
    writer: Writer,
    number: int,
    accepts: Callable[[int], bool],
    change: Callable[[Stored], Change],
    *,
    primaries_first: bool,
) -> StoredInstrument:
    async with postgres.connection() as connection, writing(connection, writer):
        if primaries_first:
            await take(connection, Lock.PRIMARIES)
        stored = (await lock_instruments(connection, [number])).get(number)
        if stored is None:
            raise no_such_instrument(public_id(number))
        if not accepts(stored.version):
            raise PreconditionFailed(stored.version)
        (outcome,) = await update_instruments(connection, [(stored, change(stored))])
        if outcome is not None:
            raise outcome
        return await _read(connection, number)


async def do_steps(connection: Connection, steps: Steps[T]) -> T:
    """What the steps return. Raises what they raise."""
    (outcome,) = await carry_out(connection, [steps])
    if isinstance(outcome, RegistryError):
        raise outcome
    return outcome


async def lock_instruments(connection: Connection, numbers: Sequence[int]) -> dict[int, Stored]:
    """Those of the instruments that there are, which nobody else writes until the transaction ends."""
    return {record["id"]: _stored(record) for record in await connection.fetch(SQL["lock"], numbers)}


async def insert_instruments(connection: Connection, new: Sequence[Change]) -> list[int | Conflict]:
    """The numbers of new instruments; in place of one, who has its symbol. Raises PrimariesHeld."""
    documents = [{"document": _json(change.columns), "edited": change.edited} for change in new]
    records = await connection.fetch(SQL["insert"], rows_of(*documents))
    numbers: dict[int, int] = {record["place"]: record["id"] for record in records}
    wanted = {place: (None, change.columns) for place, change in enumerate(new) if place not in numbers}
    taken = await _holders(connection, wanted)
    await _demote_others(
        connection, [number for place, number in numbers.items() if new[place].columns.get("is_primary")]
    )
    return [
        numbers[place] if place in numbers else taken.get(place) or _taken_meanwhile(change)
        for place, change in enumerate(new)
    ]


async def update_instruments(
    connection: Connection, changes: Sequence[tuple[Stored, Change]]
) -> list[SymbolTaken | None]:
    """Store the changes of locked instruments, in their order. In place of one, who has its symbol.

    Raises PrimariesHeld.
    """
    outcomes: list[SymbolTaken | None] = []
    for group in _independent(changes):
        moving = {
            place: (stored.number, {**stored.columns, **change.columns})
            for place, (stored, change) in enumerate(group)
            if _moves(stored, change)
        }
        taken = await _holders(connection, moving)
        applied = [pair for place, pair in enumerate(group) if place not in taken and pair[1].columns]
        if applied:
            rows = [
                {"number": stored.number, "document": _json(change.columns), "edited": change.edited}
                for stored, change in applied
            ]
            await connection.execute(SQL["update"], rows_of(*rows))
        await _demote_others(
            connection,
            [
                stored.number
                for stored, change in applied
                if {**stored.columns, **change.columns}["is_primary"]
                and not _ISSUE.isdisjoint(change.columns)
            ],
        )
        outcomes += [taken.get(place) for place in range(len(group))]
    return outcomes


async def take_effect_of_due(connection: Connection, writer: Writer) -> int:
    """How many instruments changed because something of them was due. Raises PostgresUnavailable."""
    total = 0
    with postgres_errors():
        # An update wakes the indexer, also where it changes nothing.
        while await connection.fetchval(SQL["is_due"]):
            async with writing(connection, writer):
                done = await connection.execute(SQL["take_effect"], DUE_AT_ONCE)
            count = int(done.rpartition(" ")[2])
            if not count:  # somebody else writes what is due
                break
            total += count
    return total


async def _read(connection: Connection, number: int) -> StoredInstrument:
    stored = await read_instrument(connection, number)
    if stored is None:
        raise no_such_instrument(public_id(number))
    return stored


def _stored(record: asyncpg.Record) -> Stored:
    columns = dict(record)
    number, version = columns.pop("id"), columns.pop("version")
    dated, count = frozenset(columns.pop("dated")), columns.pop("dated_count")
    for name in _OBJECTS:
        columns[name] = None if columns[name] is None else orjson.loads(columns[name])
    return Stored(number, version, columns, dated, count)


def _json(columns: Mapping[str, Any]) -> orjson.Fragment:
    return orjson.Fragment(orjson.dumps(columns, default=decimal_text))


def _moves(stored: Stored, change: Change) -> bool:
    """Whether a change takes a symbol at a venue that the instrument does not have yet."""
    after = place_of({**stored.columns, **change.columns})
    return after is not None and after != place_of(stored.columns)


def _independent(changes: Sequence[tuple[Stored, Change]]) -> list[list[tuple[Stored, Change]]]:
    """The changes in groups within which none takes a symbol that another takes or gives up."""
    groups: list[list[tuple[Stored, Change]]] = [[]]
    touched: set[tuple[str, str] | None] = set()
    for stored, change in changes:
        before, after = place_of(stored.columns), place_of({**stored.columns, **change.columns})
        if before != after and after is not None and after in touched:
            groups.append([])
            touched = set()
        if before != after:
            touched |= {before, after}
        groups[-1].append((stored, change))
    return groups


async def _holders(
    connection: Connection, wanted: Mapping[int, tuple[int | None, Mapping[str, Any]]]
) -> dict[int, SymbolTaken]:
    """By place: who has the symbol at the venue that an instrument (its number, its columns) wants."""
    rows = []
    for place, (number, columns) in wanted.items():
        if (key := place_of(columns)) is not None:
            rows.append({"place": place, "venue": key[0], "symbol": key[1], "number": number})
    if not rows:
        return {}
    records = await connection.fetch(SQL["holders"], orjson.dumps(rows).decode())
    keys = {row["place"]: row for row in rows}
    return {
        record["place"]: SymbolTaken(
            str(keys[record["place"]]["symbol"]), str(keys[record["place"]]["venue"]), public_id(record["id"])
        )
        for record in records
    }


def _taken_meanwhile(change: Change) -> Conflict:
    return Conflict(f"the symbol {change.columns['symbol']} was taken, and given up, just now; try again")


async def _demote_others(connection: Connection, numbers: Sequence[int]) -> None:
    if numbers:
        if not await try_take(connection, Lock.PRIMARIES):
            raise PrimariesHeld
        await connection.execute(SQL["demote_others"], rows_of(*({"number": number} for number in numbers)))

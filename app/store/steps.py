"""Writes as steps, so that several of them can be carried out at once.

A write is a generator: it yields statements, each with one row of arguments, and is sent the records that
answer it. Writes of a group go in step, and a statement that several of them yield is executed once, for all
of their rows. So every such statement takes its rows as one JSON array, `$1`, and returns with each record
the `place` of the row that it answers.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar
from uuid import UUID

import asyncpg
import orjson

from app.domain.errors import RegistryError
from app.store.postgres import Connection

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """A statement for one row of arguments."""

    statement: str
    row: dict[str, Any]
    changes: bool
    """Whether it changes the database."""


Records: TypeAlias = list[asyncpg.Record]
Steps: TypeAlias = Generator[Step, Records, T]


def ask(statement: str, **row: Any) -> Steps[Records]:
    """A step that reads or locks; the records that answer it."""
    return (yield Step(statement, row, changes=False))


def tell(statement: str, **row: Any) -> Steps[Records]:
    """A step that changes something; the records that answer it."""
    return (yield Step(statement, row, changes=True))


def ask_one(statement: str, **row: Any) -> Steps[asyncpg.Record | None]:
    """As `ask`, where no more than one record answers."""
    records = yield from ask(statement, **row)
    return records[0] if records else None


def rows_of(*rows: dict[str, Any]) -> str:
    """The argument of a statement for these rows."""
    placed = [{"place": place, **row} for place, row in enumerate(rows)]
    return orjson.dumps(placed, default=_as_json).decode()


def _as_json(value: object) -> str:
    """asyncpg's UUIDs are a class of their own, which orjson does not know."""
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is nothing that a statement takes")


async def carry_out(connection: Connection, writes: Sequence[Steps[T]]) -> list[T | RegistryError]:
    """What each of the writes returned, or was refused with before it had changed anything.

    Raises whatever else goes wrong; then the transaction is of no use to any of them. A write that is alone
    is told of the driver's error, and may raise its own instead.
    """
    group = _Group(writes)
    while steps := group.take_steps():
        answers: dict[int, Records] = {place: [] for place in steps}
        for statement, places in _by_statement(steps).items():
            try:
                records = await connection.fetch(statement, rows_of(*(steps[place].row for place in places)))
            except asyncpg.PostgresError as error:
                if len(writes) == 1:
                    writes[0].throw(error)
                raise
            for record in records:
                answers[places[record["place"]]].append(record)
        for place, answer in answers.items():
            group.go_on(place, answer)
    return [group.outcomes[place] for place in range(len(writes))]


class _Group(Generic[T]):
    """Writes on their way, each known by its place among them."""

    def __init__(self, writes: Sequence[Steps[T]]) -> None:
        self.outcomes: dict[int, T | RegistryError] = {}
        self._writes = writes
        self._steps: dict[int, Step] = {}
        self._have_changed: set[int] = set()
        for place in range(len(writes)):
            self.go_on(place, None)

    def take_steps(self) -> dict[int, Step]:
        """The next step of each write that has not ended, by its place."""
        steps, self._steps = self._steps, {}
        return steps

    def go_on(self, place: int, records: Records | None) -> None:
        """Send a write the answer to its step; None begins it."""
        try:
            write = self._writes[place]
            step = next(write) if records is None else write.send(records)
        except StopIteration as end:
            self.outcomes[place] = end.value
        except RegistryError as refusal:
            if place in self._have_changed:
                raise
            self.outcomes[place] = refusal
        else:
            self._steps[place] = step
            if step.changes:
                self._have_changed.add(place)


def _by_statement(steps: Mapping[int, Step]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, step in steps.items():
        places.setdefault(step.statement, []).append(place)
    return places

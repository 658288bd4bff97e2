"""Many writes of instruments in one transaction, in the order of their lines, a few hundred at a time.

Nothing is held in memory but the lines at hand and the first problems. Lines that go well together are one
statement; where a line needs what one before it did, it waits for that.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import IO, Any, Final, TypeAlias
from uuid import UUID

import orjson

from app.domain.bulk_line import BulkOperation, Creation, Edit, Operation, read_bulk_line
from app.domain.errors import (
    BulkRefused,
    BulkUnderWay,
    FieldError,
    InvalidInput,
    PreconditionFailed,
    RegistryError,
)
from app.domain.instrument import no_such_instrument, public_id
from app.domain.instrument_write import Change, Stored
from app.store.idempotency import Answer, Once, find_answer, remember_answer
from app.store.instrument_writes import (
    do_steps,
    insert_instruments,
    lock_instruments,
    update_instruments,
    without_circle,
)
from app.store.locks import Lock, take, try_take
from app.store.postgres import STATEMENT_TIMEOUT_S, Connection, open_connection, postgres_errors
from app.store.writing import Writer, writing

MAX_LINES: Final = 1_000_000
MAX_LINE_BYTES: Final = 1 << 16
MAX_PROBLEMS: Final = 100
"""That are told; the others are counted."""
_BATCH: Final = 200
"""Lines that are read, then applied together."""
_MOST_AT_A_STRETCH_S: Final = 0.01
"""How long lines are read while other requests wait."""
_NOBODY: Final = UUID(int=0)
"""Subject of the answer to many."""

Placed: TypeAlias = tuple[int, Operation]
"""An operation and its line."""


@dataclass(slots=True)
class _Report:
    """What became of the lines so far."""

    atomic: bool
    created: int = 0
    updated: int = 0
    delisted: int = 0
    unchanged: int = 0
    rejected: int = 0
    errors: list[FieldError] = field(default_factory=list)

    @property
    def goes_on(self) -> bool:
        """Whether anything that follows may still be applied."""
        return not (self.atomic and self.rejected)

    def refuse(self, line: int, error: RegistryError) -> None:
        self.rejected += 1
        found = error.errors or (FieldError(_field_of(error), str(error)),)
        room = MAX_PROBLEMS - len(self.errors)
        self.errors += [FieldError(each.field, each.message, line) for each in found[:room]]

    def count(self, operation: BulkOperation, change: Change) -> None:
        if not change.columns:
            self.unchanged += 1
        elif operation is BulkOperation.DELIST:
            self.delisted += 1
        else:
            self.updated += 1

    @property
    def json(self) -> bytes:
        counts: dict[str, Any] = {
            name: getattr(self, name) for name in ("created", "updated", "delisted", "unchanged", "rejected")
        }
        errors = [{"line": each.line, "field": each.field, "message": each.message} for each in self.errors]
        return orjson.dumps({**counts, "errors": errors})


async def write_bulk(url: str, writer: Writer, body: IO[bytes], *, atomic: bool, once: Once | None) -> Answer:
    """Apply the lines of `body`, NDJSON: all or none (`atomic`), or those that can be; the answer says what.

    Raises BulkRefused naming the first lines at fault where it is atomic, BulkUnderWay, InFlight, KeyReused,
    Conflict and PostgresUnavailable; nothing was applied then.
    """

    async def attempt(primaries_first: bool) -> Answer:
        body.seek(0)
        return await _write(url, writer, body, _Report(atomic), once, primaries_first=primaries_first)

    return await without_circle(attempt)


async def _write(
    url: str, writer: Writer, body: IO[bytes], report: _Report, once: Once | None, *, primaries_first: bool
) -> Answer:
    """Raises as `write_bulk` does, and PrimariesHeld."""
    async with open_connection(url, statement_timeout_s=STATEMENT_TIMEOUT_S) as connection:
        with postgres_errors():
            async with writing(connection, writer):
                if once is not None and (done := await do_steps(connection, find_answer(once))) is not None:
                    return done
                if not await try_take(connection, Lock.IMPORTS):
                    raise BulkUnderWay("an import or another bulk write is being applied; try again after it")
                if primaries_first:
                    await take(connection, Lock.PRIMARIES)
                await _apply_all(connection, body, report)
                if not report.goes_on:
                    raise BulkRefused(report.errors)
                answer = Answer(_NOBODY, 0, report.json)
                if once is not None:
                    await do_steps(connection, remember_answer(once, answer))
    return answer


async def _apply_all(connection: Connection, body: IO[bytes], report: _Report) -> None:
    lines = _lines(body)
    while batch := list(islice(lines, _BATCH)):
        operations = await _read(batch, report)
        for group in _in_step(operations):
            if report.goes_on:
                await _apply(connection, group, report)
        if report.atomic and len(report.errors) >= MAX_PROBLEMS:
            return
        await asyncio.sleep(0)  # where all lines were refused, nothing else lets other requests go on


def _lines(body: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, numbered from 1. Raises BulkRefused for one too long, or one too many."""
    count = 0
    for number, line in enumerate(iter(lambda: body.readline(MAX_LINE_BYTES + 1), b""), start=1):
        if len(line) > MAX_LINE_BYTES:
            raise BulkRefused([FieldError("line", f"is longer than {MAX_LINE_BYTES} bytes", number)])
        if not line.strip():
            continue
        count += 1
        if count > MAX_LINES:
            problem = f"is one more than {MAX_LINES}, the most that are allowed; send them in several bodies"
            raise BulkRefused([FieldError("line", problem, number)])
        yield number, line
    if not count:
        raise InvalidInput.of("body", "holds no line; send an object in each")


async def _read(batch: Sequence[tuple[int, bytes]], report: _Report) -> list[Placed]:
    """The lines that can be read. One takes microseconds, or milliseconds where all of it is wrong."""
    now, since = datetime.now(UTC), time.monotonic()
    operations: list[Placed] = []
    for number, line in batch:
        try:
            operations.append((number, read_bulk_line(line, now)))
        except InvalidInput as error:
            report.refuse(number, error)
        if time.monotonic() - since > _MOST_AT_A_STRETCH_S:
            await asyncio.sleep(0)
            since = time.monotonic()
    return operations


def _in_step(operations: Iterable[Placed]) -> Iterator[list[Placed]]:
    """Groups that can be applied edits first: none edits an instrument twice, or after a creation."""
    group: list[Placed] = []
    edited: set[int] = set()
    for line, operation in operations:
        if isinstance(operation, Edit) and (
            operation.number in edited or (group and isinstance(group[-1][1], Creation))
        ):
            yield group
            group, edited = [], set()
        if isinstance(operation, Edit):
            edited.add(operation.number)
        group.append((line, operation))
    if group:
        yield group


async def _apply(connection: Connection, group: Sequence[Placed], report: _Report) -> None:
    edits = [(line, operation) for line, operation in group if isinstance(operation, Edit)]
    if edits:
        await _apply_edits(connection, edits, report)
    creations = [(line, operation.change) for line, operation in group if isinstance(operation, Creation)]
    if creations and report.goes_on:
        numbers = await insert_instruments(connection, [change for _, change in creations])
        for (line, _), number in zip(creations, numbers, strict=True):
            if isinstance(number, RegistryError):
                report.refuse(line, number)
            else:
                report.created += 1


async def _apply_edits(connection: Connection, edits: Sequence[tuple[int, Edit]], report: _Report) -> None:
    stored = await lock_instruments(connection, [edit.number for _, edit in edits])
    changes: list[tuple[int, Edit, Stored, Change]] = []
    for line, edit in edits:
        try:
            before = stored.get(edit.number)
            if before is None:
                raise no_such_instrument(public_id(edit.number))
            if edit.version not in (None, before.version):
                raise PreconditionFailed(before.version)
            changes.append((line, edit, before, edit.change(before)))
        except RegistryError as error:
            report.refuse(line, error)
    if not report.goes_on:
        return
    outcomes = await update_instruments(connection, [(before, change) for *_, before, change in changes])
    for (line, edit, _, change), outcome in zip(changes, outcomes, strict=True):
        if outcome is None:
            report.count(edit.operation, change)
        else:
            report.refuse(line, outcome)


def _field_of(error: RegistryError) -> str:
    """The field that an error is about which names none."""
    return "version" if isinstance(error, PreconditionFailed) else "id"

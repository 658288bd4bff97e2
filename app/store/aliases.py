"""Aliases of instruments in Postgres: read, edited one by one, and told by files.

A later import must neither lose what was added by hand nor bring back what was removed by hand. So a change
of the plain names marks `aliases` as edited, which the sources of instruments heed; a dated alias is no
source's, and only its removal marks `dated_aliases`, which files of aliases heed.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg
import orjson

from app.domain.alias import (
    Alias,
    Aliases,
    Which,
    add_alias,
    dated_document,
    read_dated,
    remove_alias,
    tell_alias,
)
from app.domain.errors import Conflict, PreconditionFailed
from app.domain.instrument import no_such_instrument, public_id
from app.store.imports import MergeResult, Refusal
from app.store.locks import Lock, take
from app.store.postgres import (
    LONG_STATEMENT_TIMEOUT_S,
    Connection,
    Postgres,
    open_connection,
    postgres_errors,
)
from app.store.statements import Statements
from app.store.writing import Writer, sign, writing

SQL: Final = Statements("aliases.sql")

_REMOVED_BY_HAND: Final = "aliases of {} were removed by hand; --overwrite adds this one nevertheless"


@dataclass(frozen=True, slots=True)
class StoredAliases:
    """An instrument's aliases and its version."""

    number: int
    aliases: Aliases
    edited_fields: tuple[str, ...]
    version: int


@dataclass(frozen=True, slots=True)
class ToldAlias:
    """An alias of a file, its place there (`ord`, ascending), and the instrument's symbol, MIC and ISIN."""

    ord: int
    symbol: str
    mic: str | None
    isin: str | None
    alias: Alias


async def read_aliases(postgres: Postgres, number: int) -> StoredAliases:
    """Raises NotFound and PostgresUnavailable."""
    async with postgres.connection() as connection:
        record = await connection.fetchrow(SQL["read"], number)
    return _stored(number, record)


async def add(
    postgres: Postgres, writer: Writer, number: int, new: Alias, accepts: Callable[[int], bool]
) -> int:
    """Add an alias; the instrument's new version. Raises as `_edit` does, and Conflict as `add_alias`."""
    return await _edit(
        postgres, writer, number, lambda aliases: add_alias(aliases, new), accepts, removes=False
    )


async def remove(
    postgres: Postgres, writer: Writer, number: int, which: Which, accepts: Callable[[int], bool]
) -> int:
    """Remove an alias; the instrument's new version. Raises as `_edit` does, and as `remove_alias`."""
    return await _edit(
        postgres, writer, number, lambda aliases: remove_alias(aliases, which), accepts, removes=True
    )


async def merge_aliases(url: str, told: Sequence[ToldAlias], *, actor: str, overwrite: bool) -> MergeResult:
    """Add all aliases of a file in one transaction: all of the run, or nothing.

    `changed` counts the aliases that were not there before. Raises PostgresUnavailable.
    """
    refusals: list[Refusal] = []
    added = 0
    async with open_connection(url, statement_timeout_s=LONG_STATEMENT_TIMEOUT_S) as connection:
        with postgres_errors():
            async with connection.transaction():
                await take(connection, Lock.IMPORTS)
                await sign(connection, Writer(actor))
                by_instrument = await _find_instruments(connection, told, refusals)
                records = await connection.fetch(SQL["lock"], list(by_instrument))
                changed = []
                for record in records:
                    stored = _stored(record["id"], record)
                    told_of_it = by_instrument[stored.number]
                    aliases, count = _merged(stored, told_of_it, refusals, overwrite=overwrite)
                    added += count
                    if count:
                        changed.append(_row(stored, aliases, stored.edited_fields))
                await connection.execute(SQL["write"], _json(changed))
    return MergeResult(len(told), 0, added, 0, tuple(sorted(refusals, key=lambda refusal: refusal.ord)))


def _merged(
    stored: StoredAliases, told: Iterable[ToldAlias], refusals: list[Refusal], *, overwrite: bool
) -> tuple[Aliases, int]:
    """What the aliases that a file tells of an instrument make of its own, and how many were not there."""
    aliases, added = stored.aliases, 0
    may_add = overwrite or "dated_aliases" not in stored.edited_fields
    said: list[Alias] = []
    for item in told:
        if any(map(item.alias.overlaps, said)):
            is_same = item.alias in said
            reason = "repeats an earlier row" if is_same else "an earlier row has other dates that overlap"
            refusals.append(Refusal(item.ord, is_same, reason))
            continue
        said.append(item.alias)
        try:
            after = tell_alias(aliases, item.alias, overwrite=overwrite)
            if after is not aliases and not may_add:
                raise Conflict(_REMOVED_BY_HAND.format(public_id(stored.number)))
        except Conflict as error:
            refusals.append(Refusal(item.ord, False, str(error)))
            continue
        added += after is not aliases
        aliases = after
    return aliases, added


async def _find_instruments(
    connection: Connection, told: Sequence[ToldAlias], refusals: list[Refusal]
) -> Mapping[int, list[ToldAlias]]:
    """The aliases by their instruments: of several with the symbol, the one that is not delisted."""
    records = await connection.fetch(
        SQL["find"],
        [item.ord for item in told],
        [item.symbol for item in told],
        [item.mic for item in told],
        [item.isin for item in told],
    )
    found = {record["ord"]: record["living"] or record["delisted"] for record in records}
    by_instrument: dict[int, list[ToldAlias]] = defaultdict(list)
    for item in told:
        numbers = found.get(item.ord, [])
        if len(numbers) == 1:
            by_instrument[numbers[0]].append(item)
        elif numbers:
            some = ", ".join(public_id(number) for number in sorted(numbers)[:3])
            refusals.append(Refusal(item.ord, False, f"several instruments fit ({some}); give mic or isin"))
        else:
            refusals.append(Refusal(item.ord, False, "no instrument has this symbol (and mic and isin)"))
    return by_instrument


async def _edit(
    postgres: Postgres,
    writer: Writer,
    number: int,
    change: Callable[[Aliases], Aliases],
    accepts: Callable[[int], bool],
    *,
    removes: bool,
) -> int:
    """Raises NotFound, PostgresUnavailable, and PreconditionFailed unless `accepts` the version."""
    async with postgres.connection() as connection, writing(connection, writer):
        stored = _stored(number, await connection.fetchrow(SQL["lock"], [number]))
        if not accepts(stored.version):
            raise PreconditionFailed(stored.version)
        after = change(stored.aliases)
        edited = list(stored.edited_fields)
        if after.plain != stored.aliases.plain and "aliases" not in edited:
            edited.append("aliases")
        if removes and after.dated != stored.aliases.dated and "dated_aliases" not in edited:
            edited.append("dated_aliases")
        return int(await connection.fetchval(SQL["write"], _json([_row(stored, after, edited)])))


def _stored(number: int, record: asyncpg.Record | None) -> StoredAliases:
    if record is None:
        raise no_such_instrument(public_id(number))
    aliases = Aliases(tuple(record["aliases"]), read_dated(orjson.loads(record["dated_aliases"])))
    return StoredAliases(number, aliases, tuple(record["edited_fields"]), record["version"])


def _row(stored: StoredAliases, aliases: Aliases, edited_fields: Sequence[str]) -> dict[str, object]:
    return {
        "id": stored.number,
        "aliases": aliases.plain,
        "dated_aliases": dated_document(aliases.dated),
        "edited_fields": edited_fields,
    }


def _json(rows: Sequence[dict[str, object]]) -> str:
    return orjson.dumps(rows).decode()

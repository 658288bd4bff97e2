"""Merges a run of listings into the instruments: COPY into a staging table, then one set-based merge."""

from collections.abc import AsyncIterable, Callable
from dataclasses import asdict, dataclass
from typing import Final

import orjson

from app.domain.instrument import Listing, decimal_text, public_id
from app.domain.venues import VENUES
from app.store.locks import Lock, take
from app.store.postgres import LONG_STATEMENT_TIMEOUT_S, Connection, open_connection, postgres_errors
from app.store.statements import Statements
from app.store.writing import Writer, sign

SQL: Final = Statements("imports.sql")

_SAME_THING: Final = "repeats an earlier row, and fills what that one leaves open"
_OTHER_THING: Final = "an earlier row has the same symbol at the same venue for another asset class"
_CHANGED_MEANWHILE: Final = "was changed by somebody else while the import ran; import it again"
_COLUMNS: Final = (
    "ord",
    "source",
    "source_key",
    "venue",
    "symbol",
    "asset_class",
    "status",
    "document",
    "attributes",
)


@dataclass(frozen=True, slots=True)
class StagedListing:
    """A listing with its place in the run (`ord`, ascending) and the source that describes it."""

    ord: int
    source: str
    listing: Listing


@dataclass(frozen=True, slots=True)
class Refusal:
    """A staged listing that did not become an instrument; a duplicate's values went to the row it repeats."""

    ord: int
    duplicate: bool
    reason: str


@dataclass(frozen=True, slots=True)
class MergeResult:
    staged: int
    created: int
    changed: int
    delisted: int
    refusals: tuple[Refusal, ...]

    @property
    def unchanged(self) -> int:
        return self.staged - self.created - self.changed - len(self.refusals)


async def merge_listings(
    url: str,
    listings: AsyncIterable[StagedListing],
    *,
    actor: str,
    overwrite: bool,
    may_delist: Callable[[], bool],
) -> MergeResult:
    """Merge all listings in one transaction: all of the run, or nothing.

    `may_delist` is asked once all listings were read: whether to delist what their sources no longer
    name. Raises PostgresUnavailable, or Conflict when the database's rules refuse the result.
    """
    sources: set[str] = set()
    staged = 0

    async def records() -> AsyncIterable[tuple[object, ...]]:
        nonlocal staged
        async for item in listings:
            staged += 1
            sources.add(item.source)
            yield _record(item)

    async with open_connection(url, statement_timeout_s=LONG_STATEMENT_TIMEOUT_S) as connection:
        with postgres_errors():
            async with connection.transaction():
                await take(connection, Lock.IMPORTS)
                await _stage(connection, records(), actor)
                refusals = await _remove_duplicates(connection)
                await connection.execute(SQL["match_by_source"])
                await connection.execute(SQL["match_by_symbol"])
                await connection.execute("ANALYZE staging")
                delisted = 0
                if may_delist():
                    delisted = _count(await connection.execute(SQL["delist_missing"], sorted(sources)))
                refusals += await _merge(connection, overwrite=overwrite)
                # Changes first: a symbol that one of them gives up may be a new instrument's.
                changed = _count(await connection.execute(SQL["update_changed"]))
                refusals += [
                    Refusal(record["ord"], False, _CHANGED_MEANWHILE)
                    for record in await connection.fetch(SQL["changed_meanwhile"])
                ]
                created = _count(await connection.execute(SQL["insert_new"]))
                await connection.execute(SQL["update_other_primaries"])
                # The indexer reads by an index that the planner must know to be worth it.
                await connection.execute("ANALYZE instruments")
    return MergeResult(staged, created, changed, delisted, tuple(refusals))


async def instruments_exist(url: str) -> bool:
    async with open_connection(url) as connection:
        with postgres_errors():
            return bool(await connection.fetchval(SQL["instruments_exist"]))


async def _stage(connection: Connection, records: AsyncIterable[tuple[object, ...]], actor: str) -> None:
    await connection.execute("SET LOCAL work_mem = '256MB'")
    await sign(connection, Writer(actor))
    await connection.execute(SQL["create_staging"])
    await connection.execute(SQL["create_venues"])
    venues = VENUES.values()
    columns = [v.mic for v in venues], [v.country for v in venues], [v.weight for v in venues]
    await connection.execute(SQL["fill_venues"], *columns)
    await connection.copy_records_to_table("staging", records=records, columns=_COLUMNS)


async def _remove_duplicates(connection: Connection) -> list[Refusal]:
    await connection.execute(SQL["find_duplicates"])
    await connection.execute(SQL["fill_gaps_from_duplicates"])
    return [
        Refusal(record["ord"], record["same_thing"], _SAME_THING if record["same_thing"] else _OTHER_THING)
        for record in await connection.fetch(SQL["remove_duplicates"])
    ]


async def _merge(connection: Connection, *, overwrite: bool) -> list[Refusal]:
    await connection.execute(SQL["merge"], overwrite)
    await connection.execute("ANALYZE merged")
    contradictions = await connection.fetch(SQL["remove_contradictions"])
    conflicts = await connection.fetch(SQL["remove_conflicts"])
    await connection.execute(SQL["find_primaries"])
    await connection.execute("ANALYZE primaries")
    return [
        *(
            Refusal(
                record["ord"],
                False,
                f"delisted_on ({record['delisted_on']}) would be before listed_on ({record['listed_on']})",
            )
            for record in contradictions
        ),
        *(
            Refusal(
                record["ord"],
                False,
                f"symbol {record['symbol']} at venue {record['venue'] or '(none)'} belongs to "
                + (public_id(record["holder"]) if record["holder"] else "another row of this import"),
            )
            for record in conflicts
        ),
    ]


def _record(item: StagedListing) -> tuple[object, ...]:
    listing = item.listing
    document = {name: value for name, value in asdict(listing).items() if value is not None}
    attributes = document.pop("attributes")
    document |= document.pop("identifiers")
    if not listing.aliases:
        del document["aliases"]
    return (
        item.ord,
        item.source,
        f"{listing.venue}:{listing.symbol}",
        listing.venue,
        listing.symbol,
        listing.asset_class.value,
        listing.status.value,
        orjson.dumps(document, default=decimal_text).decode(),
        orjson.dumps(attributes).decode(),
    )


def _count(command_tag: str) -> int:
    return int(command_tag.rpartition(" ")[2])

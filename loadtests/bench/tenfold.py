"""Ten times the instruments: nine altered copies of each, and what becomes slower with them."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp
import asyncpg
from stdnum import cusip, figi, isin
from stdnum.gb import sedol

from app.store.redis import open_redis
from app.store.writing import SQL as WRITING
from loadtests.bench.api import Api, Servers, median, redis_cpu_s
from loadtests.bench.report import Figure
from loadtests.bench.wrk import Deck
from loadtests.rebuilds import rebuild

COPIES: Final = 9
ROUNDS: Final = 5
ROUND_S: Final = 3
_ALPHABET: Final = "0123456789BCDFGHJKLMNPQRSTVWXYZ"
"""Of SEDOLs and FIGIs, which have no vowels; every other identifier may be made of it too."""
_CHECK_DIGIT: Final[Mapping[str, Callable[[str], str]]] = {
    "isin": isin.calc_check_digit,
    "cusip": cusip.calc_check_digit,
    "sedol": sedol.calc_check_digit,
    "figi": figi.calc_check_digit,
}
_IDENTIFIERS: Final = """
SELECT DISTINCT kind, identifier
FROM instruments CROSS JOIN LATERAL (VALUES
    ('isin', isin), ('cusip', cusip), ('sedol', sedol),
    ('figi', figi), ('figi', composite_figi), ('figi', share_class_figi)
) AS own (kind, identifier)
WHERE identifier IS NOT NULL
"""
_SLOW_INDEXES: Final = """
SELECT indexname AS name, indexdef AS definition
FROM pg_indexes WHERE tablename = 'instruments' AND indexdef LIKE '% USING gin %'
"""
"""Those that are made more quickly at the end than kept while rows come."""
_CREATE_ALTERED: Final = "CREATE TEMP TABLE altered (copy smallint, identifier text, altered text)"
_COPY: Final = r"""
INSERT INTO instruments (
    symbol, name, asset_class, status, mic, exchange, currency, country, sector, industry,
    isin, cusip, sedol, figi, composite_figi, share_class_figi, lei, is_primary, cfi, aliases,
    listed_on, delisted_on, tick_size, lot_size, contract, attributes, source, source_key
)
SELECT regexp_replace(own.symbol, '^(\^?[^.]{1,20})', '\1' || $1::int || 'Q'),
       left(CASE $1::int % 2
                WHEN 0 THEN own.first_word
                ELSE translate(own.first_word, 'aeiou', substr('aeiouaeiou', $1::int % 5 + 1, 5))
            END || coalesce(other.further_words, own.further_words), 300),
       asset_class, status, mic, exchange, currency, country, sector, industry,
       isin.altered, cusip.altered, sedol.altered, figi.altered, composite.altered, share_class.altered, lei,
       is_primary, cfi, ARRAY(SELECT alias || $1::int FROM unnest(aliases) AS alias),
       listed_on, delisted_on, tick_size, lot_size, contract, attributes, source, source_key || '#' || $1::int
FROM (
    SELECT *, split_part(name, ' ', 1) AS first_word,
           coalesce(substring(name FROM ' .*'), '') AS further_words
    FROM instruments WHERE id <= $2
) AS own
LEFT JOIN (
    SELECT id AS other_id, substring(name FROM ' .*') AS further_words FROM instruments WHERE id <= $2
) AS other ON other_id = (own.id + $1::int * 7919) % $2 + 1
LEFT JOIN altered AS isin ON isin.copy = $1 AND isin.identifier = own.isin
LEFT JOIN altered AS cusip ON cusip.copy = $1 AND cusip.identifier = own.cusip
LEFT JOIN altered AS sedol ON sedol.copy = $1 AND sedol.identifier = own.sedol
LEFT JOIN altered AS figi ON figi.copy = $1 AND figi.identifier = own.figi
LEFT JOIN altered AS composite ON composite.copy = $1 AND composite.identifier = own.composite_figi
LEFT JOIN altered AS share_class ON share_class.copy = $1 AND share_class.identifier = own.share_class_figi
ON CONFLICT DO NOTHING
"""
"""One copy ($1) of every instrument up to $2. In copies of odd number the first word of a name is another
one, so that words multiply too; its further words are those of another instrument."""


async def multiply(database_url: str) -> float:
    """Add the copies, as an import would; the seconds that it took."""
    started = time.monotonic()
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(_CREATE_ALTERED)
        identifiers = await connection.fetch(_IDENTIFIERS)
        await connection.copy_records_to_table(
            "altered",
            records=[
                (copy, identifier, altered(kind, identifier, copy))
                for copy in range(1, COPIES + 1)
                for kind, identifier in identifiers
            ],
        )
        await connection.execute("CREATE INDEX ON altered (copy, identifier); ANALYZE altered")
        last = await connection.fetchval("SELECT max(id) FROM instruments")
        slow_indexes = await connection.fetch(_SLOW_INDEXES)
        for index in slow_indexes:
            await connection.execute(f"DROP INDEX {index['name']}")
        for copy in range(1, COPIES + 1):
            async with connection.transaction():
                await connection.execute(WRITING["sign"], "bench", "")
                await connection.execute(_COPY, copy, last)
        await connection.execute("SET maintenance_work_mem = '1GB'")
        for index in slow_indexes:
            await connection.execute(index["definition"])
        await connection.execute("VACUUM ANALYZE instruments")
    finally:
        await connection.close()
    return round(time.monotonic() - started, 1)


def altered(kind: str, identifier: str, copy: int) -> str:
    """Another identifier of this kind, with a right check digit; of each copy another."""
    body = list(identifier[:-1])
    for place in (-1, -3):
        if body[place] in _ALPHABET:
            moved = _ALPHABET.index(body[place]) + copy * -place
            body[place] = _ALPHABET[moved % len(_ALPHABET)]
    text = "".join(body)
    return text + _CHECK_DIGIT[kind](text)


async def size_of(servers: Servers) -> tuple[int, int]:
    """Instruments in Postgres, and bytes in Redis, which holds one generation of them."""
    connection = await asyncpg.connect(servers.database_url)
    rows = await connection.fetchval("SELECT count(*) FROM instruments")
    await connection.close()
    client = open_redis(servers.redis_url, pool_size=1, timeout_s=30)
    memory = await client.info("memory")
    await client.aclose()
    return int(rows), int(memory["used_memory"])


async def measure_tenfold(
    once: tuple[Servers, Api], tenfold: tuple[Servers, Api], decks: Mapping[str, Deck]
) -> dict[str, Figure]:
    """The same queries of both, over one connection; then memory, and a rebuild of each."""
    sides = {"once": once, "tenfold": tenfold}
    sizes = {name: await size_of(servers) for name, (servers, _) in sides.items()}
    ms: dict[str, dict[str, float]] = {}
    redis_us: dict[str, dict[str, float]] = {}
    for kind, deck in decks.items():
        taken: dict[str, list[float]] = {name: [] for name in sides}
        redis: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(ROUNDS):
            for name, (servers, service) in sides.items():
                redis_before = await redis_cpu_s(servers.redis_url)
                load, _ = await service.load(deck, seconds=ROUND_S, connections=1)
                used_s = await redis_cpu_s(servers.redis_url) - redis_before
                taken[name].append(1000 / load.requests_per_s)
                redis[name].append(used_s / load.requests * 1e6)
        ms[kind] = {name: median(times, 3) for name, times in taken.items()}
        redis_us[kind] = {name: median(times) for name, times in redis.items()}
    rebuild_s = {name: await _rebuild(service) for name, (_, service) in sides.items()}
    per_instrument_us = {name: rebuild_s[name] / sizes[name][0] * 1e6 for name in sides}
    detail: dict[str, Any] = {
        "instruments": {name: rows for name, (rows, _) in sizes.items()},
        "redis_bytes": {name: used for name, (_, used) in sizes.items()},
        "ms": ms,
        "redis_cpu_us": redis_us,
        "rebuild_s": rebuild_s,
    }
    rows, used = sizes["tenfold"]
    return {
        **{
            f"tenfold.{kind}": Figure(ms[kind]["tenfold"], ms[kind]["once"], detail)
            for kind in ("exact", "prefix")
        },
        "tenfold.memory": Figure(used / rows, None, detail),
        "tenfold.rebuild": Figure(per_instrument_us["tenfold"], per_instrument_us["once"], detail),
    }


async def _rebuild(service: Api) -> float:
    async with aiohttp.ClientSession(service.url, headers={"X-API-Key": service.key}) as session:
        return await rebuild(session)

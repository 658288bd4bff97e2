"""What is asked: paths made of the instruments that a database holds, in the same order each time."""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

import asyncpg

SEARCH: Final = "/v1/instruments/search"
SUGGEST: Final = "/v1/instruments/suggest"
SORTS: Final = ("relevance", "symbol", "name", "-updated_at")
BROAD: Final = {
    "catalog": {},
    "one filter": {"asset_class": "etf"},
    "another filter": {"asset_class": "equity"},
    "two filters": {"asset_class": "etf", "currency": "EUR"},
}
"""Filters that let many through, by what they are called."""
_HOT: Final = 100
_TYPED: Final = 4000
_LONGEST_TYPED: Final = 8
_TWO_WORDS: Final = re.compile(r"([A-Za-z]{2,}) ([A-Za-z]{4,})")
_SHORTEST_PREFIX: Final = 3
_SEED: Final = 6


@dataclass(frozen=True, slots=True)
class Queries:
    hot: list[str]
    exact: list[str]
    prefix: list[str]
    suggest: list[str]


async def read_queries(database_url: str) -> Queries:
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            "SELECT symbol, name, isin, cusip, figi FROM instruments WHERE status = 'active' ORDER BY id"
        )
    finally:
        await connection.close()
    chance = random.Random(_SEED)
    exact = list(dict.fromkeys(value for row in rows for value in _keys(row)))
    prefix = list(dict.fromkeys(text for row in rows for text in two_word_prefixes(row["name"])))
    chance.shuffle(exact)
    chance.shuffle(prefix)
    typed = [
        letters
        for row in chance.sample(rows, min(_TYPED, len(rows)))
        for letters in typing(row[chance.choice(("symbol", "name"))])
    ]
    # Hot ones are no others: they are taken from the end, which no measurement comes to.
    hot = exact[-_HOT // 2 :] + prefix[-_HOT // 2 :]
    return Queries(
        hot=[search_path(q=text) for text in hot],
        exact=[search_path(q=text) for text in exact],
        prefix=[search_path(q=text) for text in prefix],
        suggest=[f"{SUGGEST}?q={quote(text)}" for text in typed],
    )


def _keys(row: asyncpg.Record) -> Iterator[str]:
    for name in ("symbol", "isin", "cusip", "figi"):
        if row[name] is not None:
            yield row[name]


def two_word_prefixes(name: str) -> Iterator[str]:
    """A name's first word with the second as far as it is typed; nothing for a name of other words."""
    if (found := _TWO_WORDS.match(name)) is not None:
        first, second = found.groups()
        for end in range(_SHORTEST_PREFIX, len(second) + 1):
            yield f"{first} {second[:end]}".lower()


def typing(text: str) -> Iterator[str]:
    """A text as it grows under the hands of somebody."""
    for end in range(1, min(len(text), _LONGEST_TYPED) + 1):
        if text[end - 1] != " ":
            yield text[:end]


def search_path(**parameters: str | int) -> str:
    return f"{SEARCH}?{urlencode(parameters)}" if parameters else SEARCH

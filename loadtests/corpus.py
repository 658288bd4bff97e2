"""What the users of a load test ask for: real instruments, the first ones more often than the last."""

import random
from collections.abc import Iterable, Sequence
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict

from loadtests.shapes import LoadTestError


class Entry(BaseModel):
    """An instrument that is asked for."""

    model_config = ConfigDict(frozen=True)

    id: str
    symbol: str
    name: str
    identifiers: list[dict[str, str]]
    """As a batch lookup takes them."""


class Zipf:
    """Chooses the entry of rank r with a probability proportional to 1 / r^exponent."""

    def __init__(self, entries: Sequence[Entry], exponent: float) -> None:
        self._entries = entries
        self._cumulative = list(accumulate(rank**-exponent for rank in range(1, len(entries) + 1)))

    def choose(self, chance: random.Random) -> Entry:
        return self.choose_some(chance, 1)[0]

    def choose_some(self, chance: random.Random, count: int) -> list[Entry]:
        return chance.choices(self._entries, cum_weights=self._cumulative, k=count)


def corpus_of_file(file: Path, limit: int) -> list[Entry]:
    """The first lines of a file as `/v1/instruments/export` sends it; most wanted first."""
    try:
        with file.open(encoding="utf-8") as lines:
            entries = list(_entries(file, islice(lines, limit)))
    except (OSError, UnicodeDecodeError) as error:
        raise LoadTestError(f"--corpus: cannot read {file}: {error}") from error
    if not entries:
        raise LoadTestError(f"--corpus: {file} is empty; each line is an instrument, as the export has them")
    return entries


def _entries(file: Path, lines: Iterable[str]) -> Iterable[Entry]:
    for number, line in enumerate(lines, 1):
        try:
            yield entry_of(orjson.loads(line))
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise LoadTestError(
                f"--corpus: line {number} of {file} is no instrument as the export has them"
            ) from error


def entry_of(instrument: dict[str, Any]) -> Entry:
    """Of an instrument as the service shows it."""
    known = {"symbol": instrument["symbol"], **instrument["identifiers"]}
    return Entry(
        id=instrument["id"],
        symbol=instrument["symbol"],
        name=instrument["name"],
        identifiers=[
            {"type": kind, "value": known[kind]} for kind in ("symbol", "isin", "figi") if known.get(kind)
        ],
    )

"""Judged queries: what somebody types, and the instruments that are right answers to it.

Most are known-item queries, made of the instruments themselves: somebody has one in mind and types its
symbol, its name, the beginning of it, with a slip of the finger, without accents. `head.csv` holds what
people ask for most, with the symbols that they mean.
"""

import csv
import random
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HEAD: Final = Path(__file__).parent / "head.csv"

COLUMNS: Final = """
    SELECT id, symbol, name, asset_class, isin, figi, share_class_figi, is_primary,
           attributes ->> 'size_class' AS size_class
    FROM instruments WHERE status = 'active' ORDER BY id
"""
MAX_WORDS: Final = 8
"""Nobody types the whole of a longer name."""
MIN_BEGINNING: Final = 5
FEW: Final = 3
"""Names among which one is chosen by looking at them."""
_KNOWN_SIZES: Final = frozenset({"mega", "large", "mid"})
_FORMS: Final = frozenset(
    (
        *("inc", "incorporated", "corp", "corporation", "co", "company", "ltd", "limited", "plc", "ag", "sa"),
        *(
            "se",
            "nv",
            "spa",
            "ab",
            "asa",
            "oyj",
            "as",
            "the",
            "common",
            "stock",
            "ordinary",
            "shares",
            "group",
        ),
        "holdings",
    )
)


@dataclass(frozen=True, slots=True)
class Instrument:
    id: int
    symbol: str
    name: str
    asset_class: str
    isin: str | None
    figi: str | None
    share_class_figi: str | None
    is_primary: bool
    size_class: str | None

    @property
    def words(self) -> list[str]:
        return self.name.split()

    @property
    def is_named(self) -> bool:
        """Whether it has a name that somebody could know."""
        long_words = [word for word in self.words if word.isalpha() and len(word) > 2]
        return len(long_words) >= 2 and len(self.words) <= MAX_WORDS and self.name != self.symbol

    @property
    def is_known(self) -> bool:
        """Whether many look for it: a company of some size, at its main venue."""
        return self.is_primary and self.size_class in _KNOWN_SIZES


@dataclass(frozen=True, slots=True)
class Judged:
    family: str
    text: str
    right: frozenset[int]
    """Numbers of the instruments of which any is the right answer."""


def judged_queries(instruments: Sequence[Instrument], *, per_family: int, seed: int) -> list[Judged]:
    """The queries of all families, `per_family` each where there are so many. Other seeds give others."""
    chance = random.Random(seed)  # noqa: S311 - a sample, no secret
    catalog = Catalog(instruments)
    queries = list(head_queries(instruments))
    for family, (choose, ask) in FAMILIES.items():
        candidates = [instrument for instrument in instruments if choose(instrument)]
        chance.shuffle(candidates)
        # Half of them people have heard of, the others stand for the long tail.
        known = [instrument for instrument in candidates if instrument.is_known][: (per_family + 1) // 2]
        others = [instrument for instrument in candidates if not instrument.is_known]
        queries += (
            Judged(family, ask(instrument, chance, catalog), catalog.right(family, instrument))
            for instrument in known + others[: per_family - len(known)]
        )
    return queries


def head_queries(instruments: Iterable[Instrument]) -> Iterable[Judged]:
    """The queries of `head.csv` of which an instrument is here."""
    numbers = defaultdict(set)
    for instrument in instruments:
        numbers[instrument.symbol].add(instrument.id)
    with HEAD.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            right = frozenset(number for symbol in row["symbols"].split() for number in numbers[symbol])
            if right:
                yield Judged("head", row["query"], right)


class Catalog:
    """Which instruments are as good an answer as another."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._groups: dict[tuple[str, Hashable], set[int]] = defaultdict(set)
        self._names = sorted({" ".join(_bare_words(instrument)) for instrument in instruments})
        for instrument in instruments:
            for key in self._keys(instrument):
                self._groups[key].add(instrument.id)

    def _keys(self, instrument: Instrument) -> Iterable[tuple[str, Hashable]]:
        yield "symbol", instrument.symbol
        yield "name", frozenset(_bare_words(instrument))
        for kind in ("isin", "figi", "share_class_figi"):
            if (value := getattr(instrument, kind)) is not None:
                yield kind, value

    def right(self, family: str, instrument: Instrument) -> frozenset[int]:
        """Those that have the symbol, the FIGI or the ISIN; of a name, all of the same name or issue."""
        wanted = {"symbol": ("symbol",), "figi": ("figi",), "isin": ("isin",)}.get(
            family, ("name", "isin", "share_class_figi")
        )
        keys = [key for key in self._keys(instrument) if key[0] in wanted]
        return frozenset().union(*(self._groups[key] for key in keys))

    def telling_beginning(self, instrument: Instrument) -> str:
        """As much of its name as only few others begin with."""
        name = " ".join(_bare_words(instrument))
        for length in range(MIN_BEGINNING, len(name)):
            start = bisect_left(self._names, name[:length])
            if start + FEW >= len(self._names) or not self._names[start + FEW].startswith(name[:length]):
                return name[:length].strip()
        return name


def _plain(text: str) -> str:
    return "".join(
        character
        for character in unicodedata.normalize("NFKD", text.casefold())
        if not unicodedata.combining(character)
    )


def _bare_words(instrument: Instrument) -> list[str]:
    """The words that somebody would type of the name: not what kind of company or share it is."""
    words = [word.strip(".,()").lower() for word in instrument.words]
    return [_plain(word) for word in words if word and word not in _FORMS] or words


def _slip(instrument: Instrument, chance: random.Random) -> str:
    """The name's words, one of them with one letter wrong, missing, doubled or swapped with the next."""
    words = _bare_words(instrument)
    place = chance.choice([i for i, word in enumerate(words) if len(word) >= 5 and word.isalpha()])
    word = words[place]
    at = chance.randrange(1, len(word) - 1)
    slips = (
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
        word[:at] + chance.choice("aeiorstn") + word[at + 1 :],
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
    )
    words[place] = chance.choice(slips)
    return " ".join(words)


def _in_groups(identifier: str, chance: random.Random) -> str:
    """As people write identifiers: in either case, with spaces or hyphens."""
    text = chance.choice((identifier, identifier.lower()))
    separator = chance.choice(("", " ", "-"))
    return separator.join((text[:2], text[2:-1], text[-1]))


def _turned(instrument: Instrument, chance: random.Random) -> str:
    words = _bare_words(instrument)
    turn = chance.randrange(1, len(words))
    return " ".join(words[turn:] + words[:turn])


def _has_slippable_word(instrument: Instrument) -> bool:
    return instrument.is_named and any(len(word) >= 5 and word.isalpha() for word in _bare_words(instrument))


def _has_accent(instrument: Instrument) -> bool:
    return instrument.is_named and instrument.name.casefold() != _plain(instrument.name)


def _pair(instrument: Instrument, chance: random.Random) -> str:
    base, _, quote = instrument.name.partition("/")
    return chance.choice((f"{base}{quote}", f"{base}/{quote}".lower(), f"{base} {quote}".lower()))


Choose = Callable[[Instrument], bool]
Ask = Callable[[Instrument, random.Random, Catalog], str]

FAMILIES: Final[dict[str, tuple[Choose, Ask]]] = {
    "symbol": (lambda _: True, lambda i, chance, _: chance.choice((i.symbol, i.symbol.lower()))),
    "symbol without suffix": (
        lambda i: i.is_known and "." in i.symbol,
        lambda i, *_: i.symbol.rpartition(".")[0].lower(),
    ),
    "name": (lambda i: i.is_named, lambda i, *_: i.name),
    "typo": (_has_slippable_word, lambda i, chance, _: _slip(i, chance)),
    "prefix": (lambda i: i.is_named, lambda i, _, catalog: catalog.telling_beginning(i)),
    "word order": (lambda i: i.is_named and len(_bare_words(i)) > 1, lambda i, chance, _: _turned(i, chance)),
    "without accents": (_has_accent, lambda i, *_: " ".join(_bare_words(i))),
    "isin": (lambda i: i.isin is not None, lambda i, chance, _: _in_groups(str(i.isin), chance)),
    "figi": (lambda i: i.figi is not None, lambda i, chance, _: _in_groups(str(i.figi), chance)),
    "pair": (lambda i: i.asset_class == "currency" and "/" in i.name, lambda i, chance, _: _pair(i, chance)),
}
"""Each family: which instruments it is made of, and what is typed for one."""

"""Which of several matching instruments comes first: named weights, and nothing else.

Instruments that match a search in the same way stand in the order of their prominence, a number built
from facts that rarely change; a better way to match is worth a lead. The unit of both is one point.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Protocol

from app.domain.instrument import AssetClass, SizeClass, Status
from app.domain.search_pin import MAX_INSTRUMENTS as MAX_PINNED
from app.domain.symbols import currencies_of_pair
from app.domain.venues import VENUES

MAX_PROMINENCE: Final = 8191
"""13 bits, so that prominence and a 40-bit instrument number fit a double's 53 bits exactly."""


class Way(StrEnum):
    """How an instrument matches a text, best first. It counts for the best of them."""

    EXACT = "exact"
    """An identifier, a symbol, or a ticker at the venue that is named with it."""
    NAMED = "named"
    """The root of a symbol, an alias, or a whole name."""
    BEGINNING = "beginning"
    """The beginning of a symbol, an alias or a name."""
    WORDS = "words"
    """Every word is in the name."""


LEADS: Final[Mapping[Way, int]] = MappingProxyType(
    {Way.EXACT: 20_000, Way.NAMED: 600, Way.BEGINNING: 300, Way.WORDS: 0}
)
"""What a way to match is worth; more than MAX_PROMINENCE: whatever the instruments are."""

BEGINS_LEAD: Final = 300
"""Of a name that begins with all that was typed, where that is several words."""
WHOLE_LEAD: Final = 150
"""Of a name whose beginning was typed to the end of a word."""

STATUS_POINTS: Final[Mapping[str, int]] = MappingProxyType(
    {Status.ACTIVE: 3000, Status.SUSPENDED: 1500, Status.DELISTED: 0}
)
ASSET_CLASS_POINTS: Final[Mapping[str, int]] = MappingProxyType(
    {
        AssetClass.EQUITY: 300,
        AssetClass.ETF: 250,
        AssetClass.CURRENCY: 220,
        AssetClass.CRYPTO: 200,
        AssetClass.FUTURE: 150,
        AssetClass.BOND: 150,
        AssetClass.INDEX: 100,
        AssetClass.FUND: 100,
        AssetClass.OPTION: 60,
        AssetClass.MONEY_MARKET: 50,
    }
)
SIZE_POINTS: Final[Mapping[str, int]] = MappingProxyType(
    {
        SizeClass.MEGA: 600,
        SizeClass.LARGE: 450,
        SizeClass.MID: 300,
        SizeClass.SMALL: 150,
        SizeClass.MICRO: 80,
        SizeClass.NANO: 40,
    }
)
PRIMARY_POINTS: Final = 200
HOME_POINTS: Final = 250
"""Of a listing in the issuer's own country."""
BENCHMARK_POINTS: Final = 800
BENCHMARKS: Final = frozenset(
    (
        *("^GSPC", "^DJI", "^IXIC", "^NDX", "^RUT", "^VIX", "^FTSE", "^GDAXI", "^FCHI", "^STOXX50E", "^AEX"),
        *("^IBEX", "^SSMI", "^BFX", "^N225", "^HSI", "^BSESN", "^NSEI", "^AXJO", "^GSPTSE", "^BVSP", "^MXX"),
        *("SPY", "IVV", "VOO", "QQQ", "VTI", "IWM", "DIA", "EEM", "EFA", "GLD", "TLT", "AGG", "VEA", "VWO"),
        *("BTC", "ETH", "SOL1", "SOL", "XRP", "BNB", "DOGE", "ADA", "LTC", "BCH", "DOT1", "DOT"),
    )
)
"""Indices that markets are measured by, and the funds and coins that are traded most."""
QUOTE_POINTS: Final[Mapping[str, int]] = MappingProxyType(
    {"USD": 100, "EUR": 80, "GBP": 60, "JPY": 60, "CHF": 50, "AUD": 40, "CAD": 40, "NZD": 30, "CNY": 30}
)
"""Of a pair, for what it is quoted in."""
SENIOR_POINTS: Final = -400
"""Of what is no share of the company but ranks before one, or may become one: of the same issuer the shares
are looked for."""
NAMELESS_POINTS: Final = -300
"""Of an instrument whose name is but its symbol."""
WORD_POINTS: Final = -5
"""Of each word in a name, up to MAX_COUNTED_WORDS: of two names that match, the shorter has less that was not
asked for. To all these a venue's own weight (0 to 100) is added."""
MAX_COUNTED_WORDS: Final = 12

SENIOR_WORDS: Final = frozenset(
    (
        *("preferred", "preference", "pfd", "note", "notes", "debenture", "debentures", "subordinated"),
        *("warrant", "warrants", "right", "rights", "unit", "units"),
    )
)
_MEASURES: Final = frozenset((AssetClass.INDEX, AssetClass.ETF, AssetClass.CRYPTO))


class Facts(Protocol):
    """What points are given for: an instrument's `status`, `asset_class`, `size_class`, `mic`, `country`,
    `symbol`, `name` and `is_primary`."""

    def __getitem__(self, name: str, /) -> Any: ...


def points_of(facts: Facts, name_words: Sequence[str]) -> dict[str, int]:
    """What an instrument has points for; `name_words` are those of `app.domain.text.words`."""
    asset_class, symbol, name = facts["asset_class"], facts["symbol"], facts["name"]
    size_class, mic = facts["size_class"], facts["mic"]
    venue = VENUES.get(mic) if mic else None
    pair = currencies_of_pair(symbol, name, asset_class)
    measure = pair[0] if pair else symbol
    is_senior = asset_class == AssetClass.EQUITY and not SENIOR_WORDS.isdisjoint(name_words)
    return {
        "status": STATUS_POINTS[facts["status"]],
        "asset_class": ASSET_CLASS_POINTS[asset_class],
        "size": SIZE_POINTS.get(size_class, 0) if size_class else 0,
        "primary": PRIMARY_POINTS if facts["is_primary"] else 0,
        "venue": venue.weight if venue else 0,
        "home": HOME_POINTS if venue and venue.country == facts["country"] else 0,
        "benchmark": BENCHMARK_POINTS if measure in BENCHMARKS and asset_class in _MEASURES else 0,
        "quote": QUOTE_POINTS.get(pair[1], 0) if pair else 0,
        "senior": SENIOR_POINTS if is_senior else 0,
        "nameless": NAMELESS_POINTS if name == symbol else 0,
        "words": WORD_POINTS * min(len(name_words), MAX_COUNTED_WORDS),
    }


def prominence(points: Mapping[str, int]) -> int:
    """From 0 to MAX_PROMINENCE; more comes first."""
    return max(sum(points.values()), 0)


def rank(points: int, number: int) -> int:
    """A sort key that is unique per instrument: ascending order is most prominent first.

    `number` is the instrument's (below 2**40); it decides between equals, so that pages never
    overlap. The result is below 2**53 and so exact as a RediSearch NUMERIC.
    """
    return (MAX_PROMINENCE - points) << 40 | number


def pin_lead(place: int) -> int:
    """Of what was pinned at this place, from 0: before all that is pinned behind it, and the rest."""
    return LEADS[Way.EXACT] + (MAX_PINNED - place) * (MAX_PROMINENCE + 1)


def begins_lead(name: bytes, typed: bytes) -> int:
    """What it is worth among the first hits that a name begins as was typed, which the index cannot tell.

    Both are folded words, joined by spaces.
    """
    if not name.startswith(typed):
        return 0
    is_whole = name[len(typed) : len(typed) + 1] in (b"", b" ")
    return (BEGINS_LEAD if b" " in typed else 0) + (WHOLE_LEAD if is_whole else 0)


def with_lead(rank: int, lead: int) -> int:
    """A sort key that is moved forward by so many points; `-lead` moves it back."""
    return rank - (lead << 40)


def ranked_number(rank: int) -> int:
    """The instrument's number that a sort key was made of."""
    return rank & (1 << 40) - 1

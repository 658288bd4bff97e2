"""The shapes of one symbol: a ticker with and without its venue, a share class written otherwise, a pair."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from app.domain.instrument import AssetClass
from app.domain.venues import VENUES, mic_of_code, mics_of_bloomberg, mics_of_suffix

_PUNCTUATION: Final = re.compile(r"^[\W_]+|[\W_]+$|(?<=\w)[^\w^]+(?=\w)|_")
"""But for the ^ of a preferred share: F^B is not FB."""
MAX_TICKER_LENGTH: Final = 12
_REMEMBERED: Final = 4_096
_TICKER_AT_VENUE: Final = re.compile(r"([\w&+-]+(?:/\w)?)[ .]([A-Z]{1,4})")
_VENUE_BEFORE: Final = re.compile(r"([A-Z]{2,8}):(\S+)")


def compact(key: str) -> str:
    """A symbol key without punctuation: BRK.B, BRK/B and BRK-B are one, as EUR/USD and EURUSD are."""
    return key if key.isalnum() else _PUNCTUATION.sub("", key)


def ticker_at(symbol: str, mic: str | None) -> str:
    """The ticker that a symbol holds, without the suffix of its venue: SIE of SIE.DE at XETR."""
    ticker, dot, suffix = symbol.rpartition(".")
    venue = VENUES.get(mic) if mic else None
    return ticker if dot and ticker and venue and suffix in venue.suffixes else symbol


def symbols_of_ticker(ticker: str, mics: Iterable[str]) -> tuple[str, ...]:
    """The symbols that a ticker may stand as at these venues: itself, and with the suffix of each."""
    suffixes = dict.fromkeys(s for mic in mics if mic in VENUES for s in VENUES[mic].suffixes)
    return (ticker, *(f"{ticker}.{suffix}" for suffix in suffixes))


def currencies_of_pair(symbol: str, name: str, asset_class: str) -> tuple[str, str] | None:
    """What a pair prices and what in: of `EURUSD=X`, named EUR/USD, and of `BTC-USD`; None for others."""
    if asset_class == AssetClass.CURRENCY:
        base, _, quote = name.upper().partition("/")
    elif asset_class == AssetClass.CRYPTO:
        base, _, quote = symbol.upper().rpartition("-")
    else:
        return None
    return (base, quote) if base and quote else None


def roots(key: str, mic: str | None, asset_class: str, name: str) -> list[str]:
    """Shorter symbols by which one (as its key) is asked for as well, each once; itself is not among them.

    The ticker without its venue's suffix; without punctuation; of a pair, both currencies together, and of
    a coin's pair the coin.
    """
    ticker = ticker_at(key, mic)
    found = [ticker, compact(ticker)]
    if (pair := currencies_of_pair(key, name, asset_class)) is not None:
        found = [compact("".join(pair)), *([pair[0]] if asset_class == AssetClass.CRYPTO else [])]
    return [root for root in dict.fromkeys(found) if root and root != key]


def ticker_and_venues(key: str) -> tuple[str, tuple[str, ...]] | None:
    """A ticker and the MICs that a text asks for it at; None where it is of no such form.

    `BMW GY` (Bloomberg), `BMW.DE` (Yahoo), `BMW XETR` and `XETR:BMW` (ISO 10383), `NASDAQ:AAPL` (Google).
    """
    if key.isalnum():  # as most symbols
        return None
    if (match := _TICKER_AT_VENUE.fullmatch(key)) is not None:
        ticker, code = match.groups()
    elif (match := _VENUE_BEFORE.fullmatch(key)) is not None:
        code, ticker = match.groups()
    else:
        return None
    mics = _mics(code)
    return (ticker, mics) if mics and len(ticker) <= MAX_TICKER_LENGTH else None


@lru_cache(_REMEMBERED)
def _mics(code: str) -> tuple[str, ...]:
    by_publisher = mic_of_code(code)
    named = (code,) if code in VENUES else ()
    others = (*mics_of_suffix(code), *((by_publisher,) if by_publisher else ()))
    return tuple(dict.fromkeys((*named, *mics_of_bloomberg(code), *others)))

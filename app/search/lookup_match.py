"""Which identifiers of a batch a document answers, told from its finished JSON alone; best answers first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import orjson

from app.domain.instrument import Status
from app.domain.lookup import ALIAS, ID, KINDS, KINDS_OF_ISSUES, SYMBOL, Sought
from app.domain.symbols import ticker_at
from app.domain.text import symbol_key

_STATUS_ORDER: Final = {status.value: place for place, status in enumerate(Status)}
_ALONE: Final = {kind: frozenset((kind,)) for kind in KINDS}
_REMEMBERED: Final = 4_096


class Match(NamedTuple):
    """An instrument that an identifier names, and what tells whether it does."""

    json: bytes
    """Finished."""
    symbol: str
    """As it is compared."""
    mic: str | None
    currency: str | None
    asset_class: str
    status: str
    is_primary: bool
    issue: str
    """What its listings have in common: the ISIN, or else the share-class FIGI."""
    kinds_of: Mapping[str, frozenset[str]]
    """Each identifier by which it is found, as it is compared -> what kinds of identifier it has it as."""


@dataclass(frozen=True, slots=True)
class Matches:
    """What one identifier names, best first."""

    instruments: Sequence[Match] = ()
    is_partial: bool = False
    """Whether not all were looked at that may match."""


def match_documents(sought: Mapping[int, Sought], documents: Iterable[bytes]) -> dict[int, list[Match]]:
    """The documents, each at the places of those that it answers, in the order given."""
    places: dict[str, list[int]] = {}
    for place, one in sought.items():
        for key in one.keys:
            places.setdefault(key, []).append(place)
    found: dict[int, list[Match]] = {place: [] for place in sought}
    for match in map(read_match, documents):
        answered: set[int] = set()
        for key in match.kinds_of.keys() & places.keys():
            kinds = match.kinds_of[key]
            answered.update([place for place in places[key] if not kinds.isdisjoint(sought[place].kinds)])
        for place in answered:
            if _fits(match, sought[place]):
                found[place].append(match)
    return found


@lru_cache(_REMEMBERED)
def read_match(document: bytes) -> Match:
    """Of an instrument's finished JSON; remembered, for most batches are of what everybody looks up."""
    facts = orjson.loads(document)
    identifiers, symbol = facts["identifiers"], symbol_key(facts["symbol"])
    held = [*identifiers.items(), (SYMBOL, symbol), (ID, facts["id"])]
    held += [(ALIAS, symbol_key(alias)) for alias in facts["aliases"]]
    kinds_of: dict[str, frozenset[str]] = {}
    for kind, key in held:
        if key is not None:
            kinds_of[key] = kinds_of[key] | _ALONE[kind] if key in kinds_of else _ALONE[kind]
    return Match(
        document,
        symbol,
        facts["mic"],
        facts["currency"],
        facts["asset_class"],
        facts["status"],
        facts["primary"],
        identifiers["isin"] or identifiers["share_class_figi"] or facts["id"],
        kinds_of,
    )


def match_holders(sought: Sought, holders: Iterable[tuple[str, bytes]]) -> list[Match]:
    """The documents that fit, each given with the key of the symbol that it was found by."""
    matches = [(key, read_match(document)) for key, document in holders]
    return [match for key, match in matches if _fits(match, sought, key)]


def best_first(matches: list[Match]) -> list[Match]:
    """Those that are traded before those that are not, primary listings before others, else as they come."""
    if len(matches) < 2:
        return matches
    return sorted(matches, key=lambda match: (_STATUS_ORDER[match.status], not match.is_primary))


def is_ambiguous(sought: Sought, matches: Sequence[Match]) -> bool:
    """Whether what was sought does not say which issue is meant.

    Listings of one ISIN, or else of one share-class FIGI, are one issue. Those that are delisted count only
    where no other is left.
    """
    if len(matches) < 2 or KINDS_OF_ISSUES.issuperset(sought.kinds):
        return False
    listed = [match for match in matches if match.status != Status.DELISTED] or matches
    return len({match.issue for match in listed}) > 1


def _fits(match: Match, sought: Sought, symbol: str | None = None) -> bool:
    """Whether nothing else about it is wrong; `symbol` is the former one that it was found by, if any."""
    return (
        (sought.mics is None or match.mic in sought.mics)
        and (sought.currency is None or match.currency == sought.currency)
        and (sought.asset_classes is None or match.asset_class in sought.asset_classes)
        and (sought.statuses is None or match.status in sought.statuses)
        and (sought.ticker is None or _has_ticker(symbol or match.symbol, match.mic, sought.ticker))
    )


def _has_ticker(symbol: str, mic: str | None, ticker: str) -> bool:
    """Whether it is the ticker alone, or with a suffix of its own venue."""
    return ticker in (symbol, ticker_at(symbol, mic))

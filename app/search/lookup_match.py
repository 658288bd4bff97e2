"""Which identifiers of a batch a document answers, told from its finished JSON alone; best answers first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from app.domain.instrument import Status
from app.domain.lookup import ALIAS, ID, KINDS_OF_ISSUES, SYMBOL, Sought
from app.domain.symbols import ticker_at
from app.domain.text import symbol_key

_NOWHERE: Final[Mapping[int, None]] = {}
_STATUS_ORDER: Final = {status: place for place, status in enumerate(Status)}


@dataclass(frozen=True, slots=True)
class Match:
    """An instrument that an identifier names: its finished JSON, and what that says."""

    json: bytes
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Matches:
    """What one identifier names, best first."""

    instruments: Sequence[Match] = ()
    is_partial: bool = False
    """Whether not all were looked at that may match."""


def match_documents(sought: Mapping[int, Sought], documents: Iterable[bytes]) -> dict[int, list[Match]]:
    """The documents, each at the places of those that it answers, in the order given."""
    wanted: dict[str, dict[str, dict[int, None]]] = {}
    for place, one in sought.items():
        for kind in one.kinds:
            for key in one.keys:
                wanted.setdefault(kind, {}).setdefault(key, {})[place] = None
    found: dict[int, list[Match]] = {place: [] for place in sought}
    for document in documents:
        facts = orjson.loads(document)
        match = Match(document, facts)
        places: dict[int, None] = {}
        for kind, by_key in wanted.items():
            for key in _held(facts, kind):
                places.update(by_key.get(key, _NOWHERE))
        for place in places:
            if _fits(facts, sought[place]):
                found[place].append(match)
    return found


def match_holders(sought: Sought, holders: Iterable[tuple[str, bytes]]) -> list[Match]:
    """The documents that fit, each given with the key of the symbol that it was found by."""
    matches = [(key, Match(document, orjson.loads(document))) for key, document in holders]
    return [match for key, match in matches if _fits(match.facts, sought, key)]


def best_first(matches: list[Match]) -> list[Match]:
    """Those that are traded before those that are not, primary listings before others, else as they come."""
    if len(matches) < 2:
        return matches
    return sorted(
        matches, key=lambda match: (_STATUS_ORDER[match.facts["status"]], not match.facts["primary"])
    )


def is_ambiguous(sought: Sought, matches: Sequence[Match]) -> bool:
    """Whether what was sought does not say which issue is meant.

    Listings of one ISIN, or else of one share-class FIGI, are one issue. Those that are delisted count only
    where no other is left.
    """
    if len(matches) < 2 or KINDS_OF_ISSUES.issuperset(sought.kinds):
        return False
    listed = [match for match in matches if match.facts["status"] != Status.DELISTED] or matches
    return len({_issue(match.facts) for match in listed}) > 1


def _issue(facts: Mapping[str, Any]) -> str:
    identifiers = facts["identifiers"]
    issue: str = identifiers["isin"] or identifiers["share_class_figi"] or facts["id"]
    return issue


def _held(facts: Mapping[str, Any], kind: str) -> Sequence[str]:
    """What an instrument holds of a kind, in the form in which it is compared."""
    if kind == SYMBOL:
        return (symbol_key(facts["symbol"]),)
    if kind == ALIAS:
        return [symbol_key(alias) for alias in facts["aliases"]]
    if kind == ID:
        return (facts["id"],)
    return (facts["identifiers"][kind],)


def _fits(facts: Mapping[str, Any], sought: Sought, symbol: str | None = None) -> bool:
    """Whether nothing else about it is wrong; `symbol` is the former one that it was found by, if any."""
    return (
        (sought.mics is None or facts["mic"] in sought.mics)
        and (sought.currency is None or facts["currency"] == sought.currency)
        and (sought.asset_classes is None or facts["asset_class"] in sought.asset_classes)
        and (sought.statuses is None or facts["status"] in sought.statuses)
        and (sought.ticker is None or _has_ticker(symbol or facts["symbol"], facts["mic"], sought.ticker))
    )


def _has_ticker(symbol: str, mic: str | None, ticker: str) -> bool:
    """Whether it is the ticker alone, or with a suffix of its own venue."""
    key = symbol_key(symbol)
    return ticker in (key, ticker_at(key, mic))

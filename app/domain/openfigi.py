"""OpenFIGI's vocabulary (its API, version 3) for what this registry holds, and its records.

OpenFIGI knows records of listings, and of all listings of a share in a country together: its composites.
Here listings are kept, with the FIGI of their composite where that is known; so a composite is made of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from app.domain.currencies import currency_codes
from app.domain.instrument import AssetClass
from app.domain.lookup import SYMBOL
from app.domain.symbols import ticker_at
from app.domain.venues import VENUES, bloomberg_codes


@dataclass(frozen=True, slots=True)
class Security:
    """What OpenFIGI calls an asset class; `type` None where it tells apart what is one here."""

    sector: str
    type: str | None
    type2: str


SECURITIES: Final[Mapping[str, Security]] = MappingProxyType(
    {
        AssetClass.EQUITY: Security("Equity", "Common Stock", "Common Stock"),
        AssetClass.ETF: Security("Equity", "ETP", "Mutual Fund"),
        AssetClass.FUND: Security("Equity", "Open-End Fund", "Mutual Fund"),
        AssetClass.MONEY_MARKET: Security("Equity", "Open-End Fund", "Mutual Fund"),
        AssetClass.INDEX: Security("Index", "Equity Index", "Index"),
        AssetClass.CURRENCY: Security("Curncy", "SPOT", "SPOT"),
        AssetClass.CRYPTO: Security("Curncy", "Crypto", "CRYPTO"),
        AssetClass.FUTURE: Security("Comdty", None, "Future"),
        AssetClass.OPTION: Security("Equity", "Equity Option", "Option"),
        AssetClass.BOND: Security("Corp", None, "Corp"),
    }
)
SECTORS: Final = ("Comdty", "Corp", "Curncy", "Equity", "Govt", "Index", "M-Mkt", "Mtge", "Muni", "Pfd")
CUSIP_WITHOUT_CHECK_DIGIT: Final = "ID_CUSIP_8_CHR"
ID_TYPES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "COMPOSITE_ID_BB_GLOBAL": ("composite_figi",),
        "ID_BB_GLOBAL": ("figi", "composite_figi"),
        "ID_BB_GLOBAL_SHARE_CLASS_LEVEL": ("share_class_figi",),
        "ID_CINS": ("cusip",),
        "ID_CUSIP": ("cusip",),
        CUSIP_WITHOUT_CHECK_DIGIT: ("cusip",),
        "ID_EXCH_SYMBOL": (SYMBOL,),
        "ID_ISIN": ("isin",),
        "ID_SEDOL": ("sedol",),
        "TICKER": (SYMBOL,),
    }
)
"""Its types of identifiers -> our kinds that answer them."""
VALUES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "idType": tuple(ID_TYPES),
        "exchCode": bloomberg_codes(),
        "micCode": tuple(sorted(VENUES)),
        "currency": currency_codes(),
        "marketSecDes": SECTORS,
        "securityType": tuple(sorted({one.type for one in SECURITIES.values() if one.type})),
        "securityType2": tuple(sorted({one.type2 for one in SECURITIES.values()})),
        "stateCode": (),
    }
)
"""What the fields of a question may be. No issuer of a municipal bond is known here, so no state."""


def listing_record(facts: Mapping[str, Any]) -> dict[str, str | None]:
    """OpenFIGI's record of an instrument as it is shown; each key is there, null where not known."""
    venue = VENUES.get(facts["mic"])
    code = venue.bloomberg[0] if venue else None
    return _record(facts, facts["identifiers"]["figi"], code)


def composite_records(
    listings: Iterable[Mapping[str, Any]], code: str | None = None
) -> list[dict[str, str | None]]:
    """The records of the composites that these listings are of, each once, in the order given.

    `code` is the exchange code of them all; None: that of each one's country.
    """
    records: dict[tuple[str, str | None], dict[str, str | None]] = {}
    for facts in listings:
        identifiers = facts["identifiers"]
        figi = identifiers["composite_figi"]
        venue = VENUES.get(facts["mic"])
        exchange = code or (venue.composite if venue else None) or None
        share = figi or identifiers["isin"] or identifiers["share_class_figi"] or facts["id"]
        records.setdefault((share, exchange), _record(facts, figi, exchange))
    return list(records.values())


def _record(facts: Mapping[str, Any], figi: str | None, code: str | None) -> dict[str, str | None]:
    security = SECURITIES[facts["asset_class"]]
    ticker = ticker_at(facts["symbol"], facts["mic"])
    return {
        "figi": figi,
        "securityType": security.type,
        "marketSector": security.sector,
        "ticker": ticker,
        "name": facts["name"],
        "exchCode": code,
        "shareClassFIGI": facts["identifiers"]["share_class_figi"],
        "compositeFIGI": facts["identifiers"]["composite_figi"],
        "securityType2": security.type2,
        "securityDescription": ticker,
    }


def records_of_figi(figi: str, matches: Sequence[Mapping[str, Any]]) -> list[dict[str, str | None]]:
    """The records that have this FIGI, of listings that have it as their own or as their composite's."""
    own = [facts for facts in matches if facts["identifiers"]["figi"] == figi]
    return [listing_record(facts) for facts in own] or composite_records(matches)

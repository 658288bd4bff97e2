"""The bundled sample: real companies of twenty stock indices from the package pytickersymbols, the
indices themselves and the major currency pairs. It needs no file and no network.
"""

from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any, Final

from app.domain.countries import country_of_place
from app.domain.instrument import AssetClass, Listing
from app.ingest.rows import Row, RowReader, RowSource

NAME: Final = "sample"

_MAJOR_CURRENCIES: Final = ("USD", "EUR", "JPY", "GBP", "CHF", "AUD", "CAD", "NZD")
_CURRENCY_EXCHANGE: Final = "CCY"
_US_EXCHANGES: Final = (None, "NASDAQ", "NYSE", "OTCMKTS")
_GICS_SECTORS: Final = frozenset(
    (
        "Communication Services",
        "Consumer Discretionary",
        "Consumer Staples",
        "Energy",
        "Financials",
        "Health Care",
        "Industrials",
        "Information Technology",
        "Materials",
        "Real Estate",
        "Utilities",
    )
)
_INDICES: Final = (
    # symbol, name, exchange code, currency
    ("^GSPC", "S&P 500", "SNP", "USD"),
    ("^DJI", "Dow Jones Industrial Average", "DJI", "USD"),
    ("^IXIC", "NASDAQ Composite", "NIM", "USD"),
    ("^NDX", "NASDAQ-100", "NIM", "USD"),
    ("^FTSE", "FTSE 100", "FGI", "GBP"),
    ("^GDAXI", "DAX Performance Index", "GER", "EUR"),
    ("^FCHI", "CAC 40", "PAR", "EUR"),
    ("^STOXX50E", "EURO STOXX 50", "ZRH", "EUR"),
    ("^AEX", "AEX Index", "AMS", "EUR"),
    ("^IBEX", "IBEX 35", "MCE", "EUR"),
    ("^SSMI", "SMI Price Return", "EBS", "CHF"),
    ("^N225", "Nikkei 225", "OSA", "JPY"),
    ("^HSI", "Hang Seng Index", "HKG", "HKD"),
    ("^BFX", "BEL 20", "BRU", "EUR"),
)


def sample_source() -> RowSource[Listing]:
    return RowSource(NAME, NAME, _rows(), _convert)


def _rows() -> Iterator[Row]:
    yield from _companies()
    for symbol, name, exchange, currency in _INDICES:
        yield {"kind": "index", "symbol": symbol, "name": name, "exchange": exchange, "currency": currency}
    for base, quote in permutations(_MAJOR_CURRENCIES, 2):
        yield {
            "kind": "currency",
            # Yahoo's convention, which the other sources follow: the dollar as base is left out.
            "symbol": f"{quote}=X" if base == "USD" else f"{base}{quote}=X",
            "name": f"{base}/{quote}",
            "exchange": _CURRENCY_EXCHANGE,
            "currency": quote,
            "base_currency": base,
            "quote_currency": quote,
        }


def _companies() -> Iterator[Row]:
    """One row per listing; a listing named under several indices comes once."""
    from pytickersymbols import PyTickerSymbols  # only the demo's installation has it

    seen = set()
    for company in PyTickerSymbols().get_all_stocks():
        isins = company.get("isins") or []
        industries = company.get("industries") or []
        for listing in company.get("symbols") or []:
            exchange = _exchange(listing.get("google") or "", company)
            key = (exchange, listing["yahoo"])
            if key in seen:
                continue
            seen.add(key)
            yield {
                "kind": "equity",
                "symbol": listing["yahoo"],
                "name": company["name"],
                "exchange": exchange,
                "currency": listing.get("currency"),
                "country": country_of_place(company.get("country") or ""),
                "sector": next((name for name in industries if name in _GICS_SECTORS), None),
                "industry": industries[-1] if industries else None,
                "isin": _isin(isins, exchange),
                "website": (company.get("metadata") or {}).get("website"),
            }


def _isin(isins: list[str], exchange: str | None) -> str | None:
    """The company's ISIN where it is this listing's too.

    Several ISINs belong to several share classes: which is unknown. In the United States foreign
    companies mostly trade as depositary receipts, which have an ISIN of their own.
    """
    if len(isins) != 1 or (exchange in _US_EXCHANGES and not isins[0].startswith("US")):
        return None
    return isins[0]


def _exchange(google_symbol: str, company: dict[str, Any]) -> str | None:
    """The exchange code before Google's colon, else the one that Wikipedia's *traded as* begins with."""
    code, colon, _ = google_symbol.partition(":")
    if colon:
        return code
    traded_as = str((company.get("metadata") or {}).get("traded_as") or "").upper()
    return next((name for name in ("NASDAQ", "NYSE") if traded_as.startswith(name)), None)


def _equity(row: RowReader) -> Listing:
    return _listing(row, AssetClass.EQUITY, {"website": "website"})


def _index(row: RowReader) -> Listing:
    return _listing(row, AssetClass.INDEX, {})


def _currency(row: RowReader) -> Listing:
    return _listing(
        row, AssetClass.CURRENCY, {"base_currency": "base_currency", "quote_currency": "quote_currency"}
    )


_CONVERTERS: Final[dict[str, Callable[[RowReader], Listing]]] = {
    "equity": _equity,
    "index": _index,
    "currency": _currency,
}


def _convert(row: RowReader) -> Listing:
    return _CONVERTERS[row.row["kind"]](row)


def _listing(row: RowReader, asset_class: AssetClass, attributes: dict[str, str]) -> Listing:
    mic, exchange = row.venue()
    currency, unit = row.currency()
    return Listing(
        symbol=row.symbol(),
        name=row.name(),
        asset_class=asset_class,
        mic=mic,
        exchange=exchange,
        currency=currency,
        country=row.country(),
        sector=row.text("sector"),
        industry=row.text("industry"),
        identifiers=row.identifiers({"isin": "isin"}),
        attributes=row.attributes(attributes) | unit,
    )

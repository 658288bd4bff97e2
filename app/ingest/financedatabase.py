"""FinanceDatabase's seven CSV files: equities, ETFs, funds, indices, currencies, cryptos, money markets.

Each file has columns of its own, by which it is told. Summaries (a paragraph per row) and postal
addresses are left out.
"""

from collections.abc import Callable
from typing import Final

from app.domain.currencies import quotation
from app.domain.instrument import AssetClass, Listing, SizeClass, Status
from app.ingest.rows import RowReader

NAME: Final = "financedatabase"

_CURRENCY_ATTRIBUTES: Final = {"base_currency": "base_currency", "quote_currency": "quote_currency"}
_CRYPTO_ATTRIBUTES: Final = {
    "base_currency": "cryptocurrency",
    "quote_currency": "currency",
    "website": "website",
}
_FUND_ATTRIBUTES: Final = {"category_group": "category_group", "category": "category", "family": "family"}


def equity(row: RowReader) -> Listing:
    mic, exchange = row.venue()
    currency, unit = row.currency()
    size = row.text("market_cap")
    identifiers = {
        "isin": "isin",
        "cusip": "cusip",
        "figi": "figi",
        "composite_figi": "composite_figi",
        "share_class_figi": "shareclass_figi",
    }
    attributes = row.attributes({"industry_group": "industry_group", "website": "website"}) | unit
    if size is not None:
        label = size.lower().removesuffix(" cap")
        if label in tuple(SizeClass):
            attributes["size_class"] = label
        else:
            row.drop("market_cap", size, "is no known size class")
    return Listing(
        symbol=row.symbol(),
        name=row.name(),
        asset_class=AssetClass.EQUITY,
        status=Status.DELISTED if row.text("delisted") == "True" else Status.ACTIVE,
        mic=mic,
        exchange=exchange,
        currency=currency,
        country=row.country(),
        sector=row.text("sector"),
        industry=row.text("industry"),
        identifiers=row.identifiers(identifiers),
        attributes=attributes,
    )


def _fund_like(asset_class: AssetClass) -> Callable[[RowReader], Listing]:
    def convert(row: RowReader) -> Listing:
        mic, exchange = row.venue()
        currency, unit = row.currency()
        return Listing(
            symbol=row.symbol(),
            name=row.name(),
            asset_class=asset_class,
            mic=mic,
            exchange=exchange,
            currency=currency,
            identifiers=row.identifiers({"isin": "isin"}),
            attributes=row.attributes(_FUND_ATTRIBUTES) | unit,
        )

    return convert


def _pair(asset_class: AssetClass, attributes: dict[str, str]) -> Callable[[RowReader], Listing]:
    """`attributes` as for `RowReader.attributes`; its `quote_currency` is also the listing's currency."""

    def convert(row: RowReader) -> Listing:
        mic, exchange = row.venue()
        quote = row.text(attributes["quote_currency"])
        known = quotation(quote) if quote else None
        return Listing(
            symbol=row.symbol(),
            name=row.name(),
            asset_class=asset_class,
            mic=mic,
            exchange=exchange,
            # Baskets, metals and coins among the quotes are no ISO 4217 currency; the attribute keeps them.
            currency=known.currency if known else None,
            attributes=row.attributes(attributes),
        )

    return convert


_EQUITY_COLUMNS: Final = (
    "symbol name summary currency sector industry_group industry exchange mic market country state city "
    "zipcode website market_cap isin cusip figi composite_figi shareclass_figi delisted"
)

CONVERTERS: Final = {
    frozenset(columns.split()): (kind, convert)
    for columns, kind, convert in (
        (
            _EQUITY_COLUMNS,
            "equities",
            equity,
        ),
        (
            "symbol name currency summary category_group category family exchange mic isin",
            "etfs",
            _fund_like(AssetClass.ETF),
        ),
        (
            "symbol name currency summary category_group category family exchange mic",
            "funds",
            _fund_like(AssetClass.FUND),
        ),
        (
            "symbol name currency summary category_group category exchange mic",
            "indices",
            _fund_like(AssetClass.INDEX),
        ),
        ("symbol name currency summary family exchange", "moneymarkets", _fund_like(AssetClass.MONEY_MARKET)),
        (
            "symbol name base_currency quote_currency summary exchange",
            "currencies",
            _pair(AssetClass.CURRENCY, _CURRENCY_ATTRIBUTES),
        ),
        (
            "symbol name cryptocurrency currency summary exchange website",
            "cryptos",
            _pair(AssetClass.CRYPTO, _CRYPTO_ATTRIBUTES),
        ),
    )
}
"""A file's set of columns -> its kind and its converter."""

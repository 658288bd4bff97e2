"""The United States listings files (Nasdaq, NYSE, AMEX): a JSON array of stock screener rows.

The rows do not say which exchange they are of; the file's name does (`nasdaq`, `nyse`, `amex`).
"""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Final

from app.domain.instrument import AssetClass, Listing, size_class
from app.domain.venues import mic_of_code
from app.ingest.rows import RowReader

NAME: Final = "us-listings"
EXCHANGES: Final = ("nasdaq", "nyse", "amex")


def converter(exchange: str) -> Callable[[RowReader], Listing]:
    """The converter for the file of one of EXCHANGES."""
    code = exchange.upper()
    mic = mic_of_code(code)

    def convert(row: RowReader) -> Listing:
        attributes = {}
        capitalisation = row.text("marketCap")
        if capitalisation is not None:
            try:
                amount = Decimal(capitalisation)
            except InvalidOperation:
                amount = Decimal("NaN")
            if not amount.is_finite():
                row.drop("marketCap", capitalisation, "is not a number")
            elif size := size_class(amount):
                attributes = {"size_class": size.value}
        return Listing(
            symbol=row.symbol(),
            name=row.name(),
            asset_class=AssetClass.EQUITY,
            mic=mic,
            exchange=code,
            currency="USD",
            country=row.country(),
            sector=row.text("sector"),
            industry=row.text("industry"),
            attributes=attributes,
        )

    return convert

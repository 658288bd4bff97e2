"""What an instrument is: its fields, their allowed values and their limits.

The field names are the API's. An instrument here is one listing: a symbol at a venue.
"""

import re
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from app.domain.errors import NotFound


class AssetClass(StrEnum):
    EQUITY = "equity"
    ETF = "etf"
    FUND = "fund"
    INDEX = "index"
    CURRENCY = "currency"
    CRYPTO = "crypto"
    MONEY_MARKET = "money_market"
    FUTURE = "future"
    OPTION = "option"
    BOND = "bond"


class Status(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELISTED = "delisted"


class SizeClass(StrEnum):
    """Market capitalisation in the classes of FinanceDatabase; `SIZE_FLOORS_USD` has the bounds."""

    MEGA = "mega"
    LARGE = "large"
    MID = "mid"
    SMALL = "small"
    MICRO = "micro"
    NANO = "nano"


SIZE_FLOORS_USD: Final = (
    (SizeClass.MEGA, 200_000_000_000),
    (SizeClass.LARGE, 10_000_000_000),
    (SizeClass.MID, 2_000_000_000),
    (SizeClass.SMALL, 300_000_000),
    (SizeClass.MICRO, 50_000_000),
    (SizeClass.NANO, 1),
)

MAX_SYMBOL_LENGTH: Final = 32
MAX_NAME_LENGTH: Final = 300
ID_PREFIX: Final = "ins_"
PUBLIC_ID_PATTERN: Final = f"^{ID_PREFIX}[1-9][0-9]{{0,17}}$"
_PUBLIC_ID: Final = re.compile(PUBLIC_ID_PATTERN)


INSTRUMENT_FIELDS: Final = (
    *("id", "symbol", "name", "asset_class", "status", "mic", "exchange", "currency", "country", "sector"),
    *("industry", "identifiers", "primary", "cfi", "aliases", "listed_on", "delisted_on", "tick_size"),
    *("lot_size", "contract", "attributes", "version", "updated_at"),
)
"""Of an instrument as the API shows it."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One listing as a source describes it, already normalised; None where the source says nothing."""

    symbol: str
    name: str | None
    asset_class: AssetClass
    status: Status = Status.ACTIVE
    mic: str | None = None
    exchange: str | None = None
    currency: str | None = None
    country: str | None = None
    sector: str | None = None
    industry: str | None = None
    identifiers: dict[str, str] = field(default_factory=dict)
    cfi: str | None = None
    aliases: tuple[str, ...] = ()
    listed_on: date | None = None
    delisted_on: date | None = None
    tick_size: Decimal | None = None
    lot_size: Decimal | None = None
    contract: dict[str, Any] | None = None
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def venue(self) -> str:
        """What a symbol is unique within: the MIC, else the source's own exchange code, else nothing."""
        return self.mic or self.exchange or ""


def size_class(market_cap_usd: Decimal) -> SizeClass | None:
    """The size class of a market capitalisation in US dollars; None for zero."""
    return next((size for size, floor in SIZE_FLOORS_USD if market_cap_usd >= floor), None)


def decimal_text(value: object) -> str:
    """A decimal as the API shows it: digits, never an exponent. For use as a JSON encoder's default."""
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"{type(value).__name__} has no JSON form")


def public_id(number: int) -> str:
    """The instrument's id as clients see it."""
    return f"{ID_PREFIX}{number}"


def parse_public_id(text: str) -> int | None:
    """The number behind a public id; None where no instrument can have that id."""
    return int(text.removeprefix(ID_PREFIX)) if _PUBLIC_ID.fullmatch(text) else None


def no_such_instrument(text: str) -> NotFound:
    """What to say of an id, or of something else in the place of one."""
    hint = "" if _PUBLIC_ID.fullmatch(text) else f"; ids look like {public_id(1)}"
    return NotFound(f"there is no instrument {text[:40]!r}{hint}")

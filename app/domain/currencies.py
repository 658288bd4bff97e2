"""Quotation units of the trade to ISO 4217 currencies.

Exchanges quote some shares in a hundredth of the currency: London in pence (GBX or GBp),
Johannesburg in cents (ZAC or ZAr), Tel Aviv in agorot (ILA). ISO 4217 has no code for those.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import pycountry

_UNITS: Final = {
    "GBX": "GBP",
    "GBp": "GBP",
    "ZAC": "ZAR",
    "ZAc": "ZAR",
    "ZAr": "ZAR",
    "ILA": "ILS",
    "ILa": "ILS",
    "KWF": "KWD",
    "USX": "USD",
    "USp": "USD",
    "EUX": "EUR",
    "CNH": "CNY",  # the offshore renminbi: a market of its own, the same currency
}
_NO_CURRENCIES: Final = frozenset({"XTS", "XXX"})
"""In ISO 4217 as well: the code for tests, and the one for transactions without a currency."""


@dataclass(frozen=True, slots=True)
class Quotation:
    """An ISO 4217 currency, and the unit that the venue quotes in where that is another one."""

    currency: str
    unit: str | None


@cache
def quotation(code: str) -> Quotation | None:
    """What `code` means, or None if it is neither a unit of the trade nor in ISO 4217."""
    if code in _UNITS:
        return Quotation(_UNITS[code], code)
    currency = code.upper()
    if not code.isascii() or currency in _NO_CURRENCIES:
        return None
    return None if pycountry.currencies.get(alpha_3=currency) is None else Quotation(currency, None)


def currency_codes() -> tuple[str, ...]:
    """The codes of ISO 4217 that `quotation` knows, in alphabetical order."""
    return tuple(sorted({currency.alpha_3 for currency in pycountry.currencies} - _NO_CURRENCIES))

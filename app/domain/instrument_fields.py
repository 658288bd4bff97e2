"""The rules of an instrument's fields, one function each: from a text to the value that is kept.

Each raises ValueError with what is wrong with the text, to be read after the field's name. An import drops
such a value and goes on; a write is refused.
"""

from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Final

from app.domain.countries import country_code
from app.domain.currencies import quotation
from app.domain.days import parse_day

MAX_TEXT_LENGTH: Final = 100
MAX_EXCHANGE_LENGTH: Final = 32
MAX_ALIASES: Final = 50
"""Without dates."""
MAX_DATED_ALIASES: Final = 100
MAX_ATTRIBUTE_LENGTH: Final = 300
MAX_DECIMAL_EXPONENT: Final = 18
_MIC_LENGTH: Final = 4


def mic_code(text: str) -> str:
    """A market identifier code in upper case; known or not."""
    if not (len(text) == _MIC_LENGTH and text.isascii() and text.isalnum()):
        raise ValueError("is no ISO 10383 market identifier code (four letters or digits)")
    return text.upper()


def positive_decimal(text: str) -> Decimal:
    """A positive decimal number of sane size."""
    number = decimal_number(text)
    if number <= 0:
        raise ValueError("is not a positive decimal number of sane size")
    return number


def decimal_number(text: str) -> Decimal:
    """A decimal number of sane size."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if (
        len(text) > MAX_TEXT_LENGTH
        or not number.is_finite()
        or (number and abs(number.adjusted()) > MAX_DECIMAL_EXPONENT)
    ):
        raise ValueError("is not a decimal number of sane size")
    return number


def calendar_date(text: str) -> date:
    if (day := parse_day(text)) is None:
        raise ValueError("is not a date like 2026-01-31")
    return day


def iso_currency(text: str) -> str:
    """A currency's code in upper case. Units of the trade, which imports know as well, are none."""
    found = quotation(text)
    if found is None:
        raise ValueError("is not an ISO 4217 currency, such as USD")
    if found.unit is not None:
        raise ValueError(
            f"is a quotation unit; give {found.currency}, and {found.unit} as attributes.quotation_unit"
        )
    return found.currency


def iso_country(text: str) -> str:
    """A country's code in upper case. Its names, which imports know as well, are none."""
    code = country_code(text)
    if code is None:
        raise ValueError("is no country of ISO 3166-1 today; give its two letters, such as US")
    if code != text.upper():
        raise ValueError(f"is not its ISO 3166-1 code; give {code}")
    return code


def printable_text(text: str, max_length: int = MAX_TEXT_LENGTH) -> str:
    """`text` with single spaces, on one line."""
    tidied = " ".join(text.split())
    if not tidied:
        raise ValueError("is empty; give a text or leave it out")
    if len(tidied) > max_length:
        raise ValueError(f"is {len(tidied)} characters long; at most {max_length} are allowed")
    if not tidied.isprintable():
        raise ValueError("contains control or invisible characters; leave them out")
    return tidied

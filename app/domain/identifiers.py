"""Security identifiers: their kinds, their canonical form and their check digits.

Sources: ISO 6166 (ISIN), ANSI X9.6 (CUSIP), the London Stock Exchange's SEDOL masterfile guide,
the OMG's FIGI specification and ISO 17442 (LEI); the arithmetic is python-stdnum's.
"""

from collections.abc import Callable, Mapping
from typing import Final

from stdnum import cusip, figi, isin, lei
from stdnum.exceptions import ValidationError
from stdnum.gb import sedol

CHECKS: Final[Mapping[str, Callable[[str], str]]] = {
    "isin": isin.validate,
    "cusip": cusip.validate,
    "sedol": sedol.validate,
    "figi": figi.validate,
    "composite_figi": figi.validate,
    "share_class_figi": figi.validate,
    "lei": lei.validate,
}
"""Identifier field -> a function that returns the canonical form or raises ValidationError."""

IDENTIFIER_FIELDS: Final = tuple(CHECKS)

_SEPARATORS: Final = str.maketrans("", "", " -\t")


class InvalidIdentifier(ValueError):
    """The text is no identifier of that kind; `str(error)` says why."""


def canonical_identifier(field: str, text: str) -> str:
    """`text` in upper case without spaces and hyphens, its check digit verified.

    `field` is one of IDENTIFIER_FIELDS. Raises InvalidIdentifier.
    """
    compact = text.translate(_SEPARATORS).upper()
    try:
        # stdnum's isin also accepts country codes that ISO 6166 reserves (XS, EU, ...).
        CHECKS[field](compact)
    except ValidationError as error:
        raise InvalidIdentifier(str(error).rstrip(".").lower()) from error
    return compact

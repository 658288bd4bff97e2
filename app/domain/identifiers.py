"""Security identifiers: their kinds, their canonical form and their check digits.

Sources: ISO 6166:2021 (ISIN), ANSI X9.6 (CUSIP), the London Stock Exchange's SEDOL Masterfile guide,
the OMG's FIGI specification 1.0, section 6.1.2, and ISO 17442-1:2020 (LEI); the arithmetic is
python-stdnum's.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

from stdnum import cusip, figi, isin, lei
from stdnum.exceptions import InvalidChecksum, InvalidComponent
from stdnum.gb import sedol

_CONSONANT: Final = "[B-DF-HJ-NP-TV-Z]"
_CONSONANT_OR_DIGIT: Final = "[B-DF-HJ-NP-TV-Z0-9]"
_ISIN_PREFIXES_OF_NO_COUNTRY: Final = ("EZ", "XT", "ZZ")
"""Those that python-stdnum does not know: derivatives off exchange, digital tokens, and others."""

_SEPARATORS: Final = str.maketrans("", "", " -\t")


class InvalidIdentifier(ValueError):
    """The text is no identifier of that kind; `str(error)` says why."""


@dataclass(frozen=True, slots=True)
class _Kind:
    shape: re.Pattern[str]
    rule: str
    """The shape in words."""
    check: Callable[[str], object]
    """Raises InvalidChecksum or, of an ISIN, InvalidComponent."""


def _last_digit(check_digit: Callable[[str], str]) -> Callable[[str], None]:
    """Checks it alone: python-stdnum's checks look at the shape as well, for half of their time."""

    def check(code: str) -> None:
        if check_digit(code[:-1]) != code[-1]:
            raise InvalidChecksum

    return check


def _check_isin(code: str) -> None:
    if not _begins_isins(code[:2]):
        raise InvalidComponent
    if isin.calc_check_digit(code[:-1]) != code[-1]:
        raise InvalidChecksum


@cache
def _begins_isins(prefix: str) -> bool:
    """Of two letters, whether they are a prefix of ISINs."""
    code = f"{prefix}000000000"
    return prefix in _ISIN_PREFIXES_OF_NO_COUNTRY or isin.is_valid(code + isin.calc_check_digit(code))


_FIGI: Final = _Kind(
    # Prefixes that would make it look like an ISIN of Ghana, the Cayman Islands, ... are not given out.
    re.compile(f"(?!BS|BM|GG|GB|GH|KY|VG){_CONSONANT}{{2}}G{_CONSONANT_OR_DIGIT}{{8}}[0-9]"),
    "two consonants (not BS, BM, GG, GB, GH, KY or VG), a G, eight consonants or digits, and a check digit",
    _last_digit(figi.calc_check_digit),
)
_KINDS: Final[Mapping[str, _Kind]] = {
    "isin": _Kind(
        re.compile("[A-Z]{2}[A-Z0-9]{9}[0-9]"),
        "two letters, nine letters or digits, and a check digit",
        _check_isin,
    ),
    "cusip": _Kind(
        re.compile("[A-Z0-9*@#]{8}[0-9]"),
        "eight letters, digits or any of * @ #, and a check digit",
        _last_digit(cusip.calc_check_digit),
    ),
    "sedol": _Kind(
        re.compile(f"([0-9]{{6}}|{_CONSONANT}{_CONSONANT_OR_DIGIT}{{5}})[0-9]"),
        "seven digits, or a consonant, five consonants or digits, and a check digit",
        _last_digit(sedol.calc_check_digit),
    ),
    "figi": _FIGI,
    "composite_figi": _FIGI,
    "share_class_figi": _FIGI,
    "lei": _Kind(
        # Of check digits that are equal modulo 97 ISO 7064 gives out those from 02 to 98.
        re.compile("[A-Z0-9]{18}(?!00|01|99)[0-9]{2}"),
        "18 letters or digits, and two check digits from 02 to 98",
        lei.validate,
    ),
}

_STRICTEST_FIRST: Final = (_FIGI, *(kind for kind in _KINDS.values() if kind is not _FIGI))
_REMEMBERED: Final = 65_536
_LAST: Final = frozenset("0123456789 -\t")
"""What a text may end with that is one: their last digit, or a separator."""

IDENTIFIER_FIELDS: Final = tuple(_KINDS)


def canonical_identifier(field: str, text: str) -> str:
    """`text` in upper case without spaces and hyphens, its check digit verified.

    `field` is one of IDENTIFIER_FIELDS. Raises InvalidIdentifier.
    """
    kind = _KINDS[field]
    code = text.translate(_SEPARATORS).upper()
    if not (text.isascii() and kind.shape.fullmatch(code)):
        raise InvalidIdentifier(f"must be {kind.rule}")
    try:
        kind.check(code)
    except InvalidChecksum as error:
        raise InvalidIdentifier("has a wrong check digit; compare it with its source") from error
    except InvalidComponent as error:
        raise InvalidIdentifier(
            "begins with neither a country of ISO 3166-1 nor a prefix that ISO 6166 reserves"
        ) from error
    return code


def is_identifier(text: str) -> bool:
    """Whether a text has the shape of an identifier of some kind, and its check digit."""
    return text[-1:] in _LAST and _is_identifier(text)


@lru_cache(_REMEMBERED)
def _is_identifier(text: str) -> bool:
    code = text.translate(_SEPARATORS).upper()
    for kind in _STRICTEST_FIRST:
        if kind.shape.fullmatch(code):
            with suppress(InvalidChecksum, InvalidComponent):
                kind.check(code)
                return True
    return False


MAX_DIGITS_OF_A_NAME: Final = 4
"""`Euro Stoxx 600` and `Target 2030` have the letters and digits of an ISIN by chance."""


_LENGTH_OF_BOTH: Final = 12


def mistyped(text: str) -> str | None:
    """What is wrong with a text that has the shape of an ISIN or a FIGI; None where nothing is."""
    if len(text) < _LENGTH_OF_BOTH:
        return None
    code = text.translate(_SEPARATORS).upper()
    if len(code) != _LENGTH_OF_BOTH or is_identifier(text):
        return None
    wrong = []
    for field in ("isin", "figi"):
        if sum(map(str.isdigit, code)) > MAX_DIGITS_OF_A_NAME and _KINDS[field].shape.fullmatch(code):
            try:
                canonical_identifier(field, code)
            except InvalidIdentifier as error:
                wrong.append(f"{code} looks like an identifier ({field.upper()}), but {error}")
    return wrong[0] if wrong else None

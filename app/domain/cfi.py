"""Classification of financial instruments: the six letters of ISO 10962:2021.

A category, a group of that category, and four attributes, which mean something else in every group.
The code list is python-stdnum's, made of the maintenance agency's own. X stands for an attribute that
is unknown or does not apply, and never for a category or group.
"""

from string import ascii_uppercase
from typing import Final

from stdnum import numdb

UNKNOWN: Final = "X"
_LENGTH: Final = 6
_CLASS_LENGTH: Final = 2
_CODES: Final = numdb.get("cfi")
_NAMES: Final = frozenset({"category", "group", "v"})
"""Properties that the code list gives a letter which stands for something: `v` is an attribute's value."""
_DELIVERIES: Final = frozenset("CDNP")
"""Cash, deliverable, non-deliverable, physical: numbering agencies use them in groups of which the list
knows others, as in SRCCSP, the common interest rate swap."""


class InvalidCfi(ValueError):
    """The text is no CFI code; `str(error)` names the letter that is wrong and those that may stand there."""


def canonical_cfi(text: str) -> str:
    """`text` in upper case, each letter found in the code list. Raises InvalidCfi."""
    if not (len(text) == _LENGTH and text.isascii() and text.isalpha()):
        raise InvalidCfi("is no ISO 10962 code (six letters)")
    code = text.upper()
    for position in range(_LENGTH):
        if not _is_listed(code[: position + 1]):
            choices = [letter for letter in ascii_uppercase if _is_listed(code[:position] + letter)]
            raise InvalidCfi(
                f"is no ISO 10962 code: letter {position + 1}, {code[position]}, "
                f"is no {_meaning(code[:position])}; use {', '.join(choices)}"
            )
    return code


def _is_listed(start: str) -> bool:
    """Whether the last letter of a code's `start`, whose others are listed, may stand there."""
    if len(start) > _CLASS_LENGTH and start.endswith(UNKNOWN):
        return True
    letter, properties = _CODES.info(start)[-1]
    if properties.get("a") == "Delivery" and letter in _DELIVERIES:
        return True
    return not _NAMES.isdisjoint(properties)


def _meaning(start: str) -> str:
    """What the letter after a code's `start` tells."""
    match len(start):
        case 0:
            return "category"
        case 1:
            return f"group of {start} ({_CODES.info(start)[0][1]['category'].lower()})"
    name = _CODES.info(start + UNKNOWN)[-1][1].get("a", "attribute").lower()
    return f"{name} of {start[:_CLASS_LENGTH]} ({_CODES.info(start)[1][1]['group'].lower()})"

"""Folding: the one way in which names and queries become comparable words.

The same functions build the index and the query, so that both always agree.
"""

import re
import unicodedata
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+")
_LETTERS_WITHOUT_DECOMPOSITION: Final = str.maketrans(
    {"ø": "o", "đ": "d", "ł": "l", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"}
)


def fold(text: str) -> str:
    """`text` in lower case, without accents, in compatibility form (full-width letters made plain)."""
    if text.isascii():
        return text.lower()
    # Decomposed before as well: a mathematical bold A has no lower case, the A that it stands for has.
    folded = unicodedata.normalize("NFKD", text).casefold()
    decomposed = unicodedata.normalize("NFKD", folded)
    bare = "".join(character for character in decomposed if not unicodedata.combining(character))
    return unicodedata.normalize("NFC", bare).translate(_LETTERS_WITHOUT_DECOMPOSITION)


def words(text: str) -> list[str]:
    """The folded words of `text`: runs of letters and digits, in order."""
    return _WORD.findall(fold(text))


def symbol_key(text: str) -> str:
    """The form in which symbols and identifiers are compared: upper case, single spaces."""
    upper = unicodedata.normalize("NFKC", text).upper()
    return " ".join(unicodedata.normalize("NFKC", upper).split())

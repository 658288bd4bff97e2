"""Folding: the one way in which names and queries become comparable words.

The same functions build the index and the query, so that both always agree.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+")
_LETTERS_WITHOUT_DECOMPOSITION: Final = str.maketrans(
    {"ø": "o", "đ": "d", "ł": "l", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"}
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters and surrogates (Cc, Cs); Postgres can store neither NUL nor a surrogate."""
IDEOGRAPH: Final = re.compile(r"([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")
"""Kana and Han: written without spaces, so each is a word."""
_APOSTROPHES: Final = "'’‘ʼ`´"
_WRITTEN_INSIDE: Final = re.compile(rf"[.{_APOSTROPHES}&+]")
_DIGIT: Final = re.compile(r"\d")
_INSIDE: Final = re.compile(rf"(?<=[^\W_])[{_APOSTROPHES}&+](?=[^\W_])")
"""Between letters of one word: L'Oréal, AT&T, S&P500."""
_INITIALS: Final = re.compile(r"(?<![^\W_])[^\W\d_](?:\.[^\W\d_])+(?![^\W_])")
"""S.p.A., U.S., J.P."""
_LETTERS_THEN_DIGITS: Final = re.compile(r"(?<![^\W_])([^\W\d_]+)(\d+)(?![^\W_])")
_COMPOUND: Final = re.compile(rf"[^\W_]+(?:[-.{_APOSTROPHES}&+/][^\W_]+)+")
_SPELLED_OUT: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})
"""As people write these letters who do not have them on their keyboard."""

_EDITS: Final = ((9, 2), (4, 1))
"""From so many letters on a word may be that many edits away from what is meant."""


def holds_controls(text: str) -> bool:
    """Whether a control character or a surrogate is in it, which no text of ours can hold."""
    return _CONTROL.search(text) is not None


def fold(text: str) -> str:
    """`text` in lower case, without accents, in compatibility form (full-width letters made plain)."""
    if text.isascii():
        return text.lower()
    # Decomposed before as well: a mathematical bold A has no lower case, the A that it stands for has.
    folded = unicodedata.normalize("NFKD", text).casefold()
    decomposed = unicodedata.normalize("NFKD", folded)
    bare = "".join(character for character in decomposed if not unicodedata.combining(character))
    return unicodedata.normalize("NFC", bare).translate(_LETTERS_WITHOUT_DECOMPOSITION)


def plain_words(text: str) -> list[str]:
    """The runs of letters and digits in folded `text`, as `folded_words` in Postgres splits it."""
    return _WORD.findall(fold(text))


def words(text: str) -> list[str]:
    """The folded words of `text`, in order.

    A word ends where something stands that is no letter or digit, but what is written inside one does not
    end it: L'Oréal, AT&T and S.p.A. are one each. S&P500 is the two that S&P 500 is, and every Chinese or
    Japanese character is one.
    """
    return folded_words(fold(text))


def folded_words(folded: str) -> list[str]:
    """The words of a text that is folded already."""
    if _WRITTEN_INSIDE.search(folded) is not None:
        folded = _INSIDE.sub("", folded)
        folded = _INITIALS.sub(lambda match: match[0].replace(".", ""), folded)
    if not folded.isascii():
        folded = IDEOGRAPH.sub(r" \1 ", folded)
    if _DIGIT.search(folded) is not None:
        folded = _LETTERS_THEN_DIGITS.sub(r"\1 \2", folded)
    return _WORD.findall(folded)


def spelled_out(text: str) -> str:
    """`text` with its umlauts written as two letters; as it is where there are none."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", text).lower().translate(_SPELLED_OUT)


def parts_of_compounds(folded: str) -> list[str]:
    """Of a folded text, the parts of each word that has any, and all together: coca, cola and cocacola."""
    found = []
    for compound in _COMPOUND.findall(folded):
        parts = _WORD.findall(compound)
        found += [*parts, "".join(parts)]
    return found


def symbol_key(text: str) -> str:
    """The form in which symbols and identifiers are compared: upper case, single spaces."""
    if text.isascii():
        return " ".join(text.upper().split())
    upper = unicodedata.normalize("NFKC", text).upper()
    return " ".join(unicodedata.normalize("NFKC", upper).split())


def identifier_key(key: str) -> str:
    """A `symbol_key` as an identifier, which people write in groups."""
    return key.replace(" ", "").replace("-", "")


def most_edits(word: str) -> int:
    """How many letters of a word may be wrong; a number is what it is."""
    return next((edits for length, edits in _EDITS if word.isalpha() and len(word) >= length), 0)


def one_letter_swapped(word: str) -> Sequence[str]:
    """`word` with two neighbouring letters exchanged, in every way that makes another word."""
    return tuple(
        dict.fromkeys(
            word[:at] + word[at + 1] + word[at] + word[at + 2 :]
            for at in range(len(word) - 1)
            if word[at] != word[at + 1]
        )
    )


def query_key(text: str) -> str:
    """The form in which whole queries are compared: their words, or what they have instead of words."""
    return " ".join(words(text)) or symbol_key(text)

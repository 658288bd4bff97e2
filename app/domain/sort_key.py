"""Texts as numbers that sort as the texts do, as far as a number reaches.

Each letter of a text takes a part of a range of numbers, and the next letter a part of that: the larger, the
likelier it is there. So the number tells as many letters as an arithmetic code would send in as many bits
(Witten, Neal, Cleary: Arithmetic Coding for Data Compression, 1987). It is in the order of the texts, for
the parts are in the order of the letters.
"""

from bisect import bisect_left
from collections.abc import Mapping
from itertools import accumulate
from typing import Final, TypeAlias

from app.domain.name_letters import LETTERS

MAX_KEY: Final = 2**53 - 1
"""The largest whole number up to which a double, RediSearch's NUMERIC, holds each exactly."""
END: Final = ""
"""Stands for the end of a text, which comes before every letter."""
_PART_BITS: Final = 18
"""How finely a range is divided; finer than the sum of all weights."""
_EVEN: Final = 5
_OTHERS: Final = 1
"""The weight of all characters between two letters that are none."""
_LONGEST_CONTEXT: Final = 2

_Table: TypeAlias = dict[str, tuple[int, int, "_Table"]]
"""Of each letter and END: where its part begins, how long it is, and what follows that letter."""


class SortKeys:
    """Keys for texts of mostly the characters of an alphabet, which is sorted.

    The order is that of UTF-8. `a < b` as texts gives `key(a) <= key(b)`: where a text holds another
    character its key stops, so that those behind it are not told apart.

    `weights` tell how likely END and each letter are, as binary logarithms, behind two letters or one, or at
    the beginning; where they tell nothing, all are alike.
    """

    def __init__(self, alphabet: str, weights: Mapping[str, tuple[int, ...]] | None = None) -> None:
        self._alphabet = alphabet
        known = weights or {}
        self._unknown: _Table = {}
        self._tables: dict[str, _Table] = {context: {} for context in known}
        self._fill(self._unknown, END, (_EVEN,) * (len(alphabet) + 1))
        for context, table in self._tables.items():
            self._fill(table, context, known[context])
        self._begin = self._table(END)

    def key(self, text: str) -> int:
        """From 0 to MAX_KEY."""
        low, size, table = 0, MAX_KEY + 1, self._begin
        for letter in text:
            part = table.get(letter)
            if part is None:
                return low + (size * self._end_of_smaller(letter, table) >> _PART_BITS)
            begin, length, table = part
            low += size * begin >> _PART_BITS
            size = size * length >> _PART_BITS
            if size <= 1:
                break
        return low

    def _end_of_smaller(self, other: str, table: _Table) -> int:
        """Behind all that go on with the next smaller letter, before all with the next greater."""
        place = bisect_left(self._alphabet, other)
        begin, length, _ = table[self._alphabet[place - 1] if place else END]
        return begin + length

    def _fill(self, table: _Table, context: str, weights: tuple[int, ...]) -> None:
        shares = [share for weight in weights for share in (1 << weight, _OTHERS)]
        total = sum(shares)
        bounds = [(end << _PART_BITS) // total for end in accumulate(shares, initial=0)]
        for letter, begin, end in zip((END, *self._alphabet), bounds[:-1:2], bounds[1::2], strict=True):
            table[letter] = begin, end - begin, self._table((context + letter)[-_LONGEST_CONTEXT:])

    def _table(self, context: str) -> _Table:
        found = self._tables.get(context)
        return self._tables.get(context[-1:], self._unknown) if found is None else found


NAME_ALPHABET: Final = " 0123456789abcdefghijklmnopqrstuvwxyz"


def _name_weights() -> dict[str, tuple[int, ...]]:
    lines = [line.split(":") for line in LETTERS.split()]
    return {
        context.replace("_", " "): tuple(ord(weight) - ord("a") for weight in weights)
        for context, weights in lines
    }


NAMES: Final = SortKeys(NAME_ALPHABET, _name_weights())
"""For the words by which a name is found: some twenty letters of most, for names are much alike."""
SYMBOLS: Final = SortKeys(" &-./0123456789=ABCDEFGHIJKLMNOPQRSTUVWXYZ^")
"""For symbols: nine characters."""

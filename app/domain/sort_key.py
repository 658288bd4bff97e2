"""Texts as numbers that sort as the texts do, as far as a number reaches.

Each letter of a text takes a part of a range of numbers, and the next letter a part of that: the larger, the
likelier it is there. So the number tells as many letters as an arithmetic code would send in as many bits
(Witten, Neal, Cleary: Arithmetic Coding for Data Compression, 1987). It is in the order of the texts, for
the parts are in the order of the letters.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import accumulate
from typing import Final, TypeAlias

from app.domain.name_letters import LETTERS

MAX_KEY: Final = 2**53 - 1
"""The largest whole number up to which a double, RediSearch's NUMERIC, holds each exactly."""
END: Final = ""
"""Stands for the end of a text, which comes before every letter."""
_PART_BITS: Final = 18
"""How finely a range is divided; finer than the sum of all weights."""
LEAST: Final = "a"
"""The weight of what never comes; each letter after it is twice as much."""
_EVEN: Final = "f"
_OTHERS: Final = 1
"""The share of all characters between two letters that are none; of LEAST as much."""
LONGEST_CONTEXT: Final = 2
"""So many letters before one tell how likely it is."""

_Table: TypeAlias = dict[str, tuple[int, int, "_Table"]]
"""Of each letter and END: where its part begins, how long it is, and what follows that letter."""


class SortKeys:
    """Keys for texts of mostly the characters of an alphabet, which is sorted.

    The order is that of UTF-8. `a < b` as texts gives `key(a) <= key(b)`: where a text holds another
    character its key stops, so that those behind it are not told apart.

    `weights` tell how likely END and each letter are, by a letter for each (see LEAST): behind two letters or
    one, or at the beginning. Where they tell nothing, all are alike.
    """

    def __init__(self, alphabet: str, weights: Mapping[str, str]) -> None:
        self._alphabet = alphabet
        self._weights = weights

    @cached_property
    def _begin(self) -> _Table:
        """For a text's first letter. Made with the first key, for most processes make none."""
        return _table_of_first(self._alphabet, self._weights)

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


def _table_of_first(alphabet: str, weights: Mapping[str, str]) -> _Table:
    even: _Table = {}
    tables: dict[str, _Table] = {before: {} for before in weights}
    of_even = END, even, _EVEN * (len(alphabet) + 1)
    for before, table, each in (of_even, *((one, tables[one], weights[one]) for one in weights)):
        for letter, (begin, length) in zip((END, *alphabet), _parts(each), strict=True):
            behind = before + letter
            following = tables.get(behind[-LONGEST_CONTEXT:], tables.get(behind[-1:], even))
            table[letter] = begin, length, following
    return tables.get(END, even)


def _parts(weights: str) -> Iterator[tuple[int, int]]:
    """Where each letter's part of a range begins, and how long it is."""
    shares = [share for weight in weights for share in (1 << ord(weight) - ord(LEAST), _OTHERS)]
    total = sum(shares)
    bounds = [(end << _PART_BITS) // total for end in accumulate(shares, initial=0)]
    return ((begin, end - begin) for begin, end in zip(bounds[:-1:2], bounds[1::2], strict=True))


NAME_ALPHABET: Final = " 0123456789abcdefghijklmnopqrstuvwxyz"
_NAME_WEIGHTS: Final = {
    before.replace("_", " "): weights for before, weights in (line.split(":") for line in LETTERS.split())
}

NAMES: Final = SortKeys(NAME_ALPHABET, _NAME_WEIGHTS)
"""For the words by which a name is found: some twenty letters of most, for names are much alike."""
SYMBOLS: Final = SortKeys(" &-./0123456789=ABCDEFGHIJKLMNOPQRSTUVWXYZ^", {})
"""For symbols: nine characters."""

"""Texts as numbers that sort as the texts do, as far as a number reaches."""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Final

MAX_KEY: Final = 2**53 - 1
"""The largest whole number up to which a double, RediSearch's NUMERIC, holds each exactly."""


class SortKeys:
    """Keys for texts of mostly the characters of an alphabet, which is sorted.

    The order is that of UTF-8. `a < b` as texts gives `key(a) <= key(b)`: where a text holds another
    character its key stops, so that those behind it are not told apart.
    """

    def __init__(self, alphabet: str) -> None:
        self._alphabet = alphabet
        self._base = len(alphabet) + 1
        self._digits: Mapping[str, int] = {character: digit for digit, character in enumerate(alphabet, 1)}
        self.length = 0
        """How many characters a key holds."""
        while self._base ** (self.length + 1) <= MAX_KEY:
            self.length += 1

    def key(self, text: str) -> int:
        """From 0 to MAX_KEY."""
        number = 0
        for place in range(self.length):
            character = text[place : place + 1]
            digit = self._digits.get(character)
            if digit is None:
                behind: int = self._base ** (self.length - place - 1)
                if not character:
                    return number * self._base * behind
                # After all that go on with the next smaller character, before all with the next greater.
                smaller = bisect_left(self._alphabet, character)
                return (number * self._base + smaller + 1) * behind - 1
            number = number * self._base + digit
        return number


NAMES: Final = SortKeys(" 0123456789abcdefghijklmnopqrstuvwxyz")
"""For the words by which a name is found: ten characters."""
SYMBOLS: Final = SortKeys(" &-./0123456789=ABCDEFGHIJKLMNOPQRSTUVWXYZ^")
"""For symbols: nine characters."""

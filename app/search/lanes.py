"""Lanes: the documents of one asset class, status and currency, with each sort key as a key in their lane.

By relevance funds come after most equities, and they were imported after them. A range of a sort key that
reaches the first funds holds all those; a range of keys in the lanes of funds holds funds alone.

A key in a lane is one number, which a double holds: the lane's, then the sort key without its last bits.
"""

from collections.abc import Iterable
from itertools import product
from typing import Final, TypeAlias

from app.domain.instrument import AssetClass, Status

_KEY_BITS: Final = 45
_LOST_BITS: Final = 8
"""Of a sort key of 53 bits: as many as tell the lanes apart."""
_LOST: Final = (1 << _LOST_BITS) - 1
_LAST: Final = (1 << _KEY_BITS) - 1

CURRENCIES: Final = ("EUR", "USD", "GBP", "CAD", "JPY", "AUD", "INR")
"""Those of most instruments have lanes of their own; all others share one, for each lane costs those who ask
for many."""
_OTHERS: Final = ""
_LANES: Final = {
    lane: number << _KEY_BITS
    for number, lane in enumerate(product(map(str, AssetClass), map(str, Status), (*CURRENCIES, _OTHERS)))
}

Lanes: TypeAlias = frozenset[int]
"""The first keys of some lanes."""
NO_LANES: Final[Lanes] = frozenset()
"""Documents of all, by their sort keys."""


def lane_of(asset_class: str, status: str, currency: str) -> int:
    """The first key of the lane of such documents."""
    return _LANES[asset_class, status, currency if currency in CURRENCIES else _OTHERS]


def lane_key(lane: int, key: int) -> int:
    """A sort key in a lane, in which keys are in the same order."""
    return lane | key >> _LOST_BITS


def first_alike(key: int) -> int:
    """The first of the sort keys that lanes do not tell from this one."""
    return key & ~_LOST


def last_alike(key: int) -> int:
    """The last of the sort keys that lanes do not tell from this one."""
    return key | _LOST


def lanes_clause(field: str, lanes: Iterable[int], low: int | None, high: int | None) -> str:
    """What is in lanes from one sort key to another, and what they do not tell from these; None: no end."""
    first = 0 if low is None else low >> _LOST_BITS
    last = _LAST if high is None else high >> _LOST_BITS
    ranges = [f"@{field}:[{lane | first} {lane | last}]" for lane in sorted(lanes)]
    return ranges[0] if len(ranges) == 1 else f"({' | '.join(ranges)})"

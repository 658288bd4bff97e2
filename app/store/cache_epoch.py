"""When answers that were kept are out of date: as soon as documents have changed, but not oftener than they
are promised to be read anew, so that a trickle of writes does not empty the cache every second.

The state that says whether documents have changed is read every STATE_POLL_S. After a change the next epoch
begins, but not before `interval_s` have passed since the last one began. For `grace_s` more, answers of the
epoch before may be given while they are made anew, but where pins have changed. Whatever the epochs do, no
answer is given that may be older than SEARCH_INDEX_REFRESH: so long after it was made, or after the last
reading of the state that told of no change.
"""

import math
import time
from collections.abc import Iterable
from itertools import islice, takewhile
from typing import Final, Protocol, TypeVar

from app.parameters.live import LiveParameters
from app.store.index_state import IndexState
from app.store.pins import Pins
from app.store.search_index import SearchIndex

MAX_GRACE_S: Final = 2.0
GRACE_SHARE: Final = 0.1

_Key = TypeVar("_Key")


class Reading(Protocol):
    """What was read of the index, by what tells whether it may be given."""

    @property
    def epoch(self) -> int:
        """In which it was read."""

    @property
    def generation(self) -> int | None:
        """Of which; None: of none."""

    @property
    def made_at(self) -> float:
        """The monotonic clock then."""

    @property
    def age_s(self) -> float:
        """Of the generation then: seconds since it last equalled Postgres."""


class CacheEpoch:
    """The epoch of one process: a number that only grows."""

    def __init__(self, index: SearchIndex, pins: Pins, parameters: LiveParameters) -> None:
        self._index = index
        self._pins = pins
        self._parameters = parameters
        self.number = 0
        self.began_at = -math.inf
        self.is_over = False
        """Whether documents have changed since it began, though the next has not begun."""
        self._state: IndexState | None = None
        self._pins_version: int | None = None
        self._has_grace = False
        self._unchanged_at = -math.inf
        """The monotonic clock when the index was last known to be as it was when the epoch began."""
        self._unchanged_before = -math.inf
        """The same of the epoch before."""

    @property
    def generation(self) -> int | None:
        """The live one, as it was followed; None: there is none."""
        return self._state.generation if self._state else None

    @property
    def grace_s(self) -> float:
        return min(MAX_GRACE_S, self._parameters.search_index_refresh * GRACE_SHARE)

    @property
    def interval_s(self) -> float:
        return self._parameters.search_index_refresh - self.grace_s

    def follow(self) -> None:
        """Begin the next epoch, if it is time. To be called before what was kept is looked at, and before
        anything is read that will be kept under `number`."""
        state, pins_version = self._index.known_state, self._pins.version
        if state is not self._state or pins_version != self._pins_version:
            before, self._state = self._state, state
            is_pinned_anew, self._pins_version = pins_version != self._pins_version, pins_version
            if is_pinned_anew or before is None or state is None or before.generation != state.generation:
                self._begin(has_grace=not is_pinned_anew)
            elif before.changed != state.changed:
                self.is_over = True
            elif not self.is_over:
                self._unchanged_at = state.read_at
        if self.is_over and time.monotonic() >= self.began_at + self.interval_s:
            self._begin(has_grace=True)

    def is_current(self, reading: Reading) -> bool:
        """Whether it may still be given."""
        return reading.epoch == self.number and self._is_in_time(max(reading.made_at, self._unchanged_at))

    def may_be_given_once_more(self, reading: Reading) -> bool:
        """Whether it is of the epoch before, and may be given while it is made anew."""
        return (
            reading.epoch == self.number - 1
            and self._is_in_grace
            and self._is_in_time(max(reading.made_at, self._unchanged_before))
        )

    def past(self, oldest_first: Iterable[tuple[_Key, Reading]], at_most: int) -> list[_Key]:
        """The first that are never given again, up to one that may be."""
        first = self.number - self._is_in_grace
        return [
            key for key, _ in takewhile(lambda kept: kept[1].epoch < first, islice(oldest_first, at_most))
        ]

    @property
    def _is_in_grace(self) -> bool:
        return self._has_grace and time.monotonic() < self.began_at + self.grace_s

    def _is_in_time(self, moment: float) -> bool:
        return time.monotonic() - moment <= self._parameters.search_index_refresh

    def age_s(self, reading: Reading) -> float:
        """Seconds since the index, as it shows it, last equalled Postgres."""
        is_changed = reading.generation != self.generation or reading.epoch != self.number or self.is_over
        if self._state is None or is_changed:
            return time.monotonic() - reading.made_at + reading.age_s
        return self._state.current_age_s

    def _begin(self, *, has_grace: bool) -> None:
        self.number += 1
        self.began_at = time.monotonic()
        self.is_over = False
        self._has_grace = has_grace
        self._unchanged_before = self._unchanged_at
        self._unchanged_at = self._state.read_at if self._state else -math.inf

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
from typing import Final

from app.parameters.live import LiveParameters
from app.store.index_state import IndexState
from app.store.pins import Pins
from app.store.search_index import SearchIndex

MAX_GRACE_S: Final = 2.0
GRACE_SHARE: Final = 0.1


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

    def is_current(self, number: int, made_at: float) -> bool:
        """Whether what was read in an epoch, at this moment of the monotonic clock, may still be given."""
        return number == self.number and self._is_in_time(max(made_at, self._unchanged_at))

    def may_be_given_once_more(self, number: int, made_at: float) -> bool:
        """Whether what was read in the epoch before may be given while it is made anew."""
        return (
            number == self.number - 1
            and self._has_grace
            and time.monotonic() < self.began_at + self.grace_s
            and self._is_in_time(max(made_at, self._unchanged_before))
        )

    def is_past(self, number: int) -> bool:
        """Whether what was read in an epoch is never given again."""
        is_in_grace = self._has_grace and time.monotonic() < self.began_at + self.grace_s
        return number < self.number - is_in_grace

    def _is_in_time(self, moment: float) -> bool:
        return time.monotonic() - moment <= self._parameters.search_index_refresh

    def age_s(self, number: int, generation: int | None, made_at: float, age_s: float) -> float:
        """Seconds since the index, as what was read then shows it, last equalled Postgres.

        That was read in an epoch, of a generation that had this age then, on the monotonic clock.
        """
        state = self._state
        if state is None or state.generation != generation or number != self.number or self.is_over:
            return time.monotonic() - made_at + age_s
        return state.current_age_s  # the index still holds what was read

    def _begin(self, *, has_grace: bool) -> None:
        self.number += 1
        self.began_at = time.monotonic()
        self.is_over = False
        self._has_grace = has_grace
        self._unchanged_before = self._unchanged_at
        self._unchanged_at = self._state.read_at if self._state else -math.inf

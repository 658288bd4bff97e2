"""What identifiers name, kept in this process for the batches that hold them again."""

import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from app import metrics
from app.domain.lookup import Sought
from app.parameters.live import LiveParameters
from app.search.lookup_match import Matches
from app.store.cache_epoch import CacheEpoch

MAX_INSTRUMENTS: Final = 16_384
"""That the identifiers kept name, and one more for each."""
SWEPT_AT_ONCE: Final = 100
"""So many that may not be given any more are dropped for each batch: not all at once, which would hold
everybody up."""

_hit, _miss = map(metrics.LOOKUP_CACHE_REQUESTS.labels, ("hit", "miss"))


@dataclass(frozen=True, slots=True, eq=False)
class BatchReading:
    """Of what several identifiers name, at once; its fields are those of a Reading."""

    epoch: int
    generation: int
    age_s: float
    made_at: float


class Kept(NamedTuple):
    matches: Matches
    reading: BatchReading


class LookupCache:
    """While CACHE_TTL_SECONDS is 0 nothing is kept."""

    def __init__(self, epoch: CacheEpoch, parameters: LiveParameters) -> None:
        self._epoch = epoch
        self._parameters = parameters
        self._kept: OrderedDict[Sought, Kept] = OrderedDict()
        """The one that was asked for longest ago comes first."""
        self._instruments = 0

    def epoch(self) -> int:
        """In which that is read which is asked for from now on."""
        self._epoch.follow()
        return self._epoch.number

    def kept(self, sought: Mapping[int, Sought]) -> dict[int, Kept]:
        """What is known of each, by place; all of one generation."""
        self._epoch.follow()
        generation = self._epoch.generation
        oldest = time.monotonic() - self._parameters.cache_ttl_seconds
        may_be_given: dict[BatchReading, bool] = {}
        found: dict[int, Kept] = {}
        for place, one in sought.items():
            kept = self._kept.get(one)
            if kept is None:
                continue
            reading = kept.reading
            if reading not in may_be_given:
                may_be_given[reading] = (
                    reading.generation == generation
                    and reading.made_at > oldest
                    and self._epoch.is_current(reading)
                )
            if may_be_given[reading]:
                self._kept.move_to_end(one)
                found[place] = kept
        _hit.inc(len(found))
        _miss.inc(len(sought) - len(found))
        return found

    def keep(self, sought: Mapping[int, Sought], found: Mapping[int, Matches], reading: BatchReading) -> None:
        if self._parameters.cache_ttl_seconds <= 0:
            return
        for place, one in sought.items():
            self._drop(one)
            self._kept[one] = Kept(found[place], reading)
            self._instruments += _size(found[place])
        oldest_first = ((one, kept.reading) for one, kept in self._kept.items())
        for past in self._epoch.past(oldest_first, SWEPT_AT_ONCE):
            self._drop(past)
        while self._instruments > MAX_INSTRUMENTS:
            self._drop(next(iter(self._kept)))

    def age_s(self, readings: Iterable[BatchReading]) -> float:
        """Seconds since the index, as the oldest of them shows it, last equalled Postgres."""
        return max(map(self._epoch.age_s, readings))

    def _drop(self, sought: Sought) -> None:
        kept = self._kept.pop(sought, None)
        if kept is not None:
            self._instruments -= _size(kept.matches)


def _size(matches: Matches) -> int:
    return 1 + len(matches.instruments)

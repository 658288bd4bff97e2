"""Ranges of a sort key that are likely to hold a page, and cost little to look through.

They are guesses alone: the range behind one follows where it held too few.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from app.domain.query import Search
from app.search.expression import Order
from app.search.key_range import KeyRange, whole_end
from app.search.lanes import NO_LANES, Lanes
from app.store.key_samples import Sample

MARGIN: Final = 3
"""How many more matches a range is guessed to hold than are asked for."""
LANE_COST: Final = 1_000
"""To open a lane costs as much as to look through so many documents."""
WORTH: Final = 8
"""A range is worth it that holds up to so many times as many documents as match: to sort a document costs ten
times and more what it costs to pass one over."""
GROWTH: Final = 4
"""How many times more the next range holds, where one held too few."""


@dataclass(frozen=True, slots=True)
class Guess:
    """Where ranges end that hold so many of a search's matches."""

    sample: Sample
    search: Search
    order: Order
    matches: int
    documents: int
    lanes: Lanes

    def next_range(self, start: int | None, wanted: int, *, is_beyond: bool) -> KeyRange | None:
        """The one that costs least: of all documents, or of the lanes alone. None where it costs no more to
        look at everything."""
        part = MARGIN * wanted / self.matches
        cost, found = min(
            (self._range(start, part, lanes, is_beyond=is_beyond) for lanes in (NO_LANES, self.lanes)),
            key=itemgetter(0),
        )
        return found if cost <= WORTH * self.matches else None

    def _range(
        self, start: int | None, part: float, lanes: Lanes, *, is_beyond: bool
    ) -> tuple[float, KeyRange]:
        """And its cost, in documents that are looked through."""
        end = self.sample.end_of_page(self.search, self.order, start, part, lanes, is_beyond=is_beyond)
        if end is None:
            return math.inf, KeyRange(start, None, is_beyond, lanes)
        if lanes:
            end = whole_end(self.order, end)
        looked_through = self.sample.share(self.order, start, end, lanes) * self.documents
        return looked_through + LANE_COST * len(lanes), KeyRange(start, end, is_beyond, lanes)


def ranges(start: int | None, skip: int, wanted: int, guess: Guess | None) -> Iterator[KeyRange]:
    """One range after the other, to the end of all keys; each larger than the one before."""
    is_beyond = start is not None and skip == 0
    while guess is not None:
        part = guess.next_range(start, wanted, is_beyond=is_beyond)
        if part is None:
            break
        yield part
        start, is_beyond, wanted = part.end, True, wanted * GROWTH
    yield KeyRange(start, None, is_beyond, NO_LANES if guess is None else guess.lanes)

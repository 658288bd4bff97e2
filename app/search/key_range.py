"""A range of a sort key, as a part of a RediSearch expression."""

from dataclasses import dataclass

from app.search.expression import Order
from app.search.lanes import NO_LANES, Lanes, first_alike, lanes_clause, last_alike


@dataclass(frozen=True, slots=True)
class KeyRange:
    """From one key to another, both included but where `is_beyond`; None: without an end.

    In descending order `start` is the greater one. In lanes it ends with the last key that these do not tell
    from `end` (see `whole_end`).
    """

    start: int | None
    end: int | None
    is_beyond: bool = False
    """Without `start` itself."""
    lanes: Lanes = NO_LANES

    def clause(self, order: Order) -> str:
        if self.start is None and self.end is None:
            return ""
        if self.lanes:
            return f"{self._in_lanes(order)} {self._without_those_before(order)}".rstrip()
        first, last = ("-inf", "+inf") if order.is_ascending else ("+inf", "-inf")
        start = first if self.start is None else f"({self.start}" if self.is_beyond else f"{self.start}"
        end = last if self.end is None else f"{self.end}"
        low, high = (start, end) if order.is_ascending else (end, start)
        return f"@{order.field}:[{low} {high}]"

    def _in_lanes(self, order: Order) -> str:
        low, high = (self.start, self.end) if order.is_ascending else (self.end, self.start)
        return lanes_clause(order.lane_field, self.lanes, low, high)

    def _without_those_before(self, order: Order) -> str:
        """Those that lanes do not tell from `start`."""
        if self.start is None:
            return ""
        start = f"{self.start}" if self.is_beyond else f"({self.start}"
        if order.is_ascending:
            return f"-@{order.field}:[{first_alike(self.start)} {start}]"
        return f"-@{order.field}:[{start} {last_alike(self.start)}]"


def whole_end(order: Order, end: int) -> int:
    """Where a range in lanes ends that is to reach as far as `end`."""
    return last_alike(end) if order.is_ascending else first_alike(end)

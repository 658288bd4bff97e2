"""What is measured against what, and how far it may fall behind: the rows of the table, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Target:
    """A figure's `value` is its ratio to what it is compared with, or itself where that is nothing."""

    work: str
    against: str
    limit: float
    at_most: bool
    unit: str
    """Of what is measured and of what it is compared with."""

    def holds(self, value: float) -> bool:
        return value <= self.limit if self.at_most else value >= self.limit


def _least(work: str, against: str, limit: float, unit: str = "/s") -> Target:
    return Target(work, against, limit, at_most=False, unit=unit)


def _most(work: str, against: str, limit: float, unit: str) -> Target:
    return Target(work, against, limit, at_most=True, unit=unit)


TARGETS: Final[Mapping[str, Target]] = {
    "hot": _least("hot queries, from the application cache", "the bare handler", 0.6),
    "exact": _least("exact symbols and identifiers, every one different", "the bare handler", 0.45),
    "prefix": _least(
        "two-word name prefixes, every one different",
        "the lesser of 0.7 of Redis alone and 0.3 of the bare handler",
        1.0,
    ),
    "suggest.p95": _most("suggest, letter by letter, 500/s open loop: P95", "", 5, "ms"),
    "suggest.p99": _most("suggest, letter by letter, 500/s open loop: P99", "", 15, "ms"),
    "broad": _most("the slowest broad filter and sort, first page, not cached", "an exact lookup", 4, "ms"),
    "paging": _most("page 500 by cursor, the slowest sort", "page 1", 2, "ms"),
    "workers.cpu": _most("CPU time of an exact lookup, with 2 workers", "with 1", 1.15, "µs"),
    "workers.throughput": _least(
        "throughput of 2 workers against 1, hot queries", "of 2 bare handlers against 1", 0.9, "times"
    ),
    "locust.burst": _most("Locust burst, 213 requests/s: P95 above the bare handler's", "", 3, "ms"),
    "locust.burst10": _most("Locust burst, ten times that: P95 above the bare handler's", "", 10, "ms"),
    "locust.sustained": _most("Locust sustained: P95 above the bare handler's", "", 3, "ms"),
    "locust.disturbed": _most("Locust sustained: P95 during a refresh or rebuild", "", 2, "times"),
    "locust.memory": _most("Locust sustained: memory, at the end against the beginning", "", 1.1, "times"),
    "tenfold.exact": _most("ten times the data: an exact lookup", "once the data", 1.3, "ms"),
    "tenfold.prefix": _most("ten times the data: a two-word name prefix", "once the data", 2, "ms"),
    "tenfold.memory": _most("ten times the data: Redis, an instrument", "", 1700, "bytes"),
    "tenfold.rebuild": _most("ten times the data: a rebuild, an instrument", "once the data", 1.2, "µs"),
}
"""By name: a row, and what of it where it has several."""


def row_of(name: str) -> str:
    return name.partition(".")[0]


ROWS: Final = tuple(dict.fromkeys(map(row_of, TARGETS)))
TENFOLD: Final = "tenfold"
"""The row that takes long, and servers of its own."""

"""What a rate and a number of instruments need, computed from what `make bench` has measured.

Formulas and assumptions are told in docs/capacity.md, whose tables these are.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from loadtests.bench.report import Row, number

RATES: Final = (1_000, 10_000, 100_000, 1_000_000)
INSTRUMENTS: Final = (268_522, 2_685_220, 26_852_200, 268_522_000)
CACHED: Final = 0.8
"""Assumed: so many of the requests are answered by the application cache, in the case with repeats."""
BUSY: Final = 0.6
"""Assumed: so much of a core is used, so that a burst finds room."""
PREFIXES: Final = 0.5
"""Assumed: so many of the searches that are not cached are names, the others exact."""
GENERATIONS: Final = 3
"""Live, kept, and one that is built."""
NODE_BYTES: Final = 64e9
"""Assumed: the memory of a Redis machine."""
POOL: Final = 10
"""Connections to Postgres of an API process, by default."""
NEEDED: Final = ("hot", "exact", "prefix", "tenfold.memory")


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU times in microseconds: of the API for a request, of Redis for a query."""

    hot_us: float
    exact_us: float
    prefix_us: float
    redis_exact_us: float
    redis_prefix_us: float
    exact_growth: float
    """A query's CPU time in Redis with ten times the instruments, in times of that with once."""
    prefix_growth: float
    answer_bytes: float
    process_mb: float
    """Memory of an API process."""
    instruments: int
    instrument_bytes: float
    rebuild_us: float
    """Of an instrument."""

    @classmethod
    def of(cls, rows: Mapping[str, Row]) -> Self:
        hot, exact, prefix, tenfold = (rows[name]["detail"] for name in NEEDED)
        growth = {kind: cpu["tenfold"] / cpu["once"] for kind, cpu in tenfold["redis_cpu_us"].items()}
        once, ten = tenfold["instruments"]["once"], tenfold["instruments"]["tenfold"]
        return cls(
            hot_us=hot["service_cpu_us"],
            exact_us=exact["service_cpu_us"],
            prefix_us=prefix["service_cpu_us"],
            redis_exact_us=exact["redis_cpu_us"],
            redis_prefix_us=prefix["redis_cpu_us"],
            exact_growth=growth["exact"],
            prefix_growth=growth["prefix"],
            answer_bytes=(exact["body_bytes"] + prefix["body_bytes"]) / 2,
            process_mb=max(row["service_rss_mb"] for row in (hot, exact, prefix)),
            instruments=once,
            instrument_bytes=rows["tenfold.memory"]["measured"],
            rebuild_us=tenfold["rebuild_s"]["tenfold"] / ten * 1e6,
        )

    def api_us(self, cached: float) -> float:
        """Of a request."""
        missed_us = PREFIXES * self.prefix_us + (1 - PREFIXES) * self.exact_us
        return cached * self.hot_us + (1 - cached) * missed_us

    def redis_us(self, instruments: float, cached: float) -> float:
        """Of a request: nothing for one that the cache answers."""
        decades = max(0.0, math.log10(instruments / self.instruments))
        exact_us = self.redis_exact_us * math.pow(self.exact_growth, decades)
        prefix_us = self.redis_prefix_us * math.pow(self.prefix_growth, decades)
        return (1 - cached) * (PREFIXES * prefix_us + (1 - PREFIXES) * exact_us)


def cores(rate: float, each_us: float) -> int:
    """Cores that are busy to the share that is meant."""
    return math.ceil(rate * each_us / 1e6 / BUSY)


def shards(costs: Costs, instruments: float) -> int:
    return math.ceil(instruments * costs.instrument_bytes * GENERATIONS / NODE_BYTES)


def redis_nodes(costs: Costs, rate: float, instruments: float, cached: float) -> int:
    """Every shard is asked by every search, and has as many replicas as the rate needs."""
    parts = shards(costs, instruments)
    return parts * max(1, cores(rate, costs.redis_us(instruments / parts, cached)))


def tables(rows: Mapping[str, Row]) -> str:
    """The measured constants and what follows from them, as Markdown; NEEDED rows are there."""
    costs = Costs.of(rows)
    return "\n\n".join((_constants(costs), _by_rate(costs), _by_size(costs), _by_both(costs)))


def _constants(costs: Costs) -> str:
    return _table(
        ("constant", "measured", "row of bench.json"),
        [
            ("`api_hot`", f"{number(costs.hot_us)} µs", "`hot`: `service_cpu_us`"),
            ("`api_exact`", f"{number(costs.exact_us)} µs", "`exact`: `service_cpu_us`"),
            ("`api_prefix`", f"{number(costs.prefix_us)} µs", "`prefix`: `service_cpu_us`"),
            ("`redis_exact`", f"{number(costs.redis_exact_us)} µs", "`exact`: `redis_cpu_us`"),
            ("`redis_prefix`", f"{number(costs.redis_prefix_us)} µs", "`prefix`: `redis_cpu_us`"),
            ("`growth_exact`", number(costs.exact_growth), "`tenfold.exact`: `redis_cpu_us`"),
            ("`growth_prefix`", number(costs.prefix_growth), "`tenfold.prefix`: `redis_cpu_us`"),
            (
                "`answer`",
                f"{number(costs.answer_bytes)} bytes",
                "`exact`, `prefix`: `body_bytes`, their mean",
            ),
            (
                "`process`",
                f"{number(costs.process_mb)} MB",
                "`hot`, `exact`, `prefix`: `service_rss_mb`, the most",
            ),
            ("`instrument`", f"{number(costs.instrument_bytes)} bytes", "`tenfold.memory`"),
            ("`rebuild`", f"{number(costs.rebuild_us)} µs an instrument", "`tenfold.rebuild`: `rebuild_s`"),
        ],
    )


def _by_rate(costs: Costs) -> str:
    header = (
        "requests/s",
        "API cores, none cached",
        f"API cores, {CACHED:.0%} cached",
        "API memory, none cached",
        "Redis nodes, none cached",
        f"Redis nodes, {CACHED:.0%} cached",
        "network",
        "Postgres connections",
    )
    return _table(
        header,
        [
            (
                number(rate),
                *(number(cores(rate, costs.api_us(cached))) for cached in (0, CACHED)),
                f"{number(cores(rate, costs.api_us(0)) * costs.process_mb / 1e3)} GB",
                *(number(redis_nodes(costs, rate, costs.instruments, cached)) for cached in (0, CACHED)),
                f"{number(rate * costs.answer_bytes * 8 / 1e9)} Gbit/s",
                number(POOL * cores(rate, costs.api_us(CACHED))),
            )
            for rate in RATES
        ],
    )


def _by_size(costs: Costs) -> str:
    header = ("instruments", "one generation", "three", "Redis, a search", "rebuild", "shards")
    return _table(
        header,
        [
            (
                number(instruments),
                f"{number(instruments * costs.instrument_bytes / 1e9)} GB",
                f"{number(instruments * costs.instrument_bytes * GENERATIONS / 1e9)} GB",
                f"{number(costs.redis_us(instruments, 0))} µs",
                f"{number(instruments * costs.rebuild_us / 60e6)} min",
                number(shards(costs, instruments)),
            )
            for instruments in INSTRUMENTS
        ],
    )


def _by_both(costs: Costs) -> str:
    return _table(
        ("Redis nodes, none cached", *(f"{number(instruments)} instruments" for instruments in INSTRUMENTS)),
        [
            (
                f"{number(rate)} requests/s",
                *(number(redis_nodes(costs, rate, instruments, 0)) for instruments in INSTRUMENTS),
            )
            for rate in RATES
        ],
    )


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

"""Service levels after a deployment, asked of Prometheus: what users got, what they asked, how it grows.

Counts are of a window. A counter that was there when the window began has its increase counted, and one that
came since has all of it: the first error of a route makes a series of its own, whose increase is 0.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from app.domain import errors
from app.monitoring.expected import Expected
from app.monitoring.growth import DAYS_NEEDED, Growth
from app.monitoring.prometheus import Prometheus
from app.monitoring.queries import ERRORS, HISTOGRAM, JOB, USERS, within
from app.times import utc_text, utc_text_of

WINDOWS: Final = {"24h": 86_400, "7d": 604_800}
BOUND_S: Final = 0.12
SHARE: Final = 0.95
COVERAGE: Final = 0.95
"""For so much of the window Prometheus must have reached the service."""
DOWN: Final = 0.001
"""For so much of the window nobody may have answered: the budget of deploy/prometheus/rules/slo.yml."""
LOOK_S: Final = 15
"""The interval of scrapes in deploy/prometheus/prometheus.yml."""
REQUESTS_NEEDED: Final = 100
POINTS: Final = 288
PEAK_S: Final = 300
SETTLED_S: Final = 10.0
"""So long ago the window ends: all queries are as of then, and scrapes of before are in the database."""

_PROFILE_ROUTES: Final = 'route=~"/v1/subscription-profiles.*"'
_RIGHT: Final = ("done", "not_modified", "replayed")


class State(StrEnum):
    PASSED = "passed"
    MISSED = "missed"
    NOT_ENOUGH_DATA = "not enough data"


@dataclass(frozen=True, slots=True)
class Looked:
    """Parts of the window: when Prometheus asked for metrics and got them, and when it got none."""

    up: float
    down: float

    @property
    def reachable(self) -> float | None:
        """Of the time that Prometheus asked."""
        asked = self.up + self.down
        return round(self.up / asked, 6) if asked else None


@dataclass(frozen=True, slots=True)
class Window:
    name: str
    end: float

    @property
    def seconds(self) -> int:
        return WINDOWS[self.name]

    @property
    def step_s(self) -> int:
        return self.seconds // POINTS

    @property
    def start(self) -> float:
        return self.end - self.seconds


async def report(prometheus: Prometheus, name: str, expected: Expected) -> dict[str, Any]:
    """All questions with their numbers. Raises PrometheusUnavailable."""
    window = Window(name, time.time() - SETTLED_S)
    looked = await _looked(prometheus, window)
    coverage = looked.up
    lines = await _lines(prometheus, window)
    questions = [
        _reachability(looked, window),
        await _latency(prometheus, window, coverage),
        await _errors(prometheus, window, coverage),
        await _profiles(prometheus, window, coverage),
    ]
    return {
        "made_at": utc_text(),
        "window": name,
        "from": utc_text_of(window.start),
        "to": utc_text_of(window.end),
        "verdict": _verdict(questions),
        "coverage": round(coverage, 4),
        "coverage_needed": COVERAGE,
        "reachable": looked.reachable,
        "questions": questions,
        "use": await _use(prometheus, window, expected, lines["requests_per_s"]),
        "capacity": await _capacity(prometheus, window, expected, lines),
        "step_s": window.step_s,
        "lines": lines,
    }


def counted(metric: str, selector: str, by: str, window_s: int) -> str:
    """A query for how much counters have counted within the window, by label."""
    series = f"{metric}{{{selector}}}"
    before = f"{series} offset {window_s}s"
    return (
        f"sum by ({by}) ((increase({series}[{window_s}s]) and {before}) "
        f"or (max_over_time({series}[{window_s}s]) unless {before}))"
    )


def is_right(result: str) -> bool:
    """Whether a profile operation was answered as it should be: done, or refused for what was sent."""
    return result in _RIGHT or result in _REFUSALS


def _refusals(kind: type[errors.RegistryError] = errors.RegistryError) -> set[str]:
    found: set[str] = set()
    for sub in kind.__subclasses__():
        if sub.__module__ == errors.__name__ and sub not in (errors.Unavailable, errors.SearchTimedOut):
            found |= {sub.__name__, *_refusals(sub)}
    return found


_REFUSALS: Final = frozenset(_refusals())


async def _looked(prometheus: Prometheus, window: Window) -> Looked:
    """One process that answers is enough."""
    looks = window.seconds / LOOK_S

    async def part(value: int) -> float:
        times = f'count_over_time((max(up{{job="{JOB}"}}) == {value})[{window.seconds}s:{LOOK_S}s])'
        return min(1.0, (await _one(prometheus, window, times) or 0.0) / looks)

    return Looked(await part(1), await part(0))


def _reachability(looked: Looked, window: Window) -> dict[str, Any]:
    down_s = round(looked.down * window.seconds)
    enough = looked.up + looked.down >= COVERAGE
    return {
        "question": "Was it reachable?",
        "state": State.MISSED if looked.down > DOWN else State.PASSED if enough else State.NOT_ENOUGH_DATA,
        "measured": f"nobody answered Prometheus for {down_s:,} s, {_percent(looked.reachable)} reachable",
        "limit": f"at most {DOWN * window.seconds:,.0f} s",
        "down_s": down_s,
        "reachable": looked.reachable,
    }


async def _lines(prometheus: Prometheus, window: Window) -> dict[str, list[float | None]]:
    step = f"{max(window.step_s, PEAK_S)}s"
    users = f'job="{JOB}",{USERS}'
    buckets = f"sum by (le) (rate({HISTOGRAM}_bucket{{{users}}}[{step}]))"
    asked = {
        "p95_ms": f"1000 * histogram_quantile({SHARE}, {buckets})",
        "requests_per_s": f"sum(rate({HISTOGRAM}_count{{{users}}}[{step}]))",
        "errors_per_s": f"sum(rate({HISTOGRAM}_count{{{users},{ERRORS}}}[{step}]))",
        "profile_operations_per_s": f'sum(rate(registry_profile_operations_total{{job="{JOB}"}}[{step}]))',
        "rows": "max(registry_index_rows)",
    }
    lines: dict[str, list[float | None]] = {}
    for name, query in asked.items():
        line: list[float | None] = [None] * (POINTS + 1)
        for series in await prometheus.query_range(query, window.start, window.end, window.step_s):
            for at, value in series.points:
                number = round((at - window.start) / window.step_s)
                line[number] = round(value, 6) if math.isfinite(value) else None
        lines[name] = line
    return lines


async def _sums(
    prometheus: Prometheus, window: Window, query: str, *labels: str
) -> dict[tuple[str, ...], float]:
    """By label, at the end of the window: parts of a share are of the same moment."""
    return {
        tuple(series.labels.get(label, "") for label in labels): value
        for series in await prometheus.query_range(query, window.end, window.end, 1)
        for _, value in series.points
        if math.isfinite(value)
    }


async def _latency(prometheus: Prometheus, window: Window, coverage: float) -> dict[str, Any]:
    users = f'job="{JOB}",{USERS}'
    by_route = await _sums(
        prometheus, window, counted(f"{HISTOGRAM}_count", users, "route", window.seconds), "route"
    )
    quick = await _sums(
        prometheus,
        window,
        counted(f"{HISTOGRAM}_bucket", f"{users},{within(BOUND_S)}", "route", window.seconds),
        "route",
    )
    buckets = counted(f"{HISTOGRAM}_bucket", users, "le", window.seconds)
    quantiles = {
        f"p{100 * part:g}_ms": await _one(prometheus, window, f"1000 * histogram_quantile({part}, {buckets})")
        for part in (0.5, 0.95, 0.99)
    }
    requests = sum(by_route.values())
    share = sum(quick.values()) / requests if requests else None
    return {
        "question": f"Was P95 below {1000 * BOUND_S:g} ms?",
        "state": _judge(share is not None and share < SHARE, coverage, requests),
        "measured": f"{_percent(share)} of {requests:,.0f} requests took at most {1000 * BOUND_S:g} ms",
        "limit": f"at least {SHARE:.0%}",
        "requests": round(requests),
        "share": None if share is None else round(share, 6),
        **quantiles,
        "by_route": [
            {
                "route": route,
                "requests": round(count),
                "share": round(quick.get((route,), 0.0) / count, 6) if count else None,
            }
            for (route,), count in sorted(by_route.items(), key=lambda one: -one[1])
        ],
    }


async def _errors(prometheus: Prometheus, window: Window, coverage: float) -> dict[str, Any]:
    metric, all_errors = f"{HISTOGRAM}_count", f'job="{JOB}",{ERRORS}'
    users = f'job="{JOB}",{USERS}'
    total = await _sums(prometheus, window, counted(metric, users, "job", window.seconds), "job")
    judged = await _sums(
        prometheus,
        window,
        counted(metric, f"{users},{ERRORS}", "route, status", window.seconds),
        "route",
        "status",
    )
    anywhere = await _sums(
        prometheus, window, counted(metric, all_errors, "route, status", window.seconds), "route", "status"
    )
    requests, failed = sum(total.values()), sum(map(_whole, judged.values()))
    return {
        "question": "Were there no errors?",
        "state": _judge(failed > 0, coverage, requests),
        "measured": f"{failed:,} of {requests:,.0f} requests were answered with 5xx",
        "limit": "0",
        "errors": failed,
        "ratio": failed / requests if requests else None,
        "by_route": [
            {"route": route, "status": status, "errors": _whole(count), "judged": (route, status) in judged}
            for (route, status), count in sorted(anywhere.items(), key=lambda one: -one[1])
            if _whole(count)
        ],
    }


async def _profiles(prometheus: Prometheus, window: Window, coverage: float) -> dict[str, Any]:
    results = await _sums(
        prometheus,
        window,
        counted("registry_profile_operations_total", f'job="{JOB}"', "operation, result", window.seconds),
        "operation",
        "result",
    )
    failing = await _sums(
        prometheus,
        window,
        counted(f"{HISTOGRAM}_count", f'job="{JOB}",{_PROFILE_ROUTES},{ERRORS}', "job", window.seconds),
        "job",
    )
    operations = sum(map(_whole, results.values()))
    wrong = sum(_whole(count) for (_, result), count in results.items() if not is_right(result))
    failed = sum(map(_whole, failing.values()))
    return {
        "question": "Were profile operations right?",
        "state": _judge(wrong + failed > 0, coverage, operations, 1),
        "measured": f"{wrong:,} of {operations:,} operations failed, {failed:,} answers were 5xx",
        "limit": "0 of at least 1",
        "operations": operations,
        "wrong": wrong,
        "answered_5xx": failed,
        "by_result": [
            {"operation": operation, "result": result, "times": _whole(count), "right": is_right(result)}
            for (operation, result), count in sorted(results.items())
            if _whole(count)
        ],
    }


async def _use(
    prometheus: Prometheus, window: Window, expected: Expected, line: list[float | None]
) -> dict[str, Any]:
    rates = [value for value in line if value is not None]
    users = f'job="{JOB}",{USERS}'
    rate = f"sum(rate({HISTOGRAM}_count{{{users}}}[{PEAK_S}s]))"
    peak = await _one(prometheus, window, f"max_over_time({rate}[{window.seconds}s:{PEAK_S}s])")
    mean = sum(rates) / len(rates) if rates else None
    compared = [
        _compared("sustained", mean, expected.sustained_per_s),
        _compared("burst", peak, expected.burst_per_s),
    ]
    return {"peak_over_s": PEAK_S, "rates": compared}


def _compared(kind: str, actual: float | None, expected: float) -> dict[str, Any]:
    if actual is None:
        state: str = State.NOT_ENOUGH_DATA
    else:
        state = "above what is expected" if actual > expected else "within what is expected"
    return {
        "kind": kind,
        "actual_per_s": None if actual is None else round(actual, 3),
        "expected_per_s": expected,
        "ratio": None if actual is None else round(actual / expected, 3),
        "state": state,
    }


async def _capacity(
    prometheus: Prometheus, window: Window, expected: Expected, lines: Mapping[str, list[float | None]]
) -> list[dict[str, Any]]:
    workers = await _one(prometheus, window, f'sum(registry_workers{{job="{JOB}"}})')
    return [
        _reached("requests_per_s", lines, window, None if not workers else workers * expected.worker_per_s),
        _reached("rows", lines, window, expected.rows),
    ]


def _reached(
    name: str, lines: Mapping[str, list[float | None]], window: Window, limit: float | None
) -> dict[str, Any]:
    """When a line reaches its limit if it goes on as it does."""
    points = [
        (window.start + number * window.step_s, value)
        for number, value in enumerate(lines[name])
        if value is not None
    ]
    growth = Growth.of(points, window.end)
    if growth is None or limit is None:
        why = f"fewer than {DAYS_NEEDED} days of it" if growth is None else "no count of workers"
        return {"of": name, "state": State.NOT_ENOUGH_DATA, "why": why, "limit": limit}
    days = growth.days_until(limit)
    if days is None:
        state = "no growth that can be told from noise"
    else:
        state = "at its limit" if days == 0 else f"at its limit in {days:,.0f} days"
    return {
        "of": name,
        "state": state,
        "why": f"a line through {growth.days} daily means",
        "limit": round(limit),
        "now": round(growth.now, 3),
        "per_day": round(growth.per_day, 4),
        "per_day_error": round(growth.error, 4),
        "days_until_limit": None if days is None else round(days, 1),
        "used": round(growth.now / limit, 4),
    }


async def _one(prometheus: Prometheus, window: Window, query: str) -> float | None:
    value = (await _sums(prometheus, window, query)).get(())
    return None if value is None else round(value, 3)


def _judge(is_missed: bool, coverage: float, counted: float, needed: int = REQUESTS_NEEDED) -> State:
    """What was missed was missed, however little was seen; what was not must have been looked at."""
    if is_missed:
        return State.MISSED
    return State.PASSED if coverage >= COVERAGE and counted >= needed else State.NOT_ENOUGH_DATA


def _verdict(questions: list[dict[str, Any]]) -> State:
    states = {question["state"] for question in questions}
    return next(state for state in (State.MISSED, State.NOT_ENOUGH_DATA, State.PASSED) if state in states)


def _whole(count: float) -> int:
    """Prometheus stretches an increase to the ends of its window; something counted is never nothing."""
    return max(1, round(count)) if count > 0 else 0


def _percent(share: float | None) -> str:
    """To a hundredth, and never rounded up to what it is not."""
    return "none" if share is None else f"{math.floor(share * 10_000) / 100:g} %"

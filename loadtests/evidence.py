"""What a load test has shown, as figures, and whether it kept to its thresholds."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from loadtests.disturbances import Disturbance
from loadtests.processes import Watched
from loadtests.records import Request
from loadtests.shapes import Shape, Thresholds

SIDES: Final = ("service", "bare")
BINS: Final = 120
"""About as many points has a line of the report."""


@dataclass(frozen=True, slots=True)
class Measured:
    """All that a run has left behind."""

    shape: Shape
    factor: float
    seconds: float
    """That each side was asked."""
    begins_at: float
    ends_at: float
    requests: Sequence[Request]
    disturbances: Sequence[Disturbance]
    processes: Sequence[Watched]

    @property
    def rate_per_s(self) -> float:
        return self.shape.rate_per_s * self.factor


def evaluate(measured: Measured) -> dict[str, Any]:
    """The figures, the thresholds with a verdict for each, and the verdict on all of them."""
    by_side = {side: [one for one in measured.requests if one.side == side] for side in SIDES}
    sides = {side: _side(found, measured.seconds) for side, found in by_side.items() if found}
    figures: dict[str, Any] = {
        "asked_rate_per_s": measured.rate_per_s,
        "sides": sides,
        "disturbances": _disturbances(measured, by_side["service"]),
        "memory": [_memory(watched, measured) for watched in measured.processes],
        "timeline": _timeline(measured, by_side),
    }
    thresholds = list(_judge(measured.shape.thresholds_at(measured.factor), figures))
    missed = any(one["verdict"] == "missed" for one in thresholds)
    return {"verdict": "missed" if missed else "passed", "thresholds": thresholds, **figures}


def _side(requests: Sequence[Request], seconds: float) -> dict[str, Any]:
    by_name = defaultdict(list)
    for request in requests:
        by_name[request.name].append(request)
    errors = Counter(f"{one.name}: {one.failure}" for one in requests if one.failure is not None)
    return {
        "requests": len(requests),
        "rate_per_s": round(len(requests) / seconds, 2),
        "failed": errors.total(),
        "errors": dict(errors.most_common()),
        "latency_ms": latencies([one.waited_ms for one in requests]),
        "sending_to_answer_ms": latencies([one.took_ms for one in requests]),
        "by_request": {
            name: {"requests": len(some), "latency_ms": latencies([one.waited_ms for one in some])}
            for name, some in sorted(by_name.items())
        },
    }


def latencies(values: Iterable[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "p50": _percentile(ordered, 0.5),
        "p95": _percentile(ordered, 0.95),
        "p99": _percentile(ordered, 0.99),
        "max": round(ordered[-1], 3),
    }


def _percentile(ordered: Sequence[float], part: float) -> float:
    return round(ordered[min(int(len(ordered) * part), len(ordered) - 1)], 3)


def _p95(requests: Iterable[Request]) -> float | None:
    ordered = sorted(one.waited_ms for one in requests)
    return _percentile(ordered, 0.95) if ordered else None


def _disturbances(measured: Measured, requests: Sequence[Request]) -> list[dict[str, Any]]:
    """Each with its P95, and how many times that of the quiet time it is."""
    spans = [
        (one, one.began, max(one.ended, one.began + measured.shape.disturbed_s))
        for one in measured.disturbances
    ]
    quiet = _p95(one for one in requests if not any(start <= one.due < end for _, start, end in spans))
    shown = []
    for disturbance, start, end in spans:
        p95 = _p95(one for one in requests if start <= one.due < end)
        shown.append(
            {
                "kind": disturbance.kind,
                "from_s": round(disturbance.began - measured.begins_at, 1),
                "took_s": round(disturbance.ended - disturbance.began, 2),
                "p95_ms": p95,
                "quiet_p95_ms": quiet,
                "ratio": None if p95 is None or quiet is None else round(p95 / quiet, 2),
            }
        )
    return shown


def _memory(watched: Watched, measured: Measured) -> dict[str, Any]:
    """The median of the first and of the last fifth of the run."""
    fifth = (measured.ends_at - measured.begins_at) / 5
    first = [mb for at, mb in watched.samples if measured.begins_at <= at < measured.begins_at + fifth]
    last = [mb for at, mb in watched.samples if measured.ends_at - fifth <= at < measured.ends_at]
    return {
        "pid": watched.process.pid,
        "process": watched.name,
        "first_mb": round(statistics.median(first), 1) if first else None,
        "last_mb": round(statistics.median(last), 1) if last else None,
        "ratio": round(statistics.median(last) / statistics.median(first), 3) if first and last else None,
    }


def _timeline(measured: Measured, by_side: dict[str, list[Request]]) -> dict[str, Any]:
    """Figures of each side, and the memory, in steps of some seconds; None where nothing was asked."""
    length = measured.ends_at - measured.begins_at
    step = max(1, round(length / BINS))
    steps = range(int(length // step))

    def binned(points: Iterable[tuple[float, float]]) -> list[list[float]]:
        bins: list[list[float]] = [[] for _ in steps]
        for at, value in points:
            number = int((at - measured.begins_at) // step)
            if 0 <= number < len(bins):
                bins[number].append(value)
        return bins

    timeline: dict[str, Any] = {"step_s": step, "p95_ms": {}, "requests_per_s": {}, "rss_mb": {}}
    for side, requests in by_side.items():
        if requests:
            bins = binned((one.due, one.waited_ms) for one in requests)
            timeline["p95_ms"][side] = [_percentile(sorted(some), 0.95) if some else None for some in bins]
            timeline["requests_per_s"][side] = [len(some) / step if some else None for some in bins]
    for watched in measured.processes:
        bins = binned(watched.samples)
        label = f"{watched.process.pid} {watched.name}"
        timeline["rss_mb"][label] = [round(statistics.mean(some), 1) if some else None for some in bins]
    return timeline


def _judge(thresholds: Thresholds, figures: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """Each threshold that is set, with what was measured. What could not be is not judged, and says so."""
    limits = thresholds.model_dump(exclude_none=True)
    for name, limit in limits.items():
        measured = _MEASURES[name](figures)
        if measured is None:
            verdict = "not measured"
        elif name == "rate_ratio":
            verdict = "passed" if measured >= limit else "missed"
        else:
            verdict = "passed" if measured <= limit else "missed"
        yield {"name": name, "limit": limit, "measured": measured, "verdict": verdict}


def _failed(figures: dict[str, Any]) -> int:
    return sum(side["failed"] for side in figures["sides"].values())


def _rate_ratio(figures: dict[str, Any]) -> float:
    """0 where a side was not asked at all."""
    lowest = min((side["rate_per_s"] for side in figures["sides"].values()), default=0.0)
    return round(float(lowest) / float(figures["asked_rate_per_s"]), 4)


def _p95_of(side: str, figures: dict[str, Any]) -> float | None:
    asked = figures["sides"].get(side)
    return None if asked is None else float(asked["latency_ms"]["p95"])


def _above_bare(figures: dict[str, Any]) -> float | None:
    service, bare = _p95_of("service", figures), _p95_of("bare", figures)
    return None if service is None or bare is None else round(service - bare, 3)


def _worst(part: str) -> Callable[[dict[str, Any]], float | None]:
    def worst(figures: dict[str, Any]) -> float | None:
        return max((one["ratio"] for one in figures[part] if one["ratio"] is not None), default=None)

    return worst


_MEASURES: Final[dict[str, Callable[[dict[str, Any]], float | None]]] = {
    "failed": _failed,
    "rate_ratio": _rate_ratio,
    "p95_ms": partial(_p95_of, "service"),
    "p95_above_bare_ms": _above_bare,
    "disturbed_p95_ratio": _worst("disturbances"),
    "rss_growth_ratio": _worst("memory"),
}
"""What each threshold is of."""

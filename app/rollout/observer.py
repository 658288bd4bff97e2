"""Asks Prometheus for the numbers of both tracks, all as of the same moment."""

import math
from typing import Final, TypeAlias

from app.monitoring import queries
from app.monitoring.prometheus import Prometheus
from app.rollout.measured import Connections, Measured, Track, Window
from app.rollout.plan import Plan, Step

_ANY_BOUND_S: Final = 0.1
"""Asked for where a step has no bound; nobody judges by it."""
_WINDOW: Final = "window"
_RECENT: Final = "recent"
_HOLD: Final = "hold"

_Values: TypeAlias = dict[tuple[str, str], float]
"""By track and part."""


async def measure(prometheus: Prometheus, plan: Plan, step: Step, *, over_hold: bool) -> Measured:
    """The numbers of now. Raises PrometheusUnavailable."""
    bound_s = step.p95_s or _ANY_BOUND_S
    spans = {
        _WINDOW: (math.ceil(plan.window_s), bound_s),
        _RECENT: (math.ceil(plan.trigger_window_s), plan.triggers.p95.limit),
    }
    if over_hold:
        spans[_HOLD] = (math.ceil(step.hold_s), bound_s)
    recent_s = spans[_RECENT][0]
    parts = {
        "asked": queries.connections_asked(recent_s),
        "failed": queries.connections_failed(recent_s),
        "up": queries.targets_up(),
        "series": queries.series_known(),
    }
    for name, (seconds, bound) in spans.items():
        parts |= _parts_of(name, seconds, bound)
    values: _Values = {
        (sample.labels.get("track", ""), sample.labels.get("part", "")): sample.value
        for sample in await prometheus.query(queries.together(parts))
        if math.isfinite(sample.value)
    }
    windows = {
        (track, name): _window(values, track, name, seconds, bound)
        for track in queries.TRACKS
        for name, (seconds, bound) in spans.items()
    }
    stable, canary = (
        Track(
            window=windows[track, _WINDOW],
            recent=windows[track, _RECENT],
            connections=Connections(
                recent_s, values.get((track, "asked"), 0.0), values.get((track, "failed"), 0.0)
            ),
            up=values.get((track, "up"), 0.0),
            series=values.get((track, "series"), 0.0),
        )
        for track in queries.TRACKS
    )
    return Measured(
        stable, canary, windows.get((queries.CANARY, _HOLD)), windows.get((queries.STABLE, _HOLD))
    )


def _parts_of(name: str, seconds: int, bound_s: float) -> dict[str, str]:
    return {
        f"{name} requests": queries.requests(seconds),
        f"{name} errors": queries.errors(seconds),
        f"{name} within": queries.requests_within(bound_s, seconds),
        f"{name} p95": queries.p95(seconds),
        f"{name} answers": queries.answers(seconds),
        f"{name} refused": queries.refusals(seconds),
    }


def _window(values: _Values, track: str, name: str, seconds: int, bound_s: float) -> Window:
    return Window(
        seconds,
        values.get((track, f"{name} requests"), 0.0),
        values.get((track, f"{name} errors"), 0.0),
        bound_s,
        values.get((track, f"{name} within"), 0.0),
        values.get((track, f"{name} p95")),
        values.get((track, f"{name} answers"), 0.0),
        values.get((track, f"{name} refused"), 0.0),
    )

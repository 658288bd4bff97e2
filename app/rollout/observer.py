"""Asks Prometheus for the numbers of both tracks."""

import asyncio
import math
from collections.abc import Awaitable
from typing import Final

from app.monitoring import queries
from app.monitoring.prometheus import Prometheus
from app.rollout.measured import Connections, Measured, Track, Window
from app.rollout.plan import Plan, Step

_ANY_BOUND_S: Final = 0.1
"""Asked for where a step has no bound; nobody judges by it."""


async def measure(prometheus: Prometheus, plan: Plan, step: Step, *, over_hold: bool) -> Measured:
    """The numbers of now. Raises PrometheusUnavailable."""
    window_s, recent_s = math.ceil(plan.window_s), math.ceil(plan.trigger_window_s)
    bound_s = step.p95_s or _ANY_BOUND_S
    window, recent, hold = await asyncio.gather(
        _windows(prometheus, window_s, bound_s),
        _windows(prometheus, recent_s, plan.triggers.p95.limit),
        _windows(prometheus, math.ceil(step.hold_s), bound_s) if over_hold else _nothing(),
    )
    asked, failed, up, series = await asyncio.gather(
        _by_track(prometheus, queries.connections_asked(recent_s)),
        _by_track(prometheus, queries.connections_failed(recent_s)),
        _by_track(prometheus, queries.targets_up()),
        _by_track(prometheus, queries.series_known()),
    )
    tracks = {
        track: Track(
            window=window[track],
            recent=recent[track],
            connections=Connections(recent_s, asked.get(track, 0.0), failed.get(track, 0.0)),
            up=up.get(track, 0.0),
            series=series.get(track, 0.0),
        )
        for track in queries.TRACKS
    }
    return Measured(
        tracks[queries.STABLE], tracks[queries.CANARY], hold.get(queries.CANARY), hold.get(queries.STABLE)
    )


async def _windows(prometheus: Prometheus, window_s: int, bound_s: float) -> dict[str, Window]:
    asked: tuple[Awaitable[dict[str, float]], ...] = tuple(
        _by_track(prometheus, query)
        for query in (
            queries.requests(window_s),
            queries.errors(window_s),
            queries.requests_within(bound_s, window_s),
            queries.p95(window_s),
        )
    )
    requests, errors, within, p95 = await asyncio.gather(*asked)
    return {
        track: Window(
            window_s,
            requests.get(track, 0.0),
            errors.get(track, 0.0),
            bound_s,
            within.get(track, 0.0),
            p95.get(track),
        )
        for track in queries.TRACKS
    }


async def _nothing() -> dict[str, Window]:
    return {}


async def _by_track(prometheus: Prometheus, query: str) -> dict[str, float]:
    """The value of each track that has one."""
    samples = await prometheus.query(query)
    return {
        sample.labels["track"]: sample.value
        for sample in samples
        if "track" in sample.labels and math.isfinite(sample.value)
    }

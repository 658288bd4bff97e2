"""How it was before and after a rollback: metrics with charts, and the errors that were logged meanwhile."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

from app.masking import masked
from app.monitoring import queries
from app.monitoring.prometheus import Prometheus, PrometheusUnavailable, Series
from app.release.folder import pretty
from app.release.pieces import Missing, NotDue, Piece, State, text_of
from app.report_page import Span, chart, heading, html_page, paragraph, table
from app.times import utc_text_of

NAME: Final = "rollback"
REPORT: Final = "rollback"
ERRORS_FILE: Final = "rollback_errors.jsonl"
STEPS: Final = 120
SHORTEST_WINDOW_S: Final = 60
"""Of rates: Prometheus needs to have looked several times."""
LEVELS: Final = ("warning", "error", "critical")
_SERVER_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class Period:
    """In seconds since 1970."""

    decided: float
    confirmed: float
    """When the canary had no users any more."""
    start: float
    end: float

    @property
    def step_s(self) -> float:
        return max(1.0, (self.end - self.start) / STEPS)


def rollback_of(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Raises NotDue where nothing was rolled back."""
    rollback = summary.get("rollback")
    if not isinstance(rollback, dict):
        raise NotDue("nothing was rolled back")
    return rollback


def period_of(rollback: Mapping[str, Any], around_s: float, now: float) -> Period:
    """From `around_s` seconds before the decision to as long after it. Raises Missing."""
    try:
        decided = datetime.fromisoformat(rollback["decided_at"]).timestamp()
        confirmed_at = rollback.get("confirmed_at")
        confirmed = datetime.fromisoformat(confirmed_at).timestamp() if confirmed_at else decided
    except (KeyError, TypeError, ValueError) as error:
        raise Missing("--rollout: its summary does not say when the rollback was decided") from error
    return Period(decided, confirmed, decided - around_s, min(now, decided + around_s))


async def rollback_piece(
    summary: Mapping[str, Any], release: str, period: Period, prometheus: str | None, logs: Sequence[Path]
) -> Piece:
    """Raises Missing where there are no metrics; without logs it counts as missing, and has the metrics."""
    rollback = rollback_of(summary)
    if prometheus is None:
        raise Missing("metrics of the rollback are needed; name Prometheus with --prometheus URL")
    window_s = max(SHORTEST_WINDOW_S, round(4 * period.step_s))
    try:
        async with aiohttp.ClientSession() as session:
            client = Prometheus(session, prometheus)
            metrics = await _read_metrics(client, period, window_s)
    except PrometheusUnavailable as error:
        raise Missing(f"--prometheus: {error}") from error
    if not any(metrics["lines"].values()):
        raise Missing(
            f"{client.address} has no metrics from {utc_text_of(period.start)} to {utc_text_of(period.end)}"
        )
    document = {
        "release": text_of(dict(summary), "release"),
        "from": utc_text_of(period.start),
        "to": utc_text_of(period.end),
        "window_s": window_s,
        "rollback": rollback,
        **metrics,
        "logs": None,
    }
    files: dict[str, bytes] = {}
    lacks = "no logs were named; name those of the API with --log"
    if logs:
        lines, counts = select_errors(logs, period)
        document["logs"] = counts
        files[ERRORS_FILE] = b"".join(line + b"\n" for line in lines)
    of = text_of(dict(summary), "release")
    stale = None if of == release else f"it is of release {of or 'unknown'}, not of {release}"
    restored = rollback.get("restored")
    return Piece(
        NAME,
        "rollout",
        State.MISSING if not logs else State.CURRENT if stale is None else State.STALE,
        stale if logs else lacks,
        "passed" if restored else "failed",
        f"{text_of(rollback, 'cause') or 'of unknown cause'}; "
        + (f"as before after {rollback.get('restored_after_s')} s" if restored else "not as before since"),
        made_at=text_of(rollback, "decided_at"),
        files={
            f"{REPORT}.json": pretty(document),
            f"{REPORT}.html": _page(document, period).encode(),
            **files,
        },
    )


def select_errors(logs: Sequence[Path], period: Period) -> tuple[list[bytes], dict[str, int]]:
    """Lines of the period that warn, or tell of answers with 5xx, by time; and how many were looked at.

    Secrets are masked anew: a log may be of a version, or of a program, that has not.
    """
    found: list[tuple[float, bytes]] = []
    counts = {"lines": 0, "of_the_period": 0, "errors": 0, "not_json": 0}
    for log in logs:
        try:
            lines = log.read_bytes().splitlines()
        except OSError as error:
            raise Missing(f"--log: {log} cannot be read ({error.strerror})") from error
        for line in lines:
            counts["lines"] += 1
            try:
                entry = orjson.loads(line)
                at = datetime.fromisoformat(entry["timestamp"]).timestamp()
            except (ValueError, TypeError, KeyError):
                counts["not_json"] += 1
                continue
            if not period.start <= at <= period.end:
                continue
            counts["of_the_period"] += 1
            status = entry.get("status")
            if entry.get("level") in LEVELS or (isinstance(status, int) and status >= _SERVER_ERROR):
                found.append((at, masked(line)))
    counts["errors"] = len(found)
    return [line for _, line in sorted(found, key=lambda one: one[0])], counts


async def _read_metrics(prometheus: Prometheus, period: Period, window_s: int) -> dict[str, Any]:
    asked = {
        "requests_per_s": queries.requests(window_s),
        "errors_per_s": queries.errors(window_s),
        "p95_ms": queries.p95(window_s),
    }
    factors = {"requests_per_s": 1 / window_s, "errors_per_s": 1 / window_s, "p95_ms": 1000.0}
    lines: dict[str, dict[str, list[float | None]]] = {}
    for name, query in asked.items():
        found = await prometheus.query_range(query, period.start, period.end, period.step_s)
        lines[name] = {one.labels.get("track", "?"): _line(one, period, factors[name]) for one in found}
    for track, line in lines["requests_per_s"].items():  # none failed where no series of failures is
        failed = lines["errors_per_s"].get(track, [None] * len(line))
        lines["errors_per_s"][track] = [
            None if asked is None else some or 0.0 for asked, some in zip(line, failed, strict=True)
        ]
    split = round((period.decided - period.start) / period.step_s)
    after = round((period.confirmed - period.start) / period.step_s)
    return {
        "step_s": round(period.step_s, 3),
        "before": _means(lines, 0, split),
        "after": _means(lines, after, None),
        "lines": lines,
    }


def _line(series: Series, period: Period, factor: float) -> list[float | None]:
    values: list[float | None] = [None] * (math.floor((period.end - period.start) / period.step_s + 1e-6) + 1)
    for at, value in series.points:
        number = round((at - period.start) / period.step_s)
        if 0 <= number < len(values) and math.isfinite(value):
            values[number] = round(value * factor, 4)
    return values


def _means(
    lines: Mapping[str, Mapping[str, Sequence[float | None]]], start: int, end: int | None
) -> dict[str, dict[str, float | None]]:
    """By track and figure; None where there is no value."""
    means: dict[str, dict[str, float | None]] = {}
    for name, tracks in lines.items():
        for track, line in tracks.items():
            values = [value for value in line[start:end] if value is not None]
            means.setdefault(track, {})[name] = round(sum(values) / len(values), 4) if values else None
    return means


def _page(document: Mapping[str, Any], period: Period) -> str:
    rollback = document["rollback"]
    span = Span(
        "from the decision until the canary had no users",
        (period.decided - period.start) / period.step_s,
        (period.confirmed - period.start) / period.step_s,
    )
    ends = document["from"], document["to"]
    tracks = sorted({*document["before"], *document["after"]})
    names = list(document["lines"])
    rows = [
        (track, *(document[when].get(track, {}).get(name) for name in names for when in ("before", "after")))
        for track in tracks
    ]
    columns = ("track", *(f"{name}, {when}" for name in names for when in ("before", "after")))
    return html_page(
        f"Rollback of {document['release']}",
        [
            paragraph(f"{rollback.get('cause')}: {rollback.get('text')}"),
            paragraph(
                f"Decided at {rollback.get('decided_at')}, in force at {rollback.get('confirmed_at')}; "
                f"as before after {rollback.get('restored_after_s')} s."
            ),
            table(columns, rows),
            *(chart(name, document["lines"][name], ends, (span,)) for name in names),
            heading("Logs"),
            table(("lines", "times"), list((document["logs"] or {}).items())),
        ],
    )

"""The HTML report of a load test, made of its evidence alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.report_page import Span, chart, heading, html_page, paragraph, table


def html_report(evidence: Mapping[str, Any]) -> str:
    sides = evidence["sides"]
    timeline, disturbances = evidence["timeline"], evidence["disturbances"]
    parts = [
        paragraph(_summary(evidence)),
        heading("Thresholds"),
        table(
            ("threshold", "limit", "measured", "verdict"),
            [(one["name"], one["limit"], one["measured"], one["verdict"]) for one in evidence["thresholds"]],
        ),
        heading("Latency from the moment a request was due, in milliseconds"),
        table(
            ("side", "requests", "per second", "failed", "P50", "P95", "P99", "slowest"),
            [
                (name, side["requests"], side["rate_per_s"], side["failed"], *side["latency_ms"].values())
                for name, side in sides.items()
            ],
        ),
        _chart("P95 over time, in milliseconds", timeline["p95_ms"], timeline["step_s"], disturbances),
        _chart("Requests per second", timeline["requests_per_s"], timeline["step_s"], ()),
        _chart("Resident memory, in megabytes", timeline["rss_mb"], timeline["step_s"], disturbances),
        heading("By request"),
        table(
            ("side", "request", "requests", "P50", "P95", "P99", "slowest"),
            [
                (name, request, figures["requests"], *figures["latency_ms"].values())
                for name, side in sides.items()
                for request, figures in side["by_request"].items()
            ],
        ),
        heading("Errors"),
        table(
            ("side", "error", "times"),
            [(name, error, times) for name, side in sides.items() for error, times in side["errors"].items()],
        ),
        heading("Refreshes and rebuilds"),
        table(
            ("kind", "at second", "seconds", "P95", "quiet P95", "ratio"),
            [tuple(one.values()) for one in disturbances],
        ),
        paragraph(evidence["coordinated_omission"]),
    ]
    return html_page(f"Load test {evidence['shape']}: {evidence['verdict']}", parts)


def _summary(evidence: Mapping[str, Any]) -> str:
    machine, users, service = evidence["machine"], evidence["users"], evidence["service"]
    return (
        f"{evidence['started_at']}, commit {evidence['commit'] or 'unknown'}, {service['url']} with "
        f"{service['instruments']:,} instruments; {users['count']} users, one request in every "
        f"{users['pacing_s']:g} s each, for {evidence['seconds']:g} s; {machine['cores']} cores, "
        f"{machine['system']}, Python {machine['python']}."
    )


def _chart(
    title: str,
    lines: Mapping[str, Sequence[float | None]],
    step_s: float,
    disturbances: Sequence[Mapping[str, Any]],
) -> str:
    """Over the seconds of the run; disturbances are shaded."""
    spans = [
        Span(one["kind"], one["from_s"] / step_s, (one["from_s"] + one["took_s"]) / step_s)
        for one in disturbances
    ]
    steps = max(map(len, lines.values()), default=0)
    return chart(title, lines, ("0 s", f"{steps * step_s:g} s"), spans)

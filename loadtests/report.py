"""The HTML report of a load test, made of its evidence alone: one file, charts as inline SVG."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any, Final

WIDTH: Final = 900
HEIGHT: Final = 220
MARGIN: Final = 50
COLOURS: Final = ("#0b6bcb", "#c7811a", "#2c8a4b", "#8a2be2", "#b3261e", "#555555")
STYLE: Final = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 60em; margin: 2em auto; color: #1d2126 }
table { border-collapse: collapse; margin: 0.6em 0 1.6em }
th, td { text-align: left; padding: 0.25em 1em 0.25em 0; border-bottom: 1px solid #dde1e6 }
td.number { text-align: right; font-variant-numeric: tabular-nums }
.passed { color: #1b6e37 } .missed { color: #b3261e; font-weight: 600 }
figure { margin: 0 0 1.6em } figcaption { font-weight: 600 } svg text { font-size: 12px; fill: #555 }
"""


def html_report(evidence: Mapping[str, Any]) -> str:
    title = f"Load test {evidence['shape']}: {evidence['verdict']}"
    sides = evidence["sides"]
    timeline = evidence["timeline"]
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(_summary(evidence))}</p>",
        "<h2>Thresholds</h2>",
        _table(
            ("threshold", "limit", "measured", "verdict"),
            [(one["name"], one["limit"], one["measured"], one["verdict"]) for one in evidence["thresholds"]],
        ),
        "<h2>Latency from the moment a request was due, in milliseconds</h2>",
        _table(
            ("side", "requests", "per second", "failed", "P50", "P95", "P99", "slowest"),
            [
                (name, side["requests"], side["rate_per_s"], side["failed"], *side["latency_ms"].values())
                for name, side in sides.items()
            ],
        ),
        _chart(
            "P95 over time, in milliseconds", timeline["p95_ms"], timeline["step_s"], evidence["disturbances"]
        ),
        _chart("Requests per second", timeline["requests_per_s"], timeline["step_s"], ()),
        _chart(
            "Resident memory, in megabytes", timeline["rss_mb"], timeline["step_s"], evidence["disturbances"]
        ),
        "<h2>By request</h2>",
        _table(
            ("side", "request", "requests", "P50", "P95", "P99", "slowest"),
            [
                (name, request, figures["requests"], *figures["latency_ms"].values())
                for name, side in sides.items()
                for request, figures in side["by_request"].items()
            ],
        ),
        "<h2>Errors</h2>",
        _table(
            ("side", "error", "times"),
            [(name, error, times) for name, side in sides.items() for error, times in side["errors"].items()],
        ),
        "<h2>Refreshes and rebuilds</h2>",
        _table(
            ("kind", "at second", "seconds", "P95", "quiet P95", "ratio"),
            [tuple(one.values()) for one in evidence["disturbances"]],
        ),
        f"<p>{escape(evidence['coordinated_omission'])}</p>",
    ]
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</html>\n"
    )


def _summary(evidence: Mapping[str, Any]) -> str:
    machine, users, service = evidence["machine"], evidence["users"], evidence["service"]
    return (
        f"{evidence['started_at']}, commit {evidence['commit'] or 'unknown'}, {service['url']} with "
        f"{service['instruments']:,} instruments; {users['count']} users, one request in every "
        f"{users['pacing_s']:g} s each, for {evidence['seconds']:g} s; {machine['cores']} cores, "
        f"{machine['system']}, Python {machine['python']}."
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return "<p>None.</p>"
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in rows)
    return f"<table>\n<tr>{head}</tr>\n{body}</table>"


def _cell(value: Any) -> str:
    if isinstance(value, int | float):
        return f'<td class="number">{value:,}</td>'
    text = escape("" if value is None else str(value))
    return f'<td class="{text}">{text}</td>' if value in ("passed", "missed") else f"<td>{text}</td>"


def _chart(
    title: str,
    lines: Mapping[str, Sequence[float | None]],
    step_s: float,
    disturbances: Sequence[Mapping[str, Any]],
) -> str:
    """Lines over the seconds of the run; they break where there is no value. Disturbances are shaded."""
    values = [value for line in lines.values() for value in line if value is not None]
    if not values:
        return ""
    top = max(values) * 1.05 or 1.0
    steps = max(map(len, lines.values()))
    across, up = (WIDTH - 2 * MARGIN) / max(steps - 1, 1), (HEIGHT - 2 * MARGIN) / top

    def place(step: float, value: float) -> str:
        return f"{MARGIN + step * across:.1f},{HEIGHT - MARGIN - value * up:.1f}"

    parts = []
    for one in disturbances:
        x, width = MARGIN + one["from_s"] / step_s * across, max(one["took_s"] / step_s * across, 2)
        parts.append(
            f'<rect x="{x:.1f}" y="{MARGIN}" width="{width:.1f}" height="{HEIGHT - 2 * MARGIN}" '
            f'fill="#e6e2f5"><title>{escape(one["kind"])}</title></rect>'
        )
    for share in (0.0, 0.5, 1.0):
        y = HEIGHT - MARGIN - share * top * up
        parts.append(f'<path d="M{MARGIN},{y:.1f}H{WIDTH - MARGIN}" stroke="#dde1e6"/>')
        parts.append(f'<text x="{MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{share * top:.3g}</text>')
    parts.append(f'<text x="{MARGIN}" y="{HEIGHT - MARGIN + 18}">0 s</text>')
    parts.append(
        f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - MARGIN + 18}" text-anchor="end">{steps * step_s:g} s</text>'
    )
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        for points in _unbroken(line):
            path = " ".join(place(step, value) for step, value in points)
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        x = MARGIN + number * (WIDTH - 2 * MARGIN) / len(lines)
        parts.append(f'<text x="{x:.1f}" y="{MARGIN - 12}" style="fill:{colour}">{escape(name[:60])}</text>')
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>\n"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="100%" role="img">{"".join(parts)}</svg></figure>'
    )


def _unbroken(line: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    runs = groupby(enumerate(line), key=lambda point: point[1] is not None)
    return [[(step, value) for step, value in run if value is not None] for is_there, run in runs if is_there]

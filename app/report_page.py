"""Reports as one HTML file: tables, and charts as inline SVG; nothing is fetched."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any, Final, NamedTuple

WIDTH: Final = 900
HEIGHT: Final = 220
MARGIN: Final = 50
COLOURS: Final = ("#0b6bcb", "#c7811a", "#2c8a4b", "#8a2be2", "#b3261e", "#555555")
GOOD: Final = ("passed", "current")
BAD: Final = ("missed", "failed", "missing", "stale")
STYLE: Final = f"""
body {{ font: 15px/1.45 system-ui, sans-serif; max-width: 60em; margin: 2em auto; color: #1d2126 }}
table {{ border-collapse: collapse; margin: 0.6em 0 1.6em }}
th, td {{ text-align: left; padding: 0.25em 1em 0.25em 0; border-bottom: 1px solid #dde1e6 }}
td.number {{ text-align: right; font-variant-numeric: tabular-nums }}
{", ".join(f".{word}" for word in GOOD)} {{ color: #1b6e37 }}
{", ".join(f".{word}" for word in BAD)} {{ color: #b3261e; font-weight: 600 }}
figure {{ margin: 0 0 1.6em }} figcaption {{ font-weight: 600 }} svg text {{ font-size: 12px; fill: #555 }}
"""


class Link(NamedTuple):
    """A cell that leads to another file of the same folder."""

    href: str


class Span(NamedTuple):
    """Something that lasted, to be shaded, from step to step."""

    name: str
    start: float
    end: float


def html_page(title: str, parts: Sequence[str]) -> str:
    """`parts` are HTML."""
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n<h1>{escape(title)}</h1>\n" + "\n".join(parts) + "\n</html>\n"
    )


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def heading(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return "<p>None.</p>"
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in rows)
    return f"<table>\n<tr>{head}</tr>\n{body}</table>"


def chart(
    title: str,
    lines: Mapping[str, Sequence[float | None]],
    ends: tuple[str, str],
    spans: Sequence[Span] = (),
) -> str:
    """Lines over steps of equal length, broken where there is no value; `ends` name the first and last."""
    values = [value for line in lines.values() for value in line if value is not None]
    if not values:
        return ""
    top = max(values) * 1.05 or 1.0
    steps = max(map(len, lines.values()))
    across, up = (WIDTH - 2 * MARGIN) / max(steps - 1, 1), (HEIGHT - 2 * MARGIN) / top

    def place(step: float, value: float) -> str:
        return f"{MARGIN + step * across:.1f},{HEIGHT - MARGIN - value * up:.1f}"

    parts = []
    for one in spans:
        x, width = MARGIN + one.start * across, max((one.end - one.start) * across, 2)
        parts.append(
            f'<rect x="{x:.1f}" y="{MARGIN}" width="{width:.1f}" height="{HEIGHT - 2 * MARGIN}" '
            f'fill="#e6e2f5"><title>{escape(one.name)}</title></rect>'
        )
    for share in (0.0, 0.5, 1.0):
        y = HEIGHT - MARGIN - share * top * up
        parts.append(f'<path d="M{MARGIN},{y:.1f}H{WIDTH - MARGIN}" stroke="#dde1e6"/>')
        parts.append(f'<text x="{MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{share * top:.3g}</text>')
    first, last = map(escape, ends)
    parts.append(f'<text x="{MARGIN}" y="{HEIGHT - MARGIN + 18}">{first}</text>')
    parts.append(f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - MARGIN + 18}" text-anchor="end">{last}</text>')
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


def _cell(value: Any) -> str:
    if isinstance(value, Link):
        name = escape(value.href)
        return f'<td><a href="{name}">{name}</a></td>'
    if isinstance(value, int | float):
        return f'<td class="number">{value:,}</td>'
    text = escape("" if value is None else str(value))
    return f'<td class="{text}">{text}</td>' if value in GOOD + BAD else f"<td>{text}</td>"


def _unbroken(line: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    runs = groupby(enumerate(line), key=lambda point: point[1] is not None)
    return [[(step, value) for step, value in run if value is not None] for is_there, run in runs if is_there]

"""Sequence diagrams without a browser's help: the few words of Mermaid that our pages use, drawn as SVG.

Mermaid itself is three megabytes of script from somebody else's server. GitHub draws the same text by itself.
The drawing takes its colour from the text around it, so it is right on light and on dark pages.
"""

import re
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

from pymdownx.superfences import SuperFencesException

_LINE: Final = re.compile(
    r"participant (?P<name>\w+) as (?P<label>.+)"
    r"|(?P<source>\w+)(?P<arrow>-?->>)(?P<target>\w+): (?P<text>.+)"
    r"|Note over (?P<over>\w+): (?P<note>.+)"
)
_COLUMN: Final = 185
_ROW: Final = 34
_HEAD: Final = 46
_LETTER: Final = 6.3
"""Width of a letter of the text, on average."""


@dataclass(slots=True)
class _Drawing:
    columns: dict[str, float] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    y: float = _HEAD


def svg(source: str) -> str:
    """The diagram as one SVG element. Raises ValueError with the line that is not understood."""
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    if not lines or lines[0] != "sequenceDiagram":
        raise ValueError("only sequenceDiagram is drawn")
    drawing = _Drawing()
    for line in lines[1:]:
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"not understood in a sequence diagram: {line}")
        _draw(drawing, match)
    height = drawing.y + _ROW / 2
    heads = [
        _box(x, 16, label, 0.12)
        + f'<line x1="{x}" y1="32" x2="{x}" y2="{height}" stroke-dasharray="2 4" opacity="0.5"/>'
        for x, label in zip(drawing.columns.values(), drawing.labels, strict=True)
    ]
    width = _COLUMN * len(drawing.columns)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(_spoken(lines[1:]))}" font-size="12" text-anchor="middle" '
        'fill="currentColor" stroke="currentColor" style="max-width:100%;height:auto">'
        f"{''.join(heads)}{''.join(drawing.parts)}</svg>"
    )


def fence(source: str, *_: Any, **__: Any) -> str:
    """A fenced block, as pymdownx.superfences asks for it; what cannot be drawn ends the build."""
    try:
        return f'<div class="diagram">{svg(source)}</div>'
    except ValueError as error:
        raise SuperFencesException(str(error)) from error


def _draw(drawing: _Drawing, match: re.Match[str]) -> None:
    if name := match["name"]:
        drawing.columns[name] = _COLUMN * (len(drawing.columns) + 0.5)
        drawing.labels.append(match["label"])
        return
    drawing.y += _ROW
    y = drawing.y
    if over := match["over"]:
        drawing.parts.append(_box(_place(drawing, over), y - 6, match["note"], 0.06))
        return
    start, end = _place(drawing, match["source"]), _place(drawing, match["target"])
    dashes = ' stroke-dasharray="5 4"' if match["arrow"].startswith("--") else ""
    if start == end:
        loop = f"M{start} {y - 12}h26v12h-20"
        drawing.parts.append(f'<path d="{loop}" fill="none"{dashes}/>{_point(start + 4, y, -1)}')
        drawing.parts.append(_text(start + 32, y - 2, match["text"], "start"))
        return
    direction = 1 if end > start else -1
    tip = end - 3 * direction
    drawing.parts.append(f'<line x1="{start}" y1="{y}" x2="{tip}" y2="{y}"{dashes}/>')
    drawing.parts.append(_point(tip, y, direction) + _text((start + end) / 2, y - 6, match["text"]))


def _place(drawing: _Drawing, name: str) -> float:
    if name not in drawing.columns:
        raise ValueError(f"no participant is named {name}")
    return drawing.columns[name]


def _box(x: float, y: float, text: str, shade: float) -> str:
    width = max(90.0, len(text) * _LETTER + 16)
    place = f'x="{x - width / 2:g}" y="{y - 14:g}" width="{width:g}" height="28"'
    return f'<rect {place} rx="4" fill-opacity="{shade}"/>{_text(x, y + 4, text)}'


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" stroke="none">{escape(text)}</text>'


def _point(x: float, y: float, direction: int) -> str:
    return f'<path d="M{x} {y}l{-8 * direction} -4v8z" stroke="none"/>'


def _spoken(lines: list[str]) -> str:
    """The messages, for those who do not see them."""
    return "; ".join(line for line in lines if not line.startswith("participant"))

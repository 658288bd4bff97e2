"""Figures with their verdicts: kept as JSON, compared with the last ones, and shown as a table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from loadtests.bench.targets import TARGETS, Target

BEGIN: Final = "<!-- bench: begin -->"
END: Final = "<!-- bench: end -->"
WORSE: Final = 0.1
"""By more than this share a figure has to be worse than the last to be called so: machines are noisy."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured, and what it is compared with: None where the target is of itself."""

    measured: float
    compared: float | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def value(self) -> float:
        return self.measured if self.compared is None else self.measured / self.compared


def row_of_figure(name: str, figure: Figure, made: Mapping[str, str]) -> Row:
    """What is kept of a figure; `made` says of which commit, where and when it is."""
    target = TARGETS[name]
    value = float(f"{figure.value:.3g}")
    return {
        "work": target.work,
        "against": target.against,
        "unit": target.unit,
        "measured": float(f"{figure.measured:.4g}"),
        "compared": None if figure.compared is None else float(f"{figure.compared:.4g}"),
        "value": value,
        "limit": target.limit,
        "at_most": target.at_most,
        "holds": target.holds(value),
        **made,
        "detail": dict(figure.detail),
    }


def changes(before: Mapping[str, Row], now: Mapping[str, Row]) -> list[str]:
    """A line for each figure of `now`: what it was, what it is, the change, and whether that is worse."""
    return [_change(name, before.get(name), row) for name, row in now.items()]


def _change(name: str, before: Row | None, now: Row) -> str:
    is_ratio = now["compared"] is not None
    shown = number(now["value"]) if is_ratio else f"{number(now['value'])} {now['unit']}"
    verdict = "holds" if now["holds"] else f"missed: {_limit(TARGETS[name])}"
    if "ratio_of_cpu_time" in now["detail"]:
        verdict += f", {number(now['detail']['ratio_of_cpu_time'])} by CPU time"
    if before is None:
        return f"{name:18} {'new':>10} {shown:>10} {'':8} {verdict}"
    change = now["value"] / before["value"] - 1
    worsened = change if now["at_most"] else -change
    note = ", worse than before" if worsened > WORSE else ""
    return f"{name:18} {number(before['value']):>10} {shown:>10} {change:+8.0%} {verdict}{note}"


def table(rows: Mapping[str, Row]) -> str:
    """Markdown, in the order of the targets."""
    lines = ["| work | measured | against | ratio | target | holds |", "|---|---|---|---|---|---|"]
    for name, target in TARGETS.items():
        if (row := rows.get(name)) is not None:
            lines.append(f"| {' | '.join(_cells(row, target))} |")
    commits = sorted({row["commit"] for row in rows.values()})
    machines = sorted({row["machine"] for row in rows.values()})
    dates = sorted({row["date"] for row in rows.values()})
    lines += ["", f"Commit {', '.join(commits)}; {'; '.join(machines)}; {' and '.join(dates)}."]
    return "\n".join(lines)


def _cells(row: Row, target: Target) -> Iterable[str]:
    has_ratio = row["compared"] is not None
    yield row["work"]
    yield _quantity(row["measured"], row["unit"])
    yield f"{row['against']}: {_quantity(row['compared'], row['unit'])}" if has_ratio else ""
    yield number(row["value"]) if has_ratio else ""
    yield _limit(target)
    yield "yes" if row["holds"] else "**no**"


def _limit(target: Target) -> str:
    return f"at {'most' if target.at_most else 'least'} {number(target.limit)}" + (
        "" if target.against else f" {target.unit}"
    )


def _quantity(value: float, unit: str) -> str:
    return f"{number(value)}{'' if unit.startswith('/') else ' '}{unit}"


def number(value: float) -> str:
    """With three digits at least, and thousands apart."""
    return f"{value:,.0f}".replace(",", " ") if value >= 1000 else f"{value:.3g}"


def replace_tables(document: str, shown: str) -> str:
    """The document with these tables between its two markers. Raises ValueError where it has none."""
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there is no place for tables: add the lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{shown}\n{END}{tail}"

"""Load tests of a release beside those of the baseline, row by row."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from app.release.folder import pretty
from app.release.pieces import Found, Missing, read_document, text_of
from app.report_page import heading, html_page, paragraph, table

BASELINE_FILE: Final = "production_load_test_results.json"
CURRENT_FILE: Final = "production_load_test_results_optimized.json"
COMPARISON: Final = "load_test_comparison"
SHAPES: Final = ("burst", "sustained")
ALL: Final = "all requests"
FIGURES: Final = ("p50_ms", "p95_ms", "p99_ms", "rate_per_s", "errors")
_SAME: Final = (
    ("machine", "cores"),
    ("machine", "architecture"),
    ("machine", "python"),
    ("service", "instruments"),
    ("service", "processes"),
)
"""What must be alike for figures to be compared."""


def gather_baseline(files: Sequence[Path]) -> Found:
    """Of the version before, or of the one that was first: of whichever commit. Raises Missing."""
    runs = _runs(files, "--load-baseline")
    return Found(
        {BASELINE_FILE: _document(runs)},
        _commit(runs),
        _made_at(runs),
        finding=_rows_in_words(runs),
        lacks=_lacks(runs),
    )


def gather_current(files: Sequence[Path], baseline: Sequence[Path]) -> Found:
    """With the comparison, if there is a baseline. Raises Missing."""
    runs = _runs(files, "--load-results")
    content = {CURRENT_FILE: _document(runs)}
    try:
        comparison = compare(_runs(baseline, "--load-baseline"), runs)
    except Missing:
        finding = f"{_rows_in_words(runs)}; there is nothing to compare with"
    else:
        content[f"{COMPARISON}.json"] = pretty(comparison)
        content[f"{COMPARISON}.html"] = _page(comparison).encode()
        finding = f"{_rows_in_words(runs)}; P95 {_p95_in_words(comparison)}"
    missed = any(run["verdict"] != "passed" for run in runs)
    return Found(
        content, _commit(runs), _made_at(runs), "failed" if missed else "passed", finding, _lacks(runs)
    )


def compare(baseline: Sequence[Mapping[str, Any]], current: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Every row of either: its figures in both, and current to baseline; None where one has no such row."""
    before, now = _rows(baseline), _rows(current)
    rows = []
    for key in sorted({*before, *now}, key=lambda key: (key[0], key[1], key[2] != ALL, key[2])):
        old, new = before.get(key), now.get(key)
        shape, factor, request = key
        rows.append(
            {
                "shape": shape,
                "factor": factor,
                "request": request,
                "baseline": old,
                "current": new,
                "ratio": {
                    name: round(new[name] / old[name], 3) if old and new and old[name] else None
                    for name in FIGURES
                    if name != "errors"
                },
            }
        )
    return {
        "baseline": {"commit": _commit(baseline), "started_at": _made_at(baseline)},
        "current": {"commit": _commit(current), "started_at": _made_at(current)},
        "only_in_baseline": [list(key) for key in sorted(before.keys() - now.keys())],
        "only_in_current": [list(key) for key in sorted(now.keys() - before.keys())],
        "differences": _differences(baseline, current),
        "rows": rows,
    }


def _runs(files: Sequence[Path], option: str) -> list[dict[str, Any]]:
    if not files:
        raise Missing(f"none was named; name what loadtest burst and sustained have written with {option}")
    runs: list[dict[str, Any]] = []
    for file in files:
        document = read_document(file, option)
        runs += document["runs"] if isinstance(document.get("runs"), list) else [document]
    try:
        _rows(runs)
    except (KeyError, TypeError, AttributeError) as error:
        raise Missing(f"{option}: {files[0]}, or one after it, is not what loadtest writes") from error
    kinds = [(run["shape"], run["factor"]) for run in runs]
    if len(set(kinds)) < len(kinds):
        raise Missing(f"{option}: two runs are of the same shape and factor; name one of them")
    return sorted(runs, key=lambda run: (run["shape"], run["factor"]))


def _rows(runs: Sequence[Mapping[str, Any]]) -> dict[tuple[str, float, str], dict[str, float]]:
    rows = {}
    for run in runs:
        side, seconds = run["sides"]["service"], run["seconds"]
        key = run["shape"], run["factor"]
        rows[*key, ALL] = _figures(side["latency_ms"], side["rate_per_s"], side["failed"])
        for name, one in side["by_request"].items():
            errors = sum(count for error, count in side["errors"].items() if error.startswith(f"{name}: "))
            rows[*key, name] = _figures(one["latency_ms"], round(one["requests"] / seconds, 2), errors)
    return rows


def _figures(latency: Mapping[str, float], rate: float, errors: int) -> dict[str, float]:
    return {
        "p50_ms": latency["p50"],
        "p95_ms": latency["p95"],
        "p99_ms": latency["p99"],
        "rate_per_s": rate,
        "errors": errors,
    }


def _differences(
    baseline: Sequence[Mapping[str, Any]], current: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    found = []
    for part, name in _SAME:
        old, new = ({str((run.get(part) or {}).get(name)) for run in runs} for runs in (baseline, current))
        if old != new:
            found.append({"of": f"{part}.{name}", "baseline": sorted(old), "current": sorted(new)})
    return found


def _document(runs: Sequence[Mapping[str, Any]]) -> bytes:
    return pretty({"commit": _commit(runs), "started_at": _made_at(runs), "runs": list(runs)})


def _commit(runs: Sequence[Mapping[str, Any]]) -> str | None:
    """None where it is unknown, or not the same of all."""
    commits = {run.get("commit") for run in runs}
    return commits.pop() if len(commits) == 1 else None


def _made_at(runs: Sequence[Mapping[str, Any]]) -> str | None:
    return min(filter(None, (text_of(dict(run), "started_at") for run in runs)), default=None)


def _lacks(runs: Sequence[Mapping[str, Any]]) -> str | None:
    lacks = [shape for shape in SHAPES if shape not in {run["shape"] for run in runs}]
    return f"there is no run of {' and '.join(lacks)}" if lacks else None


def _rows_in_words(runs: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{run['shape']} ×{run['factor']:g} {run['verdict']}" for run in runs)


def _p95_in_words(comparison: Mapping[str, Any]) -> str:
    words = [
        f"of {row['shape']} ×{row['factor']:g} {row['baseline']['p95_ms']} ms, "
        f"then {row['current']['p95_ms']} ms"
        for row in comparison["rows"]
        if row["request"] == ALL and row["baseline"] and row["current"]
    ]
    return "; ".join(words) or "nowhere comparable"


def _page(comparison: Mapping[str, Any]) -> str:
    names = ("P50", "P95", "P99", "per second", "errors")
    columns = ("shape", "request", *(f"{name}, {side}" for name in names for side in ("baseline", "current")))
    rows = []
    for row in comparison["rows"]:
        old, new = row["baseline"] or {}, row["current"] or {}
        cells = [side.get(name, "none") for name in FIGURES for side in (old, new)]
        rows.append((f"{row['shape']} ×{row['factor']:g}", row["request"], *cells, row["ratio"]["p95_ms"]))
    sides = "; ".join(
        f"{side}: commit {comparison[side]['commit'] or 'unknown'}, {comparison[side]['started_at']}"
        for side in ("baseline", "current")
    )
    return html_page(
        "Load tests: baseline and current",
        [
            paragraph(sides),
            table((*columns, "P95, ratio"), rows),
            heading("What is not alike"),
            table(
                ("of", "baseline", "current"),
                [
                    (one["of"], *map(", ".join, (one["baseline"], one["current"])))
                    for one in comparison["differences"]
                ],
            ),
        ],
    )

"""What the last load tests have shown, from the evidence that they wrote."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from loadtests.bench.api import VoidRun
from loadtests.bench.report import Figure

EVIDENCE: Final = "load_test_*.json"
RUNS: Final = {
    "burst": ("burst", 1, "p95_above_bare_ms"),
    "burst10": ("burst", 10, "p95_above_bare_ms"),
    "sustained": ("sustained", 1, "p95_above_bare_ms"),
    "disturbed": ("sustained", 1, "disturbed_p95_ratio"),
    "memory": ("sustained", 1, "rss_growth_ratio"),
}
"""Shape, factor and threshold, by the figure that is made of them."""
VALID: Final = ("failed", "rate_ratio")
"""Thresholds without which the others say nothing."""


def read_load_tests(folder: Path) -> dict[str, Figure]:
    """What they measured. Raises VoidRun where there is none, where one failed, or lacks a figure."""
    newest = _newest(json.loads(file.read_text(encoding="utf-8")) for file in folder.glob(EVIDENCE))
    figures = {
        f"locust.{name}": _figure(name, newest[shape, factor], threshold)
        for name, (shape, factor, threshold) in RUNS.items()
        if (shape, factor) in newest
    }
    if not figures:
        raise VoidRun(
            f"no {EVIDENCE} in {folder}: run the load tests first, or name their folder with --evidence"
        )
    return figures


def _newest(evidence: Iterable[dict[str, Any]]) -> dict[tuple[str, float], dict[str, Any]]:
    ordered = sorted(evidence, key=lambda one: str(one["started_at"]))
    return {(one["shape"], one["factor"]): one for one in ordered}


def _figure(name: str, evidence: dict[str, Any], threshold: str) -> Figure:
    thresholds = {one["name"]: one for one in evidence["thresholds"]}
    measured = thresholds.pop(threshold, {"measured": None})["measured"]
    if measured is None:
        raise VoidRun(f"{name}: {threshold} was not measured")
    if missed := [one for one in VALID if one in thresholds and thresholds[one]["verdict"] == "missed"]:
        raise VoidRun(f"{name} missed {', '.join(missed)}")
    return Figure(max(measured, 0.0), None, {name: one["measured"] for name, one in thresholds.items()})

"""What the last load tests have shown, from the evidence that they wrote."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from loadtests.bench.api import VoidRun
from loadtests.bench.report import Figure

EVIDENCE: Final = "load_test_*.json"
RUNS: Final = {"burst": ("burst", 1), "burst10": ("burst", 10), "sustained": ("sustained", 1)}
"""Shape and factor, by the figure that is made of it."""


def read_load_tests(folder: Path) -> dict[str, Figure]:
    """How much P95 lies above the bare handler's. Raises VoidRun where there is none, or one missed more."""
    newest = _newest(json.loads(file.read_text(encoding="utf-8")) for file in folder.glob(EVIDENCE))
    figures = {f"locust.{name}": _figure(name, newest[run]) for name, run in RUNS.items() if run in newest}
    if not figures:
        raise VoidRun(
            f"no {EVIDENCE} in {folder}: run the load tests first, or name their folder with --evidence"
        )
    return figures


def _newest(evidence: Iterable[dict[str, Any]]) -> dict[tuple[str, float], dict[str, Any]]:
    ordered = sorted(evidence, key=lambda one: str(one["started_at"]))
    return {(one["shape"], one["factor"]): one for one in ordered}


def _figure(name: str, evidence: dict[str, Any]) -> Figure:
    thresholds = {one["name"]: one for one in evidence["thresholds"]}
    measured = thresholds.pop("p95_above_bare_ms", {"measured": None})["measured"]
    if measured is None:
        raise VoidRun(f"{name} was not compared with the bare handler")
    if missed := [one["name"] for one in thresholds.values() if one["verdict"] == "missed"]:
        raise VoidRun(f"{name} missed {', '.join(missed)}")
    return Figure(max(measured, 0.0), None, {name: one["measured"] for name, one in thresholds.items()})

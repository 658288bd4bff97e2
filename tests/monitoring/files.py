"""What `deploy/prometheus` and `deploy/grafana` say, read for the tests."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
PROMETHEUS: Final = ROOT / "deploy/prometheus"
RULES: Final = sorted(PROMETHEUS.glob("rules/*.yml"))
RULE_TESTS: Final = sorted(PROMETHEUS.glob("tests/*.yml"))
DASHBOARD_SOURCE: Final = ROOT / "deploy/grafana/dashboard.yml"
DASHBOARD: Final = ROOT / "deploy/grafana/dashboards/registry.json"

_METRIC: Final = re.compile(r"\bregistry_\w+")
_RECORDED: Final = re.compile(r"\bregistry:[\w:]+")


@cache
def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def rules() -> Iterator[dict[str, Any]]:
    for file in RULES:
        for group in read_yaml(file)["groups"]:
            yield from group["rules"]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def recorded() -> set[str]:
    return {rule["record"] for rule in rules() if "record" in rule}


def panels() -> list[dict[str, Any]]:
    dashboard = json.loads(DASHBOARD.read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries() -> list[tuple[str, str]]:
    """The title of each panel with each of its queries."""
    return [(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]]


def metrics_of(expression: str) -> set[str]:
    """The project's metrics that an expression reads, as they are scraped."""
    return set(_METRIC.findall(expression))


def recorded_of(expression: str) -> set[str]:
    return set(_RECORDED.findall(expression))

"""Writes dashboards/registry.json, which Grafana reads, from dashboard.yml, which people read.

    python deploy/grafana/make_dashboard.py

With `--print` it is written to standard output instead.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).parent
TARGET: Final = FOLDER / "dashboards" / "registry.json"
WIDTH, HEIGHT, COLUMNS = 8, 8, 3
_SHORT: Final = re.compile(r"<([A-Z]+)>")


def dashboard(written: dict[str, Any]) -> dict[str, Any]:
    panels: list[dict[str, Any]] = []
    y = 0
    for row in written["rows"]:
        position = {"x": 0, "y": y, "w": WIDTH * COLUMNS, "h": 1}
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": row["title"],
                "collapsed": False,
                "panels": [],
                "gridPos": position,
            }
        )
        y += 1
        for place, panel in enumerate(row["panels"]):
            down, across = divmod(place, COLUMNS)
            position = {"x": across * WIDTH, "y": y + down * HEIGHT, "w": WIDTH, "h": HEIGHT}
            made = _time_series(panel, written["short"])
            panels.append({"id": len(panels) + 1, "gridPos": position, **made})
        y += -(-len(row["panels"]) // COLUMNS) * HEIGHT
    return {
        "uid": "instrument-registry",
        "title": "Instrument Registry",
        "tags": ["instrument-registry"],
        "timezone": "utc",
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "15s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_source(), _variable("track"), _variable("instance")]},
        "annotations": {"list": []},
        "panels": panels,
    }


def _time_series(panel: dict[str, Any], short: dict[str, str]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "type": "timeseries",
        "title": panel["title"],
        "description": panel.get("description", ""),
        "datasource": source,
        "fieldConfig": {"defaults": {"unit": panel["unit"], "min": 0}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": source,
                "expr": _SHORT.sub(lambda name: short[name[1]], line["expr"]),
                "legendFormat": line["legend"],
            }
            for place, line in enumerate(panel["lines"])
        ],
    }


def _source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _variable(label: str) -> dict[str, Any]:
    """A choice among the values of a label of the API, all of them at first."""
    return {
        "name": label,
        "label": label,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": {"query": f'label_values(up{{job="registry"}}, {label})', "refId": label},
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
    }


if __name__ == "__main__":
    text = json.dumps(dashboard(yaml.safe_load((FOLDER / "dashboard.yml").read_text())), indent=1) + "\n"
    if "--print" in sys.argv:
        sys.stdout.write(text)
    else:
        TARGET.write_text(text)

"""A Prometheus of a test's own, with the rules of `deploy/prometheus`, their time divided."""

import math
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from app.embedded.children import Child, start_child, start_on_free_port
from tests.monitoring.files import PROMETHEUS, read_yaml
from tests.monitoring.shortened import write_shortened_rules
from tests.packages import needed

SCRAPE_MS: Final = 500
_START_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Target:
    job: str
    url: str
    track: str | None = None


@dataclass(frozen=True, slots=True)
class Prometheus:
    child: Child
    url: str

    async def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and values; what is no number is left out."""
        result = (await self._get("query", query=expression))["result"]
        samples = [(sample["metric"], float(sample["value"][1])) for sample in result]
        return [(labels, value) for labels, value in samples if math.isfinite(value)]

    async def label_values(self, label: str) -> list[str]:
        values: list[str] = await self._get(f"label/{label}/values")
        return values

    async def firing(self, name: str) -> list[dict[str, Any]]:
        """The alerts of this name that fire now."""
        alerts = (await self._get("alerts"))["alerts"]
        return [
            alert for alert in alerts if alert["labels"]["alertname"] == name and alert["state"] == "firing"
        ]

    async def _get(self, path: str, **parameters: str) -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/api/v1/{path}", params=parameters) as response,
        ):
            answer = await response.json()
        assert answer["status"] == "success", answer
        return answer["data"]


def start_prometheus(folder: Path, targets: Sequence[Target], factor: int) -> Prometheus:
    """Scrapes the targets twice a second, with the labels that production gives them."""
    (folder / "rules").mkdir(parents=True)
    write_shortened_rules(folder / "rules", factor)
    production = read_yaml(PROMETHEUS / "prometheus.yml")
    interval = {"scrape_interval": f"{SCRAPE_MS}ms", "evaluation_interval": f"{SCRAPE_MS}ms"}
    jobs = [
        {"job_name": job["job_name"], "static_configs": _static(job["job_name"], targets)}
        for job in production["scrape_configs"]
    ]
    configuration = folder / "prometheus.yml"
    content = {
        "global": production["global"] | interval,
        "rule_files": ["rules/*.yml"],
        "scrape_configs": jobs,
    }
    configuration.write_text(yaml.safe_dump(content))
    program = needed("prometheus")

    def start(port: int) -> Child:
        command = [
            program,
            f"--config.file={configuration}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        return start_child("Prometheus", command, folder / "prometheus.log")

    child, port = start_on_free_port(start, _is_ready, _START_S)
    return Prometheus(child, f"http://127.0.0.1:{port}")


def _static(job: str, targets: Sequence[Target]) -> list[dict[str, Any]]:
    return [_static_target(target) for target in targets if target.job == job]


def _static_target(target: Target) -> dict[str, Any]:
    labels: Mapping[str, str] = {} if target.track is None else {"track": target.track}
    return {"targets": [target.url.removeprefix("http://")], "labels": dict(labels)}


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False

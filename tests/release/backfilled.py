"""Prometheus with a past: its own tool makes blocks of what the tests say was measured."""

import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.embedded.children import Child, start_child, start_on_free_port
from tests.packages import needed

INTERVAL_S: Final = 120
START_S: Final = 60.0
HOUR: Final = 3600
DAY: Final = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Past:
    """One series: its value `age` seconds ago, from `since` seconds ago on until now."""

    name: str
    labels: dict[str, str]
    value: Callable[[float], float]
    since: float
    every_s: int = INTERVAL_S

    def lines(self, now: int) -> Iterator[str]:
        labels = ",".join(f'{name}="{value}"' for name, value in self.labels.items())
        for age in range(int(self.since), -1, -self.every_s):
            yield f"{self.name}{{{labels}}} {self.value(age):.6f} {now - age}\n"


@contextmanager
def prometheus_with(folder: Path, pasts: list[Past]) -> Iterator[str]:
    """The URL of a Prometheus that knows `pasts`, and scrapes nothing."""
    data = folder / "data"
    if pasts:
        metrics = folder / "metrics.txt"
        now = int(time.time())
        with metrics.open("w") as file:
            for past in pasts:
                file.writelines(past.lines(now))
            file.write("# EOF\n")
        command = [needed("prometheus", "promtool"), "tsdb", "create-blocks-from"]
        made = subprocess.run(
            [*command, "--max-block-duration=168h", "openmetrics", metrics, data],
            capture_output=True,
            text=True,
        )
        assert made.returncode == 0, made.stderr
    configuration = folder / "prometheus.yml"
    configuration.write_text("scrape_configs: []\n")

    def start(port: int) -> Child:
        return start_child(
            "Prometheus",
            [
                needed("prometheus"),
                f"--config.file={configuration}",
                f"--storage.tsdb.path={data}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            folder / "prometheus.log",
        )

    child, port = start_on_free_port(start, _is_ready, START_S)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        child.stop()


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=1) as response:
            return bool(response.status == 200)
    except OSError:
        return False

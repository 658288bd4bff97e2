"""The tests of the alerts, run by Prometheus's own tool on the rules of the source."""

import shutil
import subprocess
from typing import Final

from app.release.folder import pretty
from app.release.pieces import Found, Missing
from app.release.source import Source
from app.times import utc_text

ALERTS_FILE: Final = "alert_test_results.json"
FOLDER: Final = "deploy/prometheus/tests"
_TIMEOUT_S: Final = 120.0


def gather_alert_tests(source: Source) -> Found:
    """Raises Missing."""
    tests = sorted((source.root / FOLDER).glob("*.yml"))
    if not tests:
        raise Missing(f"{source.root / FOLDER} holds no tests of alerts")
    program = shutil.which("promtool")
    if program is None:
        raise Missing("promtool is not installed; it comes with Prometheus (Debian's package prometheus)")
    made_at = utc_text()
    names = [test.name for test in tests]
    command = [program, "test", "rules", *names]
    try:
        run = subprocess.run(  # noqa: S603 - names of files of the source
            command, cwd=source.root / FOLDER, capture_output=True, text=True, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"promtool could not be run: {error}") from error
    passed = run.returncode == 0
    document = {
        "verdict": "passed" if passed else "failed",
        "commit": source.commit,
        "command": " ".join(["promtool", *command[1:]]),
        "status": run.returncode,
        "output": [line.rstrip() for line in (run.stdout + run.stderr).splitlines() if line.strip()],
    }
    return Found(
        {ALERTS_FILE: pretty(document)},
        source.commit,
        made_at,
        "passed" if passed else "failed",
        f"{len(tests)} files of tests, promtool ended with {run.returncode}",
    )

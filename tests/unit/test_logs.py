"""What stands in the log: one JSON object per line, whatever the fields hold, and no local variables."""

import subprocess
import sys

import orjson
import pytest

SCRIPT = """
import logging, structlog
from app.logs import configure_logs
configure_logs("info", "{form}")
log = structlog.get_logger("app.tests")
log.debug("unseen")
log.info("own", text="\\ud800 é", number=1)
logging.getLogger("library").warning("foreign %s", 3)
def fail():
    password = "hunter2"
    raise ValueError("broken")
try:
    fail()
except ValueError:
    log.exception("failed")
    logging.getLogger("library").exception("failed there")
"""


def lines(form: str) -> list[bytes]:
    command = [sys.executable, "-c", SCRIPT.replace("{form}", form)]
    return subprocess.run(command, check=True, capture_output=True).stderr.splitlines()


def test_every_line_is_one_object() -> None:
    own, foreign, failed, failed_there = map(orjson.loads, lines("json"))
    assert (own["event"], own["level"], own["logger"]) == ("own", "info", "app.tests")
    assert (foreign["event"], foreign["level"], foreign["logger"]) == ("foreign 3", "warning", "library")
    for failure in (failed, failed_there):
        assert failure["exception"][0]["exc_value"] == "broken"
        assert [frame["name"] for frame in failure["exception"][0]["frames"]] == ["<module>", "fail"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_local_variables_are_not_logged(form: str) -> None:
    output = b"\n".join(lines(form))
    assert b"broken" in output and b"hunter2" not in output

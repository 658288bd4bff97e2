"""What stands in the log: one JSON object per line, whatever the fields hold, and no local variables."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

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


LOOPS = """
import asyncio, sys, structlog
from app.logs import configure_logs
configure_logs("info", "json")
log = structlog.get_logger("app.tests")
async def turns(name):
    log.info(name, turn=1)
    log.info(name, turn=1)
    await asyncio.sleep(0)
    await asyncio.to_thread(log.info, name, turn=2)
    log.info(name, turn=3)
    sys.exit(3)
for name in ("first", "second"):
    try:
        asyncio.run(turns(name))
    except SystemExit:
        log.info(name, turn=4)
"""


def lines(form: str) -> list[bytes]:
    return lines_of(SCRIPT.replace("{form}", form))


def lines_of(script: str) -> list[bytes]:
    return subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stderr.splitlines()


def test_every_line_is_written_whichever_loop_or_thread_it_comes_from() -> None:
    written = [(line["event"], line["turn"]) for line in map(orjson.loads, lines_of(LOOPS))]
    assert written == [(name, turn) for name in ("first", "second") for turn in (1, 1, 2, 3, 4)]


def test_a_line_tells_when_it_was_written() -> None:
    (own, *_) = map(orjson.loads, lines("json"))
    assert own["timestamp"].endswith("Z")
    assert abs(datetime.fromisoformat(own["timestamp"]) - datetime.now(UTC)) < timedelta(minutes=1)


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


REQUESTS = """
import structlog
from app.logs import configure_logs, log_request
configure_logs("{level}", "{form}")
structlog.get_logger("app.tests").info("request", path="\\ud800 é", status=200, principal=None)
log_request("app.tests", {"path": "\\ud800 é", "status": 200, "principal": None})
"""


def request_lines(level: str, form: str) -> list[bytes]:
    return lines_of(REQUESTS.replace("{level}", level).replace("{form}", form))


def test_the_line_of_a_request_is_as_structlog_would_write_it() -> None:
    by_structlog, ours = [orjson.loads(line) for line in request_lines("info", "json")]
    assert by_structlog.pop("timestamp") <= ours.pop("timestamp")
    assert ours == by_structlog


def test_the_line_of_a_request_heeds_level_and_format() -> None:
    assert request_lines("warning", "json") == []
    by_structlog, ours = [line.partition(b" ")[2] for line in request_lines("info", "text")]
    assert ours == by_structlog


SECRETS = """
import logging, structlog
from app.logs import REQUEST_ID, configure_logs, log_request
configure_logs("debug", "{form}", more=lambda: {"trace_id": "abc"})
key = "ir_" + "k" * 43
REQUEST_ID.set("the-id")
structlog.get_logger("app.tests").warning("own", reason=f"no such key {key}")
logging.getLogger("library").debug("connecting to %s", "redis://:hunter2@host")
try:
    raise ValueError(f"not a number: {key}")
except ValueError:
    structlog.get_logger("app.tests").exception("failed")
log_request("app.tests", {"request_id": "another"})
"""


@pytest.mark.parametrize("form", ["json", "text"])
def test_secrets_in_texts_of_errors_are_masked(form: str) -> None:
    output = b"\n".join(lines_of(SECRETS.replace("{form}", form)))
    assert b"not a number" in output and b"connecting to" in output
    assert b"kkkk" not in output and b"hunter2" not in output


def test_lines_tell_the_request_and_the_trace_that_they_are_of() -> None:
    written = list(map(orjson.loads, lines_of(SECRETS.replace("{form}", "json"))))
    assert [line["request_id"] for line in written] == ["the-id", "the-id", "the-id", "another"]
    assert {line["trace_id"] for line in written} == {"abc"}

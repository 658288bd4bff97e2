"""A release rehearsed from its checks to its end, with two versions, HAProxy, Prometheus and users.

`make rehearsal` runs all of them and keeps their evidence, `make test` the first alone.
"""

import asyncio
import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from tests.rollout.conftest import PLAN, Rehearsal

SLOW_S: Final = 0.2
SLOWER_S: Final = 0.04
LATENCY_LIMIT: Final = re.compile(r"^(p95_s|(?<=\[triggers.p95\]\n)limit) = .*$", re.MULTILINE)
LOAD_SHAPES: Final = """
[users]
known_symbol = 10
typing = 6
browsing = 2
batch_lookup = 1
profiles = 1

[corpus]
instruments = 500
zipf_exponent = 1.0
seed = 1

[burst]
rate_per_s = 40
pacing_s = 0.5
warm_up_s = 3
seconds = 4

[burst.thresholds]
failed = 0
rate_ratio = 0.8

[sustained]
rate_per_s = 21
pacing_s = 1.0
warm_up_s = 3
seconds = 4

[sustained.thresholds]
failed = 0
"""


def assert_rolled_back(rehearsal: Rehearsal, *causes: str) -> dict[str, Any]:
    """The canary has nothing, stable is as before, and the evidence says why and how; the rollback."""
    summary = rehearsal.summary()
    assert (summary["phase"], summary["share"], summary["confirmed_share"]) == ("rolled back", 0, 0)
    rollback = summary["rollback"]
    assert rollback["cause"] in causes, rollback
    assert rollback["restored"] is True
    assert 0 < rollback["restored_after_s"] < 300
    assert rollback["before"]["stable"]["recent"]["requests"] > 0
    assert rollback["after"]["stable"]["recent"]["requests"] > 0
    assert rollback["confirmed_at"] >= rollback["decided_at"]
    assert summary["users_in_all"]["requests"] > 0
    events = [decision["event"] for decision in rehearsal.decisions()]
    assert events[0] == "started" and "rolling back" in events and "share set" in events
    assert isinstance(rollback, dict)
    return rollback


async def test_a_failing_canary_is_rolled_back(rehearsal: Rehearsal, tmp_path: Path) -> None:
    """However slow it is besides, where other tests keep the machine busy."""
    plan = tmp_path / "plan.toml"
    plan.write_text(LATENCY_LIMIT.sub(r"\1 = 5", PLAN.read_text()))
    await rehearsal.start("--plan", str(plan))
    await rehearsal.until_step("baseline")
    await rehearsal.stage.take_rights_of_canary()
    finished = await rehearsal.until_end()
    assert finished.status == 1, finished
    assert "2.0.0 is rolled back (errors: " in finished.messages
    rollback = assert_rolled_back(rehearsal, "errors")
    assert rollback["before"]["canary"]["recent"]["errors"] > 0
    assert set(rehearsal.users.outcomes) <= {"200", "503"}, rehearsal.users.outcomes
    assert rehearsal.users.error_ratio < 0.05, rehearsal.users.outcomes


@pytest.mark.slow
async def test_a_good_canary_gets_all_users(rehearsal: Rehearsal, tmp_path: Path) -> None:
    """With its load test, a second controller, a pause, and a controller that is killed."""
    shapes = tmp_path / "shapes.toml"
    shapes.write_text(LOAD_SHAPES)
    first = await rehearsal.start("--load-test", "--load-shapes", str(shapes))
    await rehearsal.until_step("baseline")
    assert rehearsal.summary()["load_evidence"]["verdict"] == "passed"

    second = await rehearsal.command("run")
    assert second.status == 1 and f"another controller is at work: process {first.pid}" in second.messages

    paused = await rehearsal.command("pause", "--reason", "somebody looks")
    assert paused.status == 0 and "somebody looks" in paused.output, paused
    passed_s = rehearsal.summary()["passed_s"]
    await asyncio.sleep(3)
    assert rehearsal.summary()["passed_s"] <= passed_s
    assert (await rehearsal.command("resume", "--reason", "it was looked at")).status == 0

    await rehearsal.until_step("gate to 25 %")
    first.kill()
    await first.wait()
    status = await rehearsal.command("status")
    assert "nobody watches" in status.output, status
    at_death = rehearsal.summary()
    await asyncio.sleep(5)
    await rehearsal.run_again()
    finished = await rehearsal.until_end()
    assert finished.status == 0, finished
    assert "2.0.0 has all users until HAProxy is reloaded" in finished.output
    assert "; 0 of " in finished.output

    summary = rehearsal.summary()
    assert summary["phase"] == "promoted"
    assert [step["share"] for step in summary["steps"]] == [5, 5, 25, 50, 100]
    decisions = rehearsal.decisions()
    again = next(i for i, one in enumerate(decisions) if one["event"] == "taken up again")
    assert decisions[again]["unwatched_s"] >= 5
    assert decisions[again + 1]["passed_s"] <= at_death["passed_s"], "time that nobody watched counted"
    shares = [one["share"] for one in decisions if one["event"] == "share set"]
    assert shares == [5, 25, 50, 100]
    assert rehearsal.users.failed == 0, rehearsal.users.outcomes
    assert summary["users_in_all"]["errors"] == 0


@pytest.mark.slow
async def test_a_slow_canary_is_rolled_back(rehearsal: Rehearsal) -> None:
    await rehearsal.start()
    await rehearsal.until_step("gate to 25 %")
    rehearsal.stage.canary_redis.delay_s = SLOW_S
    assert (await rehearsal.until_end()).status == 1
    rollback = assert_rolled_back(rehearsal, "p95", "comparison")
    recent = rollback["before"]["canary"]["recent"]
    assert recent["p95_s"] > 0.15
    assert rollback["before"]["stable"]["recent"]["p95_s"] < recent["p95_s"]
    assert rehearsal.users.failed == 0, rehearsal.users.outcomes


@pytest.mark.slow
async def test_a_canary_slower_than_stable_is_rolled_back(rehearsal: Rehearsal) -> None:
    """It keeps to every gate, and is still much slower than what there was."""
    await rehearsal.start()
    await rehearsal.until_step("baseline")
    rehearsal.stage.canary_redis.delay_s = SLOWER_S
    assert (await rehearsal.until_end()).status == 1
    assert_rolled_back(rehearsal, "comparison")
    assert rehearsal.users.failed == 0, rehearsal.users.outcomes


@pytest.mark.slow
async def test_a_canary_that_loses_its_database_is_rolled_back(rehearsal: Rehearsal) -> None:
    await rehearsal.start()
    await rehearsal.until_step("gate to 25 %")
    await rehearsal.stage.canary_postgres.vanish()
    assert (await rehearsal.until_end()).status == 1
    rollback = assert_rolled_back(rehearsal, "connections")
    assert rollback["before"]["canary"]["connections"]["failed"] > 0
    assert set(rehearsal.users.outcomes) <= {"200", "503"}, rehearsal.users.outcomes
    assert rehearsal.users.error_ratio < 0.05, rehearsal.users.outcomes


@pytest.mark.slow
async def test_a_canary_that_dies_is_rolled_back(rehearsal: Rehearsal) -> None:
    await rehearsal.start()
    await rehearsal.until_step("baseline")
    await asyncio.to_thread(rehearsal.stage.canary.stop)
    assert (await rehearsal.until_end()).status == 1
    assert_rolled_back(rehearsal, "down")
    assert rehearsal.users.error_ratio < 0.05, rehearsal.users.outcomes


@pytest.mark.slow
async def test_a_canary_without_users_is_never_given_more(rehearsal: Rehearsal) -> None:
    """No data is no pass: HAProxy sends it nobody, and nothing probes it."""
    await rehearsal.start("--probe", "0")
    await rehearsal.until_step("baseline")
    rehearsal.users.rate = 0.5
    await rehearsal.until(lambda summary: summary["pause"] is not None)
    summary = rehearsal.summary()
    assert "baseline was not passed within" in summary["pause"]["reason"]
    assert (summary["step"], summary["share"], summary["steps"]) == ("baseline", 5, [])


@pytest.mark.slow
async def test_what_cannot_be_seen_or_set_is_told_and_never_passes(rehearsal: Rehearsal) -> None:
    """Prometheus gone, the weights set by hand, and the balancer's socket gone during a rollback."""
    stage = rehearsal.stage
    await rehearsal.start()
    await rehearsal.until_step("gate to 50 %")
    await asyncio.to_thread(stage.prometheus.stop)
    await rehearsal.until(lambda summary: summary["pause"] is not None)
    await rehearsal.until(lambda summary: summary["confirmed_share"] == 5)
    summary = rehearsal.summary()
    assert "Prometheus at" in summary["pause"]["reason"] and summary["step"] == "gate to 50 %"
    stage.prometheus_again()
    assert (await rehearsal.command("resume", "--reason", "Prometheus is back")).status == 0
    await rehearsal.until(lambda summary: summary["confirmed_share"] == 25)

    await stage.tell_balancer("set weight registry/canary 1; set weight registry/stable 100")
    await rehearsal.until(lambda summary: summary["pause"] is not None)
    reason = rehearsal.summary()["pause"]["reason"]
    assert "changed by somebody else: the canary has 1.0 %, not 25 %" in reason
    assert (await stage.tell_balancer("get weight registry/canary")).startswith("1 "), "it was set again"

    hidden = stage.socket.with_suffix(".hidden")
    stage.socket.rename(hidden)
    aborted = await rehearsal.command("abort", "--reason", "enough")
    assert aborted.status == 0, aborted
    await asyncio.sleep(3)
    summary = rehearsal.summary()
    assert (summary["phase"], summary["share"]) == ("rolling back", 0)
    assert summary["rollback"]["confirmed_at"] is None
    status = json.loads((await rehearsal.command("status", "--json")).output)
    assert any("cannot be asked: No such file" in trouble for trouble in status["last_look"]["troubles"])
    hidden.rename(stage.socket)
    finished = await rehearsal.until_end()
    assert finished.status == 1 and "2.0.0 is aborted" in finished.messages, finished
    summary = rehearsal.summary()
    assert (summary["phase"], summary["rollback"]["restored"]) == ("aborted", True)
    assert summary["rollback"]["confirmed_at"] > summary["rollback"]["decided_at"]
    assert rehearsal.users.failed == 0, rehearsal.users.outcomes


@pytest.mark.slow
async def test_an_abort_without_a_controller_rolls_back_itself(rehearsal: Rehearsal) -> None:
    controller = await rehearsal.start()
    await rehearsal.until_step("gate to 25 %")
    controller.kill()
    await controller.wait()
    aborted = await rehearsal.command("abort", "--reason", "its controller has died")
    assert aborted.status == 1 and "2.0.0 is aborted" in aborted.messages, aborted
    summary = rehearsal.summary()
    assert (summary["phase"], summary["confirmed_share"]) == ("aborted", 0)
    assert summary["rollback"]["restored"] is True

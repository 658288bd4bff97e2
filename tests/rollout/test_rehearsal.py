"""A release rehearsed from its checks to its end, with two versions, HAProxy, Prometheus and users.

`make rehearsal` runs all of them and keeps their evidence, `make test` one.
"""

import pytest

from tests.rollout.conftest import Rehearsal

BEFORE = "baseline"


def assert_rolled_back(rehearsal: Rehearsal, causes: set[str]) -> None:
    """The canary has nothing, stable is as before, and the evidence says why and how."""
    summary = rehearsal.summary()
    assert (summary["phase"], summary["share"], summary["confirmed_share"]) == ("rolled back", 0, 0)
    rollback = summary["rollback"]
    assert rollback["cause"] in causes, rollback
    assert rollback["restored"] is True
    assert 0 < rollback["restored_after_s"] < 300
    assert rollback["before"]["canary"]["recent"]["requests"] > 0
    assert rollback["after"]["stable"]["recent"]["requests"] > 0
    assert rollback["confirmed_at"] >= rollback["decided_at"]
    assert summary["users_in_all"]["requests"] > 0
    events = [decision["event"] for decision in rehearsal.decisions()]
    assert events[0] == "started" and "rolling back" in events and "share set" in events


async def test_a_failing_canary_is_rolled_back(rehearsal: Rehearsal) -> None:
    await rehearsal.start()
    await rehearsal.until_step("baseline")
    await rehearsal.stage.take_rights_of_canary()
    finished = await rehearsal.until_end()
    assert finished.status == 1, finished
    assert "2.0.0 is rolled back (errors: " in finished.messages
    assert_rolled_back(rehearsal, {"errors"})
    assert set(rehearsal.users.outcomes) <= {"200", "503"}, rehearsal.users.outcomes
    assert rehearsal.users.error_ratio < 0.02, rehearsal.users.outcomes


@pytest.mark.slow
async def test_a_good_canary_gets_all_users(rehearsal: Rehearsal) -> None:
    await rehearsal.start()
    finished = await rehearsal.until_end()
    assert finished.status == 0, finished

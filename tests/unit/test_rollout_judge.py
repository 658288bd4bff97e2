"""What the numbers of a look mean: at each limit, on either side of it, and without numbers."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from prometheus_client.exposition import generate_latest

from app.metrics import HTTP_REQUEST_SECONDS, LATENCY_BUCKETS_S
from app.monitoring import queries
from app.rollout.balancer import weights
from app.rollout.judge import (
    compare,
    compare_refusals,
    judge_alarms,
    judge_checks,
    judge_down,
    judge_gate,
    judge_hold,
    judge_recovery,
)
from app.rollout.measured import Baseline, Connections, Measured, Track, Window
from app.rollout.plan import PLAN_FILE, Plan, PlanError, read_plan
from app.rollout.verdict import Finding, Verdict, worst
from app.web.routes import ENDPOINTS

PLAN: Final = read_plan(PLAN_FILE)
GATE: Final = PLAN.steps[1]
PASS, HOLD, FAIL = Verdict.PASS, Verdict.HOLD, Verdict.FAIL
SOUND: Final = Window(300, requests=1000, errors=0, bound_s=0.12, within=990, p95_s=0.004, answers=1000)
TRACK: Final = Track(SOUND, replace(SOUND, bound_s=0.15), Connections(60, 100, 0), up=1, series=5)
MEASURED: Final = Measured(TRACK, TRACK)
NOTHING: Final = Window(300)


def with_canary(**window: float | None) -> Measured:
    changed = replace(SOUND, **window)  # type: ignore[arg-type]
    return Measured(TRACK, replace(TRACK, window=changed, recent=replace(changed, bound_s=0.15)))


def verdict_of(findings: list[Finding], name: str) -> Verdict:
    return next(finding.verdict for finding in findings if finding.name == name)


def test_the_plan_of_production_is_as_it_was_agreed() -> None:
    assert [(s.share, s.hold_s, s.p95_s) for s in PLAN.steps] == [
        (5, 1800, None),
        (5, 3600, 0.12),
        (25, 3600, 0.11),
        (50, 7200, 0.1),
        (100, 1800, None),
    ]
    assert (PLAN.comparison.ratio, PLAN.comparison.margin_s) == (2, 0.005)
    assert (PLAN.refusals.margin, PLAN.refusals.for_s) == (0.01, 300)
    triggers = PLAN.triggers
    assert (triggers.p95.limit, triggers.p95.for_s) == (0.15, 300)
    assert (triggers.errors.limit, triggers.errors.for_s) == (0.01, 300)
    assert (triggers.connections.limit, triggers.connections.for_s) == (0.1, 120)
    assert PLAN.limits.recovery_s == 300
    assert {step.p95_s for step in PLAN.steps} - {None} <= set(LATENCY_BUCKETS_S)


@pytest.mark.parametrize(
    ("requests", "within", "verdict"),
    [(1000, 950, PASS), (1000, 949, FAIL), (1000, 1000, PASS), (100, 95, PASS), (99, 99, HOLD), (0, 0, HOLD)],
)
def test_a_latency_gate_is_judged_by_a_bound_and_enough_requests(
    requests: float, within: float, verdict: Verdict
) -> None:
    found = judge_gate(PLAN, GATE, with_canary(requests=requests, within=within))
    assert verdict_of(found, "p95") is verdict


@pytest.mark.parametrize(
    ("requests", "errors", "verdict"), [(1000, 5, PASS), (1000, 6, FAIL), (99, 99, HOLD), (0, 0, HOLD)]
)
def test_errors_are_judged_by_their_share(requests: float, errors: float, verdict: Verdict) -> None:
    measured = with_canary(requests=requests, errors=errors, within=requests)
    assert verdict_of(judge_gate(PLAN, GATE, measured), "errors") is verdict


@pytest.mark.parametrize(
    ("stable_ms", "canary_ms", "verdict"),
    [
        (2, 7, PASS),  # 5 ms more
        (2, 7.1, FAIL),
        (20, 40, PASS),  # twice
        (20, 40.1, FAIL),
        (5, 10, PASS),  # both
    ],
)
def test_the_canary_may_be_twice_as_slow_or_5_ms_slower(
    stable_ms: float, canary_ms: float, verdict: Verdict
) -> None:
    stable = replace(TRACK, window=replace(SOUND, p95_s=stable_ms / 1000))
    canary = replace(TRACK, window=replace(SOUND, p95_s=canary_ms / 1000))
    finding = compare(PLAN, Measured(stable, canary))
    assert finding.verdict is verdict, finding
    assert finding.measured == canary_ms / 1000 and finding.limit is not None


def test_a_comparison_needs_both() -> None:
    few = replace(TRACK, window=replace(SOUND, requests=99))
    assert compare(PLAN, Measured(few, TRACK)).verdict is HOLD
    assert compare(PLAN, Measured(TRACK, few)).verdict is HOLD
    assert "canary had 99 requests" in compare(PLAN, Measured(few, few)).text
    # With all users at the canary there is nothing to compare.
    assert "comparison" not in {finding.name for finding in judge_gate(PLAN, PLAN.steps[-1], MEASURED)}
    assert judge_alarms(PLAN, PLAN.steps[-1], Measured(few, TRACK))["comparison"].verdict is PASS


@pytest.mark.parametrize(
    ("stable", "refused", "answers", "verdict"),
    [
        (0, 1, 100, PASS),
        (0, 2, 100, FAIL),
        (0.02, 7, 100, PASS),  # 3 % and three times 1.4 %
        (0.02, 8, 100, FAIL),
        (0.02, 34, 1000, PASS),
        (0.02, 45, 1000, FAIL),
        (0.02, 10_000, 10_000, FAIL),
        (1, 100, 100, PASS),
        (0, 99, 99, HOLD),
        (0, 0, 0, HOLD),
    ],
)
def test_the_canary_refuses_no_more_than_stable(
    stable: float, refused: float, answers: float, verdict: Verdict
) -> None:
    measured = Measured(
        replace(TRACK, window=replace(SOUND, answers=10_000, refused=10_000 * stable)),
        replace(TRACK, window=replace(SOUND, answers=answers, refused=refused)),
    )
    assert verdict_of(judge_gate(PLAN, GATE, measured), "refusals") is verdict
    assert judge_alarms(PLAN, GATE, measured)["refusals"].verdict is verdict
    held = replace(measured, over_hold=measured.canary.window, stable_over_hold=measured.stable.window)
    assert verdict_of(judge_hold(PLAN, GATE, held), "refusals over the hold") is verdict
    last = PLAN.steps[-1]
    assert "refusals" not in {finding.name for finding in judge_gate(PLAN, last, measured)}
    assert len(judge_hold(PLAN, last, held)) == 1
    assert judge_alarms(PLAN, last, measured)["refusals"].verdict is PASS


def test_a_canary_that_turns_everybody_away_does_not_pass() -> None:
    """Its answers are quick, and none of them is an error."""
    nobody = replace(NOTHING, answers=1000, refused=1000)
    measured = Measured(TRACK, replace(TRACK, window=nobody, recent=nobody))
    assert worst(judge_gate(PLAN, PLAN.steps[0], measured)) is FAIL
    few = replace(SOUND, answers=99)
    assert compare_refusals(PLAN, few, SOUND).verdict is HOLD
    assert "stable gave 99 answers" in compare_refusals(PLAN, few, SOUND).text


def test_no_canary_holds_everything() -> None:
    nobody = Track(NOTHING, NOTHING, Connections(60))
    measured = Measured(TRACK, nobody)
    assert {finding.verdict for finding in judge_gate(PLAN, GATE, measured)} == {HOLD}
    assert {finding.verdict for finding in judge_alarms(PLAN, GATE, measured).values()} == {HOLD}
    assert worst(judge_hold(PLAN, GATE, measured)) is HOLD
    assert worst(judge_hold(PLAN, GATE, replace(measured, over_hold=NOTHING))) is HOLD
    assert worst([]) is HOLD


def test_alarms_are_judged_by_the_triggers_limits() -> None:
    assert {finding.verdict for finding in judge_alarms(PLAN, GATE, MEASURED).values()} == {PASS}
    slow = judge_alarms(PLAN, GATE, with_canary(within=949, p95_s=0.2))
    assert (slow["p95"].verdict, slow["comparison"].verdict, slow["errors"].verdict) == (FAIL, FAIL, PASS)
    assert judge_alarms(PLAN, GATE, with_canary(errors=11))["errors"].verdict is FAIL
    assert judge_alarms(PLAN, GATE, with_canary(errors=10))["errors"].verdict is PASS
    for failed, asked, verdict in ((10, 100, PASS), (11, 100, FAIL), (9, 9, HOLD)):
        canary = replace(TRACK, connections=Connections(60, asked, failed))
        found = judge_alarms(PLAN, GATE, Measured(TRACK, canary))["connections"]
        assert found.verdict is verdict, found
    assert (judge_down(down=True).verdict, judge_down(down=False).verdict) == (FAIL, PASS)
    assert set(judge_alarms(PLAN, GATE, MEASURED)) | {"down"} == set(PLAN.for_s)


def test_checks_want_health_metrics_and_a_known_stable() -> None:
    well: dict[str, str | None] = {"stable": None, "canary": None}
    assert worst(judge_checks(PLAN, MEASURED, well)) is PASS
    assert worst(judge_checks(PLAN, MEASURED, well | {"canary": "it is degraded"})) is HOLD
    for unseen in (replace(TRACK, up=0), replace(TRACK, series=0)):
        assert worst(judge_checks(PLAN, Measured(TRACK, unseen), well)) is HOLD
        assert worst(judge_checks(PLAN, Measured(unseen, TRACK), well)) is HOLD
    idle = replace(TRACK, window=NOTHING)
    assert worst(judge_checks(PLAN, Measured(idle, TRACK), well)) is HOLD
    assert worst(judge_checks(PLAN, Measured(TRACK, idle), well)) is PASS, "the canary has no users yet"


@pytest.mark.parametrize(
    ("p95_s", "errors", "requests", "verdict"),
    [(0.009, 0, 1000, PASS), (0.0091, 0, 1000, FAIL), (0.004, 6, 1000, FAIL), (0.004, 0, 19, HOLD)],
)
def test_stable_is_back_when_it_is_as_its_baseline(
    p95_s: float, errors: float, requests: float, verdict: Verdict
) -> None:
    baseline = Baseline("2026-01-01T00:00:00Z", 1800, 5000, 0.004, 0.0)
    stable = replace(TRACK, recent=Window(60, requests, errors, 0.15, requests, p95_s))
    assert worst(judge_recovery(PLAN, Measured(stable, TRACK), baseline)) is verdict


def test_a_bad_plan_is_refused_by_its_field(tmp_path: Path) -> None:
    text = PLAN_FILE.read_text()
    cases = [
        ("p95_s = 0.12", "p95_s = 0.13", "steps.1.p95_s: must be a bound of the histogram's buckets: "),
        ("share = 25", "share = 1", "steps: a share must not be less than the one before"),
        ("share = 100", "share = 99", "steps: the last share must be 100"),
        ("hold_s = 1800", "hold_s = -1", "steps.0.hold_s: "),
        ("hold_s = 1800", 'hold_s = "long"', "steps.0.hold_s: "),
        ("interval_s = 15", "interval = 15", "interval_s: Field required"),
        ("trigger_window_s = 60", "trigger_window_s = 59", "trigger_window_s: must be 60 or more"),
        ("[limits]", "[limits", "is no TOML"),
    ]
    for old, new, words in cases:
        file = tmp_path / "plan.toml"
        file.write_text(text.replace(old, new, 1))
        with pytest.raises(PlanError, match=re.escape(words)):
            read_plan(file)
    with pytest.raises(PlanError, match="cannot read"):
        read_plan(tmp_path / "none.toml")


@given(st.floats(0.0001, 1), st.one_of(st.none(), st.floats(0.1, 60)))
def test_a_scaled_plan_is_one_still(factor: float, scrape_interval_s: float | None) -> None:
    scaled: Plan = PLAN.scaled(factor, scrape_interval_s)
    assert scaled.window_s >= 4 * scaled.scrape_interval_s
    assert all(step.hold_s >= 4 * scaled.interval_s - 1e-9 for step in scaled.steps)
    assert all(seconds >= 2 * scaled.interval_s - 1e-9 for seconds in scaled.for_s.values())
    assert [s.share for s in scaled.steps] == [s.share for s in PLAN.steps]
    assert scaled.minimum_requests >= 5
    assert PLAN.scaled(1) == PLAN


@given(st.sampled_from((0, *range(5, 96), 100)), st.integers(1, 40), st.integers(1, 40))
def test_weights_make_the_share_whatever_the_servers(share: int, stable: int, canary: int) -> None:
    """Up to ten times as many of one version as of the other; beyond, setting the share says what it is."""
    assume(stable <= 10 * canary and canary <= 10 * stable)
    each_stable, each_canary = weights(share, stable, canary)
    assert 0 <= each_stable <= 256 and 0 <= each_canary <= 256
    total = stable * each_stable + canary * each_canary
    assert total > 0
    made = 100 * canary * each_canary / total
    assert made == share if share in (0, 100) else abs(made - share) <= 1


def test_bounds_are_asked_for_as_the_service_writes_them() -> None:
    HTTP_REQUEST_SECONDS.labels("/", "GET", "200")
    written = generate_latest(REGISTRY).decode()
    for bound_s in LATENCY_BUCKETS_S:
        assert queries.within(bound_s) in written, bound_s
        assert queries.within(bound_s) in queries.requests_within(bound_s, 60)


def test_users_routes_are_those_that_users_wait_for() -> None:
    pattern = re.fullmatch(r'route!~"(.*)"', queries.USER_ROUTES)
    assert pattern is not None
    left_out = {e.path for e in ENDPOINTS if re.fullmatch(pattern[1], e.path)}
    expected = {
        e.path
        for e in ENDPOINTS
        if e.is_stream or e.path.startswith("/v1/admin/") or e.path.endswith(("/bulk", "/changes"))
    }
    refused = re.fullmatch(r'.*,status!~"(.*)"', queries.USERS)
    assert refused is not None and queries.USERS.startswith(queries.USER_ROUTES)
    assert re.findall(r"\d+", refused[1]) == ["401", "403", "429"]
    assert left_out == expected | {
        *("/", "/assets/{version}/{name}", "/docs", "/health/live", "/health/ready", "/metrics"),
        *("/openapi.json", "/v1/caller"),
    }

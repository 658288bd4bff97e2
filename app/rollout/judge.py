"""What the numbers of a look mean by the plan. Pure; every finding carries its numbers and its limit."""

from collections.abc import Mapping
from typing import Final

from app.rollout.measured import Baseline, Measured, Track, Window
from app.rollout.plan import FULL, Plan, Step
from app.rollout.verdict import Finding, Verdict

QUANTILE: Final = 0.95


def judge_gate(plan: Plan, step: Step, measured: Measured) -> list[Finding]:
    """Whether this look passes the step's gate. The comparison counts as long as stable has users."""
    canary = measured.canary
    findings = [_reached(canary), *_of_window(plan, step, canary.window, "")]
    if step.share < FULL:
        findings.append(compare(plan, measured))
        findings.append(compare_refusals(plan, measured.stable.window, canary.window))
    return findings


def judge_hold(plan: Plan, step: Step, measured: Measured) -> list[Finding]:
    """Whether the canary kept to the step's gate over the whole hold."""
    if measured.over_hold is None:
        return [Finding("hold", Verdict.HOLD, "the hold is not over")]
    findings = _of_window(plan, step, measured.over_hold, " over the hold")
    if step.share < FULL:
        stable = measured.stable_over_hold or Window(measured.over_hold.seconds)
        findings.append(compare_refusals(plan, stable, measured.over_hold, " over the hold"))
    return findings


def judge_alarms(plan: Plan, step: Step, measured: Measured) -> dict[str, Finding]:
    """Every alarm that rests on metrics by its name: FAIL is up now, HOLD cannot be told."""
    canary, triggers = measured.canary, plan.triggers
    alone = "stable has no users to compare with"
    return {
        "connections": _connections(plan, canary),
        "errors": _errors("errors", canary.recent, triggers.errors.limit, plan.trigger_minimum_requests),
        "p95": _within("p95", canary.recent, plan.trigger_minimum_requests),
        "comparison": compare(plan, measured)
        if step.share < FULL
        else Finding("comparison", Verdict.PASS, alone),
        "refusals": compare_refusals(plan, measured.stable.window, canary.window)
        if step.share < FULL
        else Finding("refusals", Verdict.PASS, alone),
    }


def judge_down(*, down: bool) -> Finding:
    """The alarm that rests on the balancer's health checks."""
    text = f"the balancer's health checks find {'no' if down else 'the'} canary"
    return Finding("down", Verdict.FAIL if down else Verdict.PASS, text)


def compare(plan: Plan, measured: Measured) -> Finding:
    """The canary's P95 beside stable's, both interpolated."""
    stable, canary = measured.stable.window, measured.canary.window
    if canary.p95_s is None or canary.requests < plan.minimum_requests:
        return _too_few("comparison", canary, plan.minimum_requests, "canary")
    if stable.p95_s is None or stable.requests < plan.minimum_requests:
        return _too_few("comparison", stable, plan.minimum_requests, "stable")
    limit_s = plan.comparison.limit_s(stable.p95_s)
    verdict = Verdict.FAIL if canary.p95_s > limit_s else Verdict.PASS
    text = f"P95 of the canary is {_ms(canary.p95_s)}, of stable {_ms(stable.p95_s)}; limit {_ms(limit_s)}"
    return Finding("comparison", verdict, text, canary.p95_s, limit_s, canary.requests)


def compare_refusals(plan: Plan, stable: Window, canary: Window, when: str = "") -> Finding:
    """The canary's share of 4xx beside stable's."""
    name, minimum = f"refusals{when}", plan.minimum_requests
    if canary.refused_ratio is None or canary.answers < minimum:
        return _too_few_answers(name, canary, minimum, "canary")
    if stable.refused_ratio is None or stable.answers < minimum:
        return _too_few_answers(name, stable, minimum, "stable")
    ratio, limit = canary.refused_ratio, plan.refusals.limit(stable.refused_ratio, canary.answers)
    text = (
        f"the canary answers {_percent(ratio)} of {canary.answers:.0f} requests with 4xx, stable "
        f"{_percent(stable.refused_ratio)}; limit {_percent(limit)}"
    )
    return Finding(name, Verdict.FAIL if ratio > limit else Verdict.PASS, text, ratio, limit, canary.answers)


def judge_checks(plan: Plan, measured: Measured, health: Mapping[str, str | None]) -> list[Finding]:
    """Before the canary gets users: both are healthy and measured, and stable's latency is known.

    `health` has for each track what is wrong with it, or None.
    """
    findings = [
        Finding(f"{track} healthy", Verdict.HOLD if wrong else Verdict.PASS, wrong or f"{track} is ready")
        for track, wrong in health.items()
    ]
    for name, track in (("stable", measured.stable), ("canary", measured.canary)):
        known = track.up >= 1 and track.series >= 1
        text = (
            f"Prometheus reaches {track.up:.0f} of {name}, and has {track.series:.0f} series of its requests"
        )
        findings.append(Finding(f"{name} measured", Verdict.PASS if known else Verdict.HOLD, text))
    stable = measured.stable.window
    if stable.p95_s is None or stable.requests < plan.minimum_requests:
        findings.append(_too_few("stable known", stable, plan.minimum_requests, "stable"))
    return findings


def judge_recovery(plan: Plan, measured: Measured, baseline: Baseline | None) -> list[Finding]:
    """Whether stable is as it was before, by the same measures as canary and stable are compared."""
    stable = measured.stable.recent
    if baseline is None:
        return [Finding("baseline", Verdict.PASS, "the canary had no users yet: nothing to go back to")]
    if stable.p95_s is None or stable.error_ratio is None or stable.requests < plan.trigger_minimum_requests:
        return [_too_few("baseline", stable, plan.trigger_minimum_requests, "stable")]
    p95_limit_s = plan.comparison.limit_s(baseline.p95_s)
    error_limit = max(baseline.error_ratio, plan.error_ratio)
    return [
        Finding(
            "P95 as before",
            Verdict.PASS if stable.p95_s <= p95_limit_s else Verdict.FAIL,
            f"P95 of stable is {_ms(stable.p95_s)}, before {_ms(baseline.p95_s)}; limit {_ms(p95_limit_s)}",
            stable.p95_s,
            p95_limit_s,
            stable.requests,
        ),
        Finding(
            "errors as before",
            Verdict.PASS if stable.error_ratio <= error_limit else Verdict.FAIL,
            f"errors of stable are {_percent(stable.error_ratio)}, before "
            f"{_percent(baseline.error_ratio)}; limit {_percent(error_limit)}",
            stable.error_ratio,
            error_limit,
            stable.requests,
        ),
    ]


def _of_window(plan: Plan, step: Step, window: Window, when: str) -> list[Finding]:
    findings = [_errors(f"errors{when}", window, plan.error_ratio, plan.minimum_requests)]
    if step.p95_s is not None:
        findings.append(_within(f"p95{when}", window, plan.minimum_requests))
    return findings


def _reached(canary: Track) -> Finding:
    verdict = Verdict.PASS if canary.up >= 1 else Verdict.HOLD
    return Finding("canary measured", verdict, f"Prometheus reaches {canary.up:.0f} of the canary")


def _errors(name: str, window: Window, limit: float, minimum: int) -> Finding:
    """Of 5xx."""
    if window.error_ratio is None or window.requests < minimum:
        return _too_few(name, window, minimum, "canary")
    verdict = Verdict.FAIL if window.error_ratio > limit else Verdict.PASS
    text = f"{_percent(window.error_ratio)} of {window.requests:.0f} requests failed; limit {_percent(limit)}"
    return Finding(name, verdict, text, window.error_ratio, limit, window.requests)


def _within(name: str, window: Window, minimum: int) -> Finding:
    """P95 by the share of requests within a bucket's bound: nothing is interpolated."""
    if window.bound_s is None or window.within_ratio is None or window.requests < minimum:
        return _too_few(name, window, minimum, "canary")
    verdict = Verdict.FAIL if window.within_ratio < QUANTILE else Verdict.PASS
    text = (
        f"{_percent(window.within_ratio)} of {window.requests:.0f} requests took {_ms(window.bound_s)} or "
        f"less; at least {_percent(QUANTILE)} must"
    )
    return Finding(name, verdict, text, window.within_ratio, QUANTILE, window.requests)


def _connections(plan: Plan, canary: Track) -> Finding:
    asked, failed = canary.connections.asked, canary.connections.failed
    if asked < plan.minimum_connections:
        text = f"the canary asked for {int(asked)} connections to Postgres, {plan.minimum_connections} needed"
        return Finding("connections", Verdict.HOLD, text, None, plan.triggers.connections.limit, asked)
    ratio, limit = failed / asked, plan.triggers.connections.limit
    text = f"{_percent(ratio)} of {asked:.0f} connections to Postgres failed; limit {_percent(limit)}"
    return Finding("connections", Verdict.FAIL if ratio > limit else Verdict.PASS, text, ratio, limit, asked)


def _too_few(name: str, window: Window, minimum: int, track: str) -> Finding:
    text = f"{track} had {int(window.requests)} requests in {window.seconds:.0f} s, {minimum} needed"
    return Finding(name, Verdict.HOLD, text, requests=window.requests)


def _too_few_answers(name: str, window: Window, minimum: int, track: str) -> Finding:
    text = f"{track} gave {int(window.answers)} answers in {window.seconds:.0f} s, {minimum} needed"
    return Finding(name, Verdict.HOLD, text, requests=window.answers)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _percent(ratio: float) -> str:
    return f"{ratio * 100:.2f} %"

"""The states of a rollout: properties over any sequence of looks and orders, and the single transitions."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from app.rollout.machine import (
    CONTROLLER,
    Order,
    OrderKind,
    OrderRefused,
    Pause,
    Phase,
    Sight,
    State,
    Weights,
    advance,
    obey,
    share_of,
)
from app.rollout.plan import PLAN_FILE, read_plan
from app.rollout.verdict import Verdict

PLAN: Final = read_plan(PLAN_FILE).scaled(0.05)
LOOK_S: Final = PLAN.interval_s
GOOD: Final = Sight(Verdict.PASS, Verdict.PASS, dict.fromkeys(PLAN.for_s, Verdict.PASS))
EMPTY: Final = Sight(Verdict.HOLD, Verdict.HOLD, dict.fromkeys(PLAN.for_s, Verdict.HOLD))
BLIND: Final = replace(EMPTY, blind="Prometheus does not answer")
BAD: Final = replace(GOOD, gate=Verdict.FAIL)
STATES: Final = TypeAdapter(State)

Happening: TypeAlias = tuple[float, Sight] | OrderKind
"""A look so many seconds after the one before, or an order."""

verdicts = st.sampled_from(Verdict)
sights = st.one_of(
    st.just(GOOD),
    st.just(GOOD),
    st.just(GOOD),
    st.builds(
        Sight,
        gate=verdicts,
        over_hold=verdicts,
        alarms=st.dictionaries(st.sampled_from(list(PLAN.for_s)), verdicts),
        blind=st.sampled_from((None, None, "nothing answers")),
        foreign=st.sampled_from((None, None, None, "the canary has 7 %")),
        share_set=st.booleans(),
    ),
)
gaps = st.one_of(st.just(LOOK_S), st.floats(-1e5, 1e5), st.floats(0, 2 * LOOK_S))
looks = st.tuples(gaps, sights)
many_looks = st.builds(lambda look, times: [look] * times, looks, st.integers(1, 60))
happenings: st.SearchStrategy[list[Happening]] = st.lists(
    st.one_of(many_looks, st.sampled_from(OrderKind).map(lambda kind: [kind])), max_size=8
).map(lambda runs: [one for run in runs for one in run])


def order(kind: OrderKind) -> Order:
    return Order(kind, "operator", "because")


def follow(happened: Sequence[Happening], state: State | None = None, now: float = 1e6) -> list[State]:
    """Every state, the first one too. What is not allowed is refused, and changes nothing."""
    states = [state or State()]
    for one in happened:
        if isinstance(one, OrderKind):
            try:
                states.append(obey(states[-1], order(one)))
            except OrderRefused:
                states.append(states[-1])
        else:
            now += one[0]
            states.append(advance(states[-1], PLAN, one[1], now))
    return states


def after(*happened: Happening, state: State | None = None) -> State:
    return follow(happened, state)[-1]


def steady(sight: Sight, seconds: float) -> list[Happening]:
    return [(LOOK_S, sight)] * (int(seconds / LOOK_S) + 2)


@given(happenings)
def test_a_share_grows_by_one_step_whose_hold_was_watched_and_passed(happened: list[Happening]) -> None:
    """By a model of its own: consecutive looks that both passed, at most a gap apart, since a reset."""
    states = follow(happened)
    passed_s, was_passing = 0.0, False
    for one, before, state in zip(happened, states, states[1:], strict=False):
        if isinstance(one, OrderKind):
            was_passing = was_passing and state == before
            continue
        since_s, sight = one
        passes = sight.gate is Verdict.PASS and sight.share_set and sight.blind is None
        if state.step != before.step:
            assert state.step == before.step + 1
            assert passed_s + since_s >= PLAN.steps[before.step].hold_s - 1e-3
            assert sight.over_hold is Verdict.PASS and passes and was_passing
        if passes and was_passing and 0 <= since_s <= PLAN.longest_gap_s and before.pause is None:
            passed_s += since_s
        if state.step != before.step or state.phase is not before.phase or state.passed_s == 0:
            passed_s = 0.0
        was_passing = passes and state.phase is Phase.ROLLING_OUT and state.pause is None
        if state.step != before.step or before.phase is not Phase.ROLLING_OUT:
            was_passing = False
        assert state.passed_s <= passed_s + 1e-3 or state.phase is not Phase.ROLLING_OUT


@given(happenings)
def test_what_rolls_back_gives_the_canary_nothing_ever_after(happened: list[Happening]) -> None:
    states = follow(happened)
    for before, state in pairwise(states):
        if before.phase is Phase.ROLLING_BACK:
            assert state.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.ABORTED)
        if before.ended:
            assert state == before
        if before.phase is not Phase.ROLLING_OUT and state.phase is Phase.ROLLING_OUT:
            assert before.phase is Phase.CHECKING and state.step == 0
        if state.phase not in (Phase.ROLLING_OUT, Phase.PROMOTED):
            assert share_of(state, PLAN) == 0


@given(happenings)
def test_a_pause_never_gives_more(happened: list[Happening]) -> None:
    states = follow(happened)
    for before, state in pairwise(states):
        if before.pause is not None and state.pause is not None:
            assert share_of(state, PLAN) <= share_of(before, PLAN)
            assert state.step == before.step


@given(happenings)
def test_a_controller_that_was_killed_goes_on_from_what_it_wrote(happened: list[Happening]) -> None:
    """At every point: nothing that matters is in its memory alone."""
    state, now = State(), 1e6
    for one, expected in zip(happened, follow(happened)[1:], strict=True):
        read = STATES.validate_json(STATES.dump_json(state))
        if isinstance(one, OrderKind):
            try:
                state = obey(read, order(one))
            except OrderRefused:
                state = read
        else:
            now += one[0]
            state = advance(read, PLAN, one[1], now)
        assert state == expected


@given(st.lists(st.tuples(st.floats(0, 3 * LOOK_S), st.sampled_from((EMPTY, BLIND, BAD))), max_size=300))
def test_what_never_passes_is_never_given_more(happened: list[Happening]) -> None:
    begun = after(*steady(GOOD, 0))
    assert (begun.phase, begun.step) == (Phase.ROLLING_OUT, 0)
    for state in follow(happened, begun):
        assert share_of(state, PLAN) <= PLAN.steps[0].share
        assert state.step == 0


@pytest.mark.parametrize("name", PLAN.for_s)
def test_an_alarm_rolls_back_when_it_was_up_for_its_time_and_not_before(name: str) -> None:
    up = replace(GOOD, alarms={**GOOD.alarms, name: Verdict.FAIL})
    unknown = replace(GOOD, alarms={**GOOD.alarms, name: Verdict.HOLD})
    state = after(*steady(GOOD, 0))
    looks_needed = int(-(-PLAN.for_s[name] // LOOK_S)) + 1
    before = follow([(LOOK_S, up)] * (looks_needed - 1), state)[-1]
    assert before.phase is Phase.ROLLING_OUT
    assert (
        after((LOOK_S, GOOD), *[(LOOK_S, up)] * (looks_needed - 1), state=before).phase is Phase.ROLLING_OUT
    )
    # What cannot be told neither ends an alarm nor counts for it.
    held = after(*[(LOOK_S, unknown)] * 50, state=before)
    assert (held.phase, held.alarms_s) == (Phase.ROLLING_OUT, before.alarms_s)
    rolled = follow([(LOOK_S, up)], held, now=held.looked_at or 0)[-1]
    assert (rolled.phase, rolled.cause, share_of(rolled, PLAN)) == (Phase.ROLLING_BACK, name, 0)
    paused = obey(state, order(OrderKind.PAUSE))
    assert follow([(LOOK_S, up)] * looks_needed, paused)[-1].phase is Phase.ROLLING_BACK


def test_a_good_canary_is_promoted_after_all_holds_and_no_sooner() -> None:
    states = follow(steady(GOOD, 3 * sum(step.hold_s for step in PLAN.steps)))
    shares = [share_of(state, PLAN) for state in states]
    assert list(dict.fromkeys(shares)) == [0, 5, 25, 50, 100]
    assert states[-1].phase is Phase.PROMOTED
    needed_s = sum(step.hold_s for step in PLAN.steps)
    taken_s = next(i for i, state in enumerate(states) if state.ended) * LOOK_S
    assert needed_s <= taken_s <= needed_s + 4 * LOOK_S * len(PLAN.steps)


def test_a_failed_gate_begins_the_hold_anew_and_no_data_does_not() -> None:
    state = after(*steady(GOOD, 0), *[(LOOK_S, GOOD)] * 5)
    assert state.passed_s == pytest.approx(5 * LOOK_S)
    assert after((LOOK_S, EMPTY), state=state).passed_s == state.passed_s
    assert after((LOOK_S, BAD), state=state).passed_s == 0


def test_time_that_nobody_watched_does_not_count() -> None:
    state = after(*steady(GOOD, 0), *[(LOOK_S, GOOD)] * 5)
    gone = advance(state, PLAN, GOOD, (state.looked_at or 0) + 86_400)
    assert gone.passed_s == state.passed_s and gone.step == state.step
    up = replace(GOOD, alarms={"errors": Verdict.FAIL})
    first = advance(state, PLAN, up, (state.looked_at or 0) + LOOK_S)
    assert advance(first, PLAN, up, (first.looked_at or 0) + 86_400).phase is Phase.ROLLING_OUT


def test_a_gate_over_the_hold_that_failed_begins_it_anew() -> None:
    bad_end = replace(GOOD, over_hold=Verdict.FAIL)
    state = after(*steady(bad_end, 2 * PLAN.steps[0].hold_s))
    assert (state.phase, state.step) == (Phase.ROLLING_OUT, 0)
    waiting = after(*steady(replace(GOOD, over_hold=Verdict.HOLD), 2 * PLAN.steps[0].hold_s))
    assert (waiting.step, waiting.passed_s > PLAN.steps[0].hold_s) == (0, True)


def test_blindness_pauses_at_the_last_share_that_was_passed() -> None:
    to_second = steady(GOOD, PLAN.steps[0].hold_s + PLAN.steps[1].hold_s + 4 * LOOK_S)
    state = after(*to_second)
    assert (share_of(state, PLAN), state.pause) == (25, None)
    blind = after(*steady(BLIND, PLAN.limits.blind_s - 3 * LOOK_S), state=state)
    assert (blind.pause, share_of(blind, PLAN)) == (None, 25)
    paused = after(*steady(BLIND, PLAN.limits.blind_s), state=state)
    assert paused.pause is not None and paused.pause.by == CONTROLLER
    assert "Prometheus does not answer" in paused.pause.reason
    assert share_of(paused, PLAN) == 5
    seen = after(*steady(GOOD, 1000), state=paused)
    assert share_of(seen, PLAN) == 5, "it goes on by itself"
    resumed = obey(seen, order(OrderKind.RESUME))
    assert (share_of(resumed, PLAN), resumed.passed_s) == (25, 0)
    first = after(*steady(GOOD, 0), *steady(BLIND, PLAN.limits.blind_s))
    assert share_of(first, PLAN) == 0


def test_weights_that_somebody_else_has_set_are_left_alone() -> None:
    state = after(*steady(GOOD, 0), (LOOK_S, replace(GOOD, foreign="the canary has 0 %", share_set=False)))
    assert state.pause is not None and state.pause.weights is Weights.THEIRS
    still = after(*steady(BLIND, 2 * PLAN.limits.blind_s), state=state)
    assert still.pause == state.pause


def test_patience_ends_in_a_pause() -> None:
    state = after(*steady(GOOD, 0), *steady(EMPTY, PLAN.limits.patience * PLAN.steps[0].hold_s))
    assert state.pause is not None and "was not passed" in state.pause.reason
    assert share_of(state, PLAN) == 5


def test_checks_that_do_not_pass_in_time_refuse_the_canary() -> None:
    state = after(*steady(EMPTY, PLAN.limits.checks_s))
    assert (state.phase, share_of(state, PLAN)) == (Phase.REFUSED, 0)
    assert after((LOOK_S, replace(GOOD, share_set=False))).phase is Phase.CHECKING
    assert after((LOOK_S, replace(GOOD, blind="HAProxy"))).phase is Phase.CHECKING


@pytest.mark.parametrize("phase", [Phase.CHECKING, Phase.ROLLING_OUT])
def test_an_abort_takes_everything_from_the_canary(phase: Phase) -> None:
    state = State() if phase is Phase.CHECKING else after(*steady(GOOD, 0))
    aborted = obey(state, order(OrderKind.ABORT))
    assert (aborted.phase, share_of(aborted, PLAN)) == (Phase.ROLLING_BACK, 0)
    assert aborted.cause == "aborted by operator: because"
    assert after(*steady(GOOD, PLAN.trigger_window_s + 2 * LOOK_S), state=aborted).phase is Phase.ABORTED


def test_a_rollback_ends_when_all_is_as_before_or_with_its_limit_but_only_once_it_is_set() -> None:
    rolling = replace(
        after(*steady(GOOD, 0)), phase=Phase.ROLLING_BACK, cause="errors", passed_s=0, passing=False
    )
    early = after(*[(LOOK_S, GOOD)] * 3, state=rolling)
    assert early.phase is Phase.ROLLING_BACK
    done = after(*steady(GOOD, PLAN.trigger_window_s + LOOK_S), state=rolling)
    assert (done.phase, done.restored) == (Phase.ROLLED_BACK, True)
    for sight in (BAD, EMPTY, BLIND):
        not_back = after(*steady(sight, PLAN.limits.recovery_s + 2 * PLAN.trigger_window_s), state=rolling)
        assert (not_back.phase, not_back.restored) == (Phase.ROLLED_BACK, False)
    unset = after(*steady(replace(GOOD, share_set=False), 10 * PLAN.limits.recovery_s), state=rolling)
    assert unset.phase is Phase.ROLLING_BACK


def test_orders_that_make_no_sense_are_refused_with_the_reason() -> None:
    begun = after(*steady(GOOD, 0))
    paused = obey(begun, order(OrderKind.PAUSE))
    rolling = obey(begun, order(OrderKind.ABORT))
    cases: list[tuple[State, OrderKind, str]] = [
        (begun, OrderKind.RESUME, "not paused"),
        (paused, OrderKind.PAUSE, "paused already, by operator: because"),
        (rolling, OrderKind.PAUSE, "rolls back"),
        (rolling, OrderKind.RESUME, "rolls back"),
        (rolling, OrderKind.ABORT, "already"),
        (State(phase=Phase.PROMOTED), OrderKind.ABORT, "has ended"),
    ]
    for state, kind, words in cases:
        with pytest.raises(OrderRefused, match=words):
            obey(state, order(kind))


def test_a_pause_of_ones_own_keeps_what_was_passed() -> None:
    state = after(*steady(GOOD, 0), *[(LOOK_S, GOOD)] * 5)
    paused = obey(state, order(OrderKind.PAUSE))
    assert paused.pause == Pause("operator", "because")
    later = after(*[(LOOK_S, GOOD)] * 100, state=paused)
    assert (later.passed_s, later.step) == (state.passed_s, state.step)
    assert obey(later, order(OrderKind.RESUME)).passed_s == state.passed_s

"""The states of a rollout, and what leads from one to the next. Pure: time, verdicts and orders come in.

    checking ──> rolling out (step by step; may pause) ──> promoted
        │              │
        v              v
     refused      rolling back ──> rolled back, or aborted

Only time between two looks that both found the gate passed counts towards a hold. A failed gate starts the
hold anew; what cannot be told leaves it as it is; time that nobody watched never counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from app.domain.errors import RegistryError
from app.rollout.plan import FULL, Plan
from app.rollout.verdict import Verdict

CONTROLLER: Final = "the controller"


class OrderRefused(RegistryError):
    """An order that the rollout's state does not allow; `str(error)` says why."""


class Phase(StrEnum):
    CHECKING = "checking"
    ROLLING_OUT = "rolling out"
    ROLLING_BACK = "rolling back"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"
    ABORTED = "aborted"
    REFUSED = "refused"


ENDS: Final = frozenset({Phase.PROMOTED, Phase.ROLLED_BACK, Phase.ABORTED, Phase.REFUSED})


class OrderKind(StrEnum):
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class Order:
    kind: OrderKind
    by: str
    reason: str


class Weights(StrEnum):
    """What the canary has during a pause."""

    STEP = "as before"
    SAFE = "of the last step that was passed"
    THEIRS = "as somebody else has set them"


@dataclass(frozen=True, slots=True)
class Pause:
    by: str
    reason: str
    weights: Weights = Weights.STEP


@dataclass(frozen=True, slots=True)
class State:
    phase: Phase = Phase.CHECKING
    step: int = 0
    passed_s: float = 0.0
    """Of the step's hold; after a rollback, how long it has been watched."""
    passing: bool = False
    """Whether the last look found the gate passed."""
    spent_s: float = 0.0
    """In this step, or with the checks, watched or not passed."""
    alarms_s: Mapping[str, float] = field(default_factory=dict)
    """For how long each alarm that is up has been."""
    blind_s: float = 0.0
    pause: Pause | None = None
    cause: str | None = None
    """Why it rolls back, or was refused."""
    aborted: bool = False
    restored: bool | None = None
    """After a rollback: whether stable was seen to be as before."""
    looked_at: float | None = None

    @property
    def ended(self) -> bool:
        return self.phase in ENDS


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look has found."""

    gate: Verdict = Verdict.HOLD
    """Of the step; while checking, of the checks; after a rollback, whether all is as before."""
    over_hold: Verdict = Verdict.HOLD
    """Of the gate over the whole hold."""
    alarms: Mapping[str, Verdict] = field(default_factory=dict)
    blind: str | None = None
    """Why nothing could be seen."""
    foreign: str | None = None
    """Somebody else has changed the balancer's weights: how they are."""
    share_set: bool = True
    """The balancer has the share that this rollout wants."""


def share_of(state: State, plan: Plan) -> int:
    """The percentage of requests that the canary should get."""
    if state.phase is Phase.PROMOTED:
        return FULL
    if state.phase is not Phase.ROLLING_OUT:
        return 0
    if state.pause is not None and state.pause.weights is Weights.SAFE:
        return plan.safe_share(state.step)
    return plan.steps[state.step].share


def obey(state: State, order: Order) -> State:
    """Raises OrderRefused."""
    if state.ended:
        raise OrderRefused(f"this rollout has ended ({state.phase}); start another with rollout start")
    if order.kind is OrderKind.ABORT:
        if state.phase is Phase.ROLLING_BACK:
            raise OrderRefused("it rolls back already")
        return _roll_back(state, f"aborted by {order.by}: {order.reason}", aborted=True)
    if state.phase is Phase.ROLLING_BACK:
        raise OrderRefused(f"it rolls back, which cannot be halted by {order.kind}")
    if order.kind is OrderKind.PAUSE:
        if state.pause is not None:
            raise OrderRefused(f"it is paused already, by {state.pause.by}: {state.pause.reason}")
        return replace(state, pause=Pause(order.by, order.reason), passing=False)
    if state.pause is None:
        raise OrderRefused("it is not paused")
    anew = state.pause.by == CONTROLLER
    passed_s = 0.0 if anew else state.passed_s
    return replace(state, pause=None, passed_s=passed_s, passing=False, spent_s=0.0, blind_s=0.0)


def advance(state: State, plan: Plan, sight: Sight, now: float) -> State:
    """The state after a look at `now`, in seconds of any clock that goes on while the controller does not."""
    if state.ended:
        return state
    since_s = 0.0 if state.looked_at is None else now - state.looked_at
    watched_s = since_s if 0 <= since_s <= plan.longest_gap_s else 0.0
    if watched_s < since_s:
        state = replace(state, passing=False)
    state = replace(state, looked_at=now)
    if state.phase is Phase.CHECKING:
        return _check(state, plan, sight, watched_s)
    if state.phase is Phase.ROLLING_BACK:
        return _recover(state, plan, sight, watched_s)
    state = _raise_alarms(state, sight, watched_s)
    for name, for_s in plan.for_s.items():
        if state.alarms_s.get(name, -1.0) >= for_s:
            return _roll_back(state, name)
    state = _mind_blindness(state, plan, sight, watched_s)
    if sight.foreign is not None and state.pause is None:
        reason = f"the balancer's weights were changed by somebody else: {sight.foreign}"
        state = _halt(state, reason, Weights.THEIRS)
    return _hold(state, plan, sight, watched_s)


def _check(state: State, plan: Plan, sight: Sight, watched_s: float) -> State:
    if state.pause is not None:
        return state
    if sight.gate is Verdict.PASS and sight.share_set and sight.blind is None:
        return replace(state, phase=Phase.ROLLING_OUT, spent_s=0.0, passing=False)
    spent_s = state.spent_s + watched_s
    if spent_s >= plan.limits.checks_s:
        return replace(state, phase=Phase.REFUSED, spent_s=spent_s, cause="the checks did not pass in time")
    return replace(state, spent_s=spent_s)


def _raise_alarms(state: State, sight: Sight, watched_s: float) -> State:
    """An alarm that is up stays so until it is seen not to be."""
    alarms_s = dict(state.alarms_s)
    for name, verdict in sight.alarms.items():
        if verdict is Verdict.PASS:
            alarms_s.pop(name, None)
        elif verdict is Verdict.FAIL:
            alarms_s[name] = alarms_s[name] + watched_s if name in alarms_s else 0.0
    return replace(state, alarms_s=alarms_s)


def _mind_blindness(state: State, plan: Plan, sight: Sight, watched_s: float) -> State:
    if sight.blind is None:
        return replace(state, blind_s=0.0)
    state = replace(state, blind_s=state.blind_s + watched_s)
    if state.blind_s >= plan.limits.blind_s and (state.pause is None or state.pause.weights is Weights.STEP):
        reason = f"nothing could be seen for {plan.limits.blind_s:g} s: {sight.blind}"
        return _halt(state, reason, Weights.SAFE)
    return state


def _hold(state: State, plan: Plan, sight: Sight, watched_s: float) -> State:
    """Count towards the step's hold, and go on to the next when it is done."""
    step = plan.steps[state.step]
    gate = sight.gate if sight.share_set and sight.blind is None else Verdict.HOLD
    if gate is Verdict.FAIL:
        state = replace(state, passed_s=0.0)
    if state.pause is not None:
        return replace(state, passing=False)
    counted_s = watched_s if state.passing and gate is Verdict.PASS else 0.0
    state = replace(
        state,
        passed_s=state.passed_s + counted_s,
        spent_s=state.spent_s + watched_s,
        passing=gate is Verdict.PASS,
    )
    if state.passing and state.passed_s >= step.hold_s:
        if sight.over_hold is Verdict.PASS:
            return _next_step(state, plan)
        if sight.over_hold is Verdict.FAIL:
            state = replace(state, passed_s=0.0)
    if state.spent_s >= plan.limits.patience * step.hold_s:
        return _halt(state, f"{step.name} was not passed within {state.spent_s:.0f} s")
    return state


def _next_step(state: State, plan: Plan) -> State:
    step = state.step + 1
    anew = replace(state, passed_s=0.0, passing=False, spent_s=0.0)
    if step == len(plan.steps):
        return replace(anew, phase=Phase.PROMOTED, alarms_s={})
    return replace(anew, step=step)


def _halt(state: State, reason: str, weights: Weights = Weights.STEP) -> State:
    return replace(state, pause=Pause(CONTROLLER, reason, weights), passed_s=0.0, passing=False)


def _roll_back(state: State, cause: str, *, aborted: bool = False) -> State:
    return replace(
        state,
        phase=Phase.ROLLING_BACK,
        cause=cause,
        aborted=aborted,
        pause=None,
        passed_s=0.0,
        passing=False,
        spent_s=0.0,
        blind_s=0.0,
    )


def _recover(state: State, plan: Plan, sight: Sight, watched_s: float) -> State:
    """It ends when all has been as before for a window of its own, or with the limit, but never while the
    balancer has not confirmed that the canary gets nothing."""
    if not sight.share_set:
        return replace(state, passed_s=0.0, passing=False)
    passed_s = state.passed_s + (watched_s if state.passing else 0.0)
    state = replace(state, passed_s=passed_s, passing=True)
    end = Phase.ABORTED if state.aborted else Phase.ROLLED_BACK
    if sight.blind is None and sight.gate is Verdict.PASS and passed_s >= plan.trigger_window_s:
        return replace(state, phase=end, restored=True)
    if passed_s >= max(plan.limits.recovery_s, 2 * plan.trigger_window_s):
        return replace(state, phase=end, restored=False)
    return state

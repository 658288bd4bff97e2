"""Writes down what a controller decides, and tells people what is new in it."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from app.rollout.folder import Folder
from app.rollout.look import Look
from app.rollout.machine import Phase, share_of
from app.rollout.record import Record
from app.times import utc_now

LOOK: Final = "look"
"""The event of a look after which all is as it was."""
REFUSED: Final = "refused"
"""What the event of an order ends with that was not taken; `order` names it."""


class Journal:
    """Evidence, state and summary of one rollout; `tell` is given a line whenever something is new."""

    def __init__(self, record: Record, folder: Folder, tell: Callable[[str], None]) -> None:
        self._record = record
        self._folder = folder
        self._tell = tell
        self._told: object = None

    def write(self, event: str, look: Look | None = None, **facts: Any) -> None:
        """One decision with its numbers; when this returns, all of it is on the disk."""
        record, state = self._record, self._record.state
        decision: dict[str, Any] = {
            "at": utc_now(),
            "event": event,
            "phase": state.phase,
            "step": record.step.name,
            "share": share_of(state, record.plan),
            "confirmed_share": record.confirmed_share,
            "passed_s": round(state.passed_s, 3),
            "hold_s": record.step.hold_s,
            "pause": None if state.pause is None else asdict(state.pause),
            "cause": state.cause,
            **facts,
        }
        if look is not None:
            decision |= look.as_json(state.alarms_s)
        self._folder.add_decision(decision)
        self._folder.write_state(record.as_json())
        self._folder.write_summary(record.summary())
        self._tell_news(event, look, facts.get("reason"))

    def _tell_news(self, event: str, look: Look | None, reason: str | None) -> None:
        """A look is news where something passes, or does not, that did otherwise at the look before."""
        record, state = self._record, self._record.state
        kind = look and (record.place, state.pause, [(one.name, one.verdict) for one in look.gate])
        if look is not None and event == LOOK and kind == self._told:
            return
        self._told = kind or self._told
        why = [] if reason is None else [reason]
        if state.pause is not None:
            why.append(f"paused by {state.pause.by}: {state.pause.reason}")
        if state.phase is Phase.ROLLING_BACK and record.rollback is not None:
            why.append(f"{record.rollback.cause}: {record.rollback.text}")
        if look is not None:
            why += look.open_points() + [f"the alarm {name} is up" for name in state.alarms_s]
        share = share_of(state, record.plan)
        words = f"; {', '.join(why)}" if why else ""
        self._tell(f"{utc_now()} {record.place}, canary {share} %: {event}{words}")

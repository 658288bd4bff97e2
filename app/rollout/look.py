"""One look at a rollout: what was seen, what could not be, and what it means by the plan."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from app.rollout.balancer import Balance
from app.rollout.machine import Sight
from app.rollout.measured import Measured
from app.rollout.verdict import Finding, Verdict, worst


@dataclass(slots=True)
class Look:
    """What one look saw, before and after it was judged."""

    balance: Balance | None = None
    measured: Measured | None = None
    troubles: list[str] = field(default_factory=list)
    """Why something could not be seen."""
    foreign: str | None = None
    share_set: bool = False
    gate: Sequence[Finding] = ()
    over_hold: Sequence[Finding] = ()
    alarms: dict[str, Finding] = field(default_factory=dict)

    def sight(self) -> Sight:
        return Sight(
            gate=worst(self.gate),
            over_hold=worst(self.over_hold),
            alarms={name: finding.verdict for name, finding in self.alarms.items()},
            blind="; ".join(self.troubles) or None,
            foreign=self.foreign,
            share_set=self.share_set,
        )

    def open_points(self) -> list[str]:
        """What does not pass, in words."""
        open_ = [one.text for one in self.gate if one.verdict is not Verdict.PASS]
        return list(dict.fromkeys([*self.troubles, *open_]))

    def as_json(self, alarms_s: Mapping[str, float]) -> dict[str, Any]:
        """With how long each alarm has been up."""
        return {
            "gate": worst(self.gate),
            "findings": [asdict(finding) for finding in (*self.gate, *self.over_hold)],
            "alarms": {
                name: {**asdict(finding), "up_for_s": alarms_s.get(name)}
                for name, finding in self.alarms.items()
            },
            "troubles": self.troubles,
            "foreign": self.foreign,
            "numbers": None if self.measured is None else self.measured.as_json(),
            "balance": None if self.balance is None else asdict(self.balance),
        }

"""All that a controller must know to go on where another was killed, and the summary made of it."""

from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from pydantic import TypeAdapter, ValidationError

from app.domain.errors import RegistryError
from app.rollout.folder import DECISIONS_FILE
from app.rollout.machine import Phase, State, share_of
from app.rollout.measured import Baseline
from app.rollout.plan import Plan, Step
from app.times import utc_now

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Target:
    """What is released, and whom the controller asks."""

    release: str
    prometheus: str
    haproxy: str
    backend: str
    frontend: str
    stable_url: str
    canary_url: str
    probe_per_s: float
    """Searches that the controller sends to each version; 0 for none."""
    time_scale: float


@dataclass(slots=True)
class Users:
    """What users were answered, by the balancer's count."""

    requests: int = 0
    errors: int = 0

    @property
    def error_ratio(self) -> float:
        return self.errors / self.requests if self.requests else 0.0


@dataclass(slots=True)
class Rollback:
    cause: str
    text: str
    decided_at: str
    confirmed_at: str | None = None
    """When the balancer had no weight for the canary any more."""
    restored: bool | None = None
    restored_after_s: float | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    findings: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Record:
    target: Target
    plan: Plan
    started_at: str
    unsigned: str | None
    """Why it began without all sign-offs."""
    missing_signoffs: list[str]
    load_evidence: dict[str, Any]
    state: State = field(default_factory=State)
    confirmed_share: int | None = None
    """What the balancer was last seen to have; None: to be set."""
    baseline: Baseline | None = None
    users: dict[str, Users] = field(default_factory=dict)
    """By step or phase."""
    counters: tuple[int, int] | None = None
    """The balancer's requests and errors at the last look."""
    steps: list[dict[str, Any]] = field(default_factory=list)
    """Those passed, with their numbers."""
    rollback: Rollback | None = None
    format: int = FORMAT

    @classmethod
    def begin(
        cls,
        target: Target,
        plan: Plan,
        unsigned: str | None,
        missing_signoffs: list[str],
        load_evidence: dict[str, Any],
    ) -> Self:
        return cls(target, plan, utc_now(), unsigned, missing_signoffs, load_evidence)

    @property
    def step(self) -> Step:
        return self.plan.steps[self.state.step]

    @property
    def place(self) -> str:
        """The step's name while it rolls out, else the phase."""
        return self.step.name if self.state.phase is Phase.ROLLING_OUT else str(self.state.phase)

    def count_users(self, requests: int, errors: int) -> None:
        """Add what the balancer has counted since the last look; it counts anew when it starts anew."""
        counted = self.users.setdefault(self.place, Users())
        if self.counters is not None:
            then_requests, then_errors = self.counters
            if requests < then_requests or errors < then_errors:
                then_requests = then_errors = 0
            counted.requests += requests - then_requests
            counted.errors += errors - then_errors
        self.counters = (requests, errors)

    def users_in_all(self) -> Users:
        return Users(
            sum(one.requests for one in self.users.values()), sum(one.errors for one in self.users.values())
        )

    def as_json(self) -> dict[str, Any]:
        content = _RECORDS.dump_python(self, mode="json")
        assert isinstance(content, dict)  # noqa: S101 - for the type checker
        return content

    def summary(self) -> dict[str, Any]:
        """For people, and for the release's evidence."""
        return {
            "release": self.target.release,
            "phase": self.state.phase,
            "step": self.step.name,
            "share": share_of(self.state, self.plan),
            "confirmed_share": self.confirmed_share,
            "passed_s": round(self.state.passed_s, 1),
            "hold_s": self.step.hold_s,
            "pause": None if self.state.pause is None else asdict(self.state.pause),
            "cause": self.state.cause,
            "started_at": self.started_at,
            "updated_at": utc_now(),
            "unsigned": self.unsigned,
            "missing_signoffs": self.missing_signoffs,
            "load_evidence": self.load_evidence,
            "time_scale": self.target.time_scale,
            "baseline": None if self.baseline is None else asdict(self.baseline),
            "steps": self.steps,
            "rollback": None if self.rollback is None else asdict(self.rollback),
            "users": {place: _users(users) for place, users in self.users.items()},
            "users_in_all": _users(self.users_in_all()),
            "decisions": DECISIONS_FILE,
            "plan": self.plan.model_dump(mode="json"),
        }


_RECORDS: Final = TypeAdapter(Record)


def record_of(content: dict[str, Any], place: str) -> Record:
    """Raises RegistryError where the content was not written by a record of this format."""
    try:
        record = _RECORDS.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise RegistryError(
            f"{place}: {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}; it is of another version, "
            "or was changed by hand: set the balancer by hand, and start with another --folder"
        ) from error
    if record.format != FORMAT:
        raise RegistryError(f"{place} is of format {record.format}, this version knows {FORMAT}")
    return record


def _users(users: Users) -> dict[str, float]:
    return {
        "requests": users.requests,
        "errors": users.errors,
        "error_ratio": round(users.error_ratio, 6),
    }

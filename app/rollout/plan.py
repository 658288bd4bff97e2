"""A rollout's steps, gates, triggers and limits, as `plan.toml` has them for production."""

import math
import tomllib
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.domain.errors import RegistryError
from app.metrics import LATENCY_BUCKETS_S

PLAN_FILE: Final = Path(__file__).with_name("plan.toml")
FULL: Final = 100
STANDARD_ERRORS: Final = 3
SCRAPES_IN_WINDOW: Final = 4
"""A shorter window could lack the two samples that an increase needs."""


class PlanError(RegistryError):
    """A plan that cannot be used; `str(error)` names the field."""


def _bound(seconds: float) -> float:
    if seconds not in LATENCY_BUCKETS_S:
        known = ", ".join(str(bound) for bound in LATENCY_BUCKETS_S)
        raise ValueError(f"must be a bound of the histogram's buckets: {known}")
    return seconds


Seconds = Annotated[float, Field(gt=0, le=30 * 86_400)]
Ratio = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Bound = Annotated[float, AfterValidator(_bound)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Step(_Part):
    name: Annotated[str, Field(min_length=1, max_length=100)]
    share: Annotated[int, Field(ge=1, le=FULL)]
    """Percent of users' requests that the canary gets."""
    hold_s: Seconds
    p95_s: Bound | None = None
    """At least 95 % of requests must take no longer; without it no latency is asked for."""
    records_baseline: bool = False


class Comparison(_Part):
    """The canary's P95 may be `ratio` times stable's, or `margin_s` more, whichever is more."""

    ratio: Annotated[float, Field(ge=1, le=100)]
    margin_s: Annotated[float, Field(ge=0, le=60)]
    for_s: Seconds

    def limit_s(self, stable_p95_s: float) -> float:
        return max(self.ratio * stable_p95_s, stable_p95_s + self.margin_s)


class Refusals(_Part):
    """The canary's share of 4xx may be stable's and `margin`, and what chance makes of it, for `for_s`."""

    margin: Ratio
    for_s: Seconds

    def limit(self, stable_ratio: float, answers: float) -> float:
        """Three standard errors above: of a hundred answers a share is off by as much now and then."""
        error = math.sqrt(stable_ratio * (1 - stable_ratio) / answers)
        return stable_ratio + self.margin + STANDARD_ERRORS * error


class Trigger(_Part):
    """What was above `limit` for `for_s` seconds rolls back."""

    limit: Ratio
    for_s: Seconds


class LatencyTrigger(_Part):
    limit: Bound
    for_s: Seconds


class Triggers(_Part):
    p95: LatencyTrigger
    errors: Trigger
    connections: Trigger
    down: Trigger


class Limits(_Part):
    checks_s: Seconds
    blind_s: Seconds
    patience: Annotated[float, Field(ge=1, le=1000)]
    recovery_s: Seconds
    load_evidence_s: Seconds


class Plan(_Part):
    interval_s: Seconds
    scrape_interval_s: Seconds
    window_s: Seconds
    trigger_window_s: Seconds
    minimum_requests: Count
    trigger_minimum_requests: Count
    minimum_connections: Count
    error_ratio: Ratio
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=50)]
    comparison: Comparison
    refusals: Refusals
    triggers: Triggers
    limits: Limits

    @model_validator(mode="after")
    def _steps_lead_up(self) -> Self:
        shares = [step.share for step in self.steps]
        if shares != sorted(shares):
            raise ValueError("steps: a share must not be less than the one before")
        if shares[-1] != FULL:
            raise ValueError(f"steps: the last share must be {FULL}")
        shortest = SCRAPES_IN_WINDOW * self.scrape_interval_s
        for name in ("window_s", "trigger_window_s"):
            if getattr(self, name) < shortest:
                raise ValueError(f"{name}: must be {shortest:g} or more, {SCRAPES_IN_WINDOW} scrapes")
        return self

    @property
    def for_s(self) -> dict[str, float]:
        """Every alarm, and for how long it must last; in the order in which they are named as the cause."""
        return {
            "connections": self.triggers.connections.for_s,
            "errors": self.triggers.errors.for_s,
            "p95": self.triggers.p95.for_s,
            "down": self.triggers.down.for_s,
            "refusals": self.refusals.for_s,
            "comparison": self.comparison.for_s,
        }

    @property
    def longest_gap_s(self) -> float:
        """Between two looks; after a longer one the time between them was not watched."""
        return 3 * self.interval_s + 2

    def safe_share(self, step: int) -> int:
        """The last share whose gate was passed before this step, 0 if none was."""
        return max((one.share for one in self.steps[:step] if one.share < self.steps[step].share), default=0)

    def scaled(self, factor: float, scrape_interval_s: float | None = None) -> "Plan":
        """Times and samples multiplied, for rehearsals.

        No window becomes shorter than a few scrapes, no hold, alarm or limit shorter than a few looks; the
        limit of a recovery and the age of the evidence stay as they are.
        """
        scrape_s = self.scrape_interval_s if scrape_interval_s is None else scrape_interval_s
        interval_s = max(self.interval_s * factor, min(scrape_s, self.interval_s))

        def looks(seconds: float, least: int) -> float:
            return max(seconds * factor, min(seconds, least * interval_s))

        def window(seconds: float) -> float:
            return max(seconds * factor, SCRAPES_IN_WINDOW * scrape_s)

        def count(number: int) -> int:
            return max(round(number * factor), min(number, 5))

        content = self.model_dump()
        content |= {"interval_s": interval_s, "scrape_interval_s": scrape_s}
        content |= {name: window(content[name]) for name in ("window_s", "trigger_window_s")}
        for name in ("minimum_requests", "trigger_minimum_requests", "minimum_connections"):
            content[name] = count(content[name])
        for step in content["steps"]:
            step["hold_s"] = looks(step["hold_s"], 4)
        for alarm in (content["comparison"], content["refusals"], *content["triggers"].values()):
            alarm["for_s"] = looks(alarm["for_s"], 2)
        for name in ("checks_s", "blind_s"):
            content["limits"][name] = looks(content["limits"][name], 20)
        return Plan.model_validate(content)


def read_plan(file: Path) -> Plan:
    """Raises PlanError naming what is wrong with the file."""
    try:
        return Plan.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"--plan: cannot read {file}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"--plan: {file} is no TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        reason = first["msg"].removeprefix("Value error, ")
        raise PlanError(f"--plan: {file}: {': '.join(filter(None, (place, reason)))}") from error

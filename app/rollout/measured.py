"""The numbers of one look at both tracks."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Window:
    """What users asked of one track in some seconds."""

    seconds: float
    requests: float = 0.0
    errors: float = 0.0
    bound_s: float | None = None
    within: float = 0.0
    """Requests that took at most `bound_s`."""
    p95_s: float | None = None
    """Interpolated; None where nothing was asked."""
    answers: float = 0.0
    """To everybody: besides the requests those that were refused for who made them."""
    refused: float = 0.0
    """Answers with 4xx."""

    @property
    def error_ratio(self) -> float | None:
        return self.errors / self.requests if self.requests else None

    @property
    def refused_ratio(self) -> float | None:
        return min(1.0, self.refused / self.answers) if self.answers else None

    @property
    def within_ratio(self) -> float | None:
        return self.within / self.requests if self.requests else None


@dataclass(frozen=True, slots=True)
class Connections:
    """How often one track asked for connections to Postgres in some seconds."""

    seconds: float
    asked: float = 0.0
    failed: float = 0.0


@dataclass(frozen=True, slots=True)
class Track:
    """One version that runs."""

    window: Window
    """For gates and the comparison."""
    recent: Window
    """For triggers."""
    connections: Connections
    up: float = 0.0
    """Processes that Prometheus reaches."""
    series: float = 0.0
    """Series of requests that Prometheus has of it."""


@dataclass(frozen=True, slots=True)
class Measured:
    stable: Track
    canary: Track
    over_hold: Window | None = None
    """Of the canary, over the step's whole hold, when that is nearly done."""
    stable_over_hold: Window | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Baseline:
    """How stable was, to compare with after a rollback."""

    taken_at: str
    seconds: float
    requests: float
    p95_s: float
    error_ratio: float


def baseline_of(window: Window, taken_at: str) -> Baseline | None:
    """None where the window has no requests."""
    if window.p95_s is None or window.error_ratio is None:
        return None
    return Baseline(taken_at, window.seconds, window.requests, window.p95_s, window.error_ratio)

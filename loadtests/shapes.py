"""The load tests' shapes and thresholds, as `shapes.toml` has them."""

import tomllib
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

SHAPES_FILE: Final = Path(__file__).with_name("shapes.toml")
_LEAST_WARM_UP_S: Final = 10.0
"""In which all users begin, and the bare handler is taught."""

Positive = Annotated[float, Field(gt=0, le=1e6)]


class LoadTestError(Exception):
    """A load test that cannot be made; `str(error)` is one line with the way out."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Thresholds(_Part):
    """What a run must keep to; what is not set is not judged."""

    failed: Annotated[int, Field(ge=0)] | None = None
    """At most so many requests may fail, of both sides."""
    rate_ratio: Annotated[float, Field(gt=0, le=1)] | None = None
    """At least this part of the rate must be reached, by either side."""
    p95_ms: Positive | None = None
    p95_above_bare_ms: Positive | None = None
    disturbed_p95_ratio: Positive | None = None
    """At most so many times the quiet P95, across each refresh and each rebuild."""
    rss_growth_ratio: Positive | None = None
    """At most so many times as much memory in the last fifth of the run as in the first, of each process."""

    def without_latency(self) -> "Thresholds":
        return self.model_copy(update=dict.fromkeys(("p95_ms", "p95_above_bare_ms", "disturbed_p95_ratio")))


class UserShares(_Part):
    """How many of each class there are among as many users as all of them together."""

    known_symbol: Annotated[int, Field(ge=1)]
    typing: Annotated[int, Field(ge=1)]
    browsing: Annotated[int, Field(ge=1)]
    batch_lookup: Annotated[int, Field(ge=1)]
    profiles: Annotated[int, Field(ge=1)]


class CorpusChoice(_Part):
    """Which instruments are asked for, and how often the first ones more than the last."""

    instruments: Annotated[int, Field(ge=1, le=1_000_000)]
    zipf_exponent: Annotated[float, Field(ge=0, le=10)]
    seed: int


class Shape(_Part):
    """A load over time."""

    rate_per_s: Positive
    pacing_s: Positive
    """Every user makes one request in so many seconds."""
    warm_up_s: Positive
    seconds: Positive
    """That are measured, of each side."""
    turn_s: Positive | None = None
    """Service and bare handler take turns of so many seconds; without it they are asked side by side."""
    disturb_every_s: Positive | None = None
    disturbed_s: Positive = 10
    """The least that counts as the time of a disturbance: shorter ones have too few requests."""
    thresholds: Thresholds
    scaled_thresholds: Thresholds = Thresholds()

    def without_latency(self) -> "Shape":
        """The same load, its latency measured but not judged."""
        return self.model_copy(
            update={
                "thresholds": self.thresholds.without_latency(),
                "scaled_thresholds": self.scaled_thresholds.without_latency(),
            }
        )

    def warm_up_of(self, seconds: float) -> float:
        """How long a run of so many seconds warms up: a shorter one than the shape's for as much less."""
        return min(self.warm_up_s, max(_LEAST_WARM_UP_S, self.warm_up_s * seconds / self.seconds))

    def thresholds_at(self, factor: float) -> Thresholds:
        """Those that hold at so many times the rate."""
        if factor <= 1:
            return self.thresholds
        return self.thresholds.model_copy(update=self.scaled_thresholds.model_dump(exclude_none=True))


class Shapes(_Part):
    users: UserShares
    corpus: CorpusChoice
    burst: Shape
    sustained: Shape


def read_shapes(file: Path) -> Shapes:
    """Raises LoadTestError naming what is wrong with the file."""
    try:
        return Shapes.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise LoadTestError(f"--shapes: cannot read {file}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise LoadTestError(f"--shapes: {file} is no TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise LoadTestError(f"--shapes: {file}: {place}: {first['msg'].lower()}") from error

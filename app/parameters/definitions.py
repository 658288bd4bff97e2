"""The parameters that operations tune, with bounds, units and production defaults.

They carry the bare names that a configuration service knows them by, without `REGISTRY_`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias, TypeGuard

from annotated_types import Ge, Le
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from app.environment import EnvironmentModel

Value: TypeAlias = bool | int | float

_SHOWN_CHARACTERS: Final = 40


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a person who tunes a parameter must know."""

    unit: str | None
    meaning: str
    mitigation: str
    """What holds while the configuration service lacks it, and what to do."""


class Parameters(EnvironmentModel):
    """As the environment sets them."""

    model_config = SettingsConfigDict(env_prefix="")

    search_timeout: Annotated[
        int,
        Field(ge=1, le=60_000),
        Tuning(
            "ms",
            "Time after which Redis gives a search up.",
            "5000 ms holds. Searches and suggestions do not notice, for REGISTRY_REDIS_SEARCH_MS ends them "
            "earlier; saved searches of profiles may take Redis for longer than was meant. Set "
            "SEARCH_TIMEOUT=5000 in the environment of every API process and indexer until it is registered.",
        ),
    ] = 5000
    max_results_per_page: Annotated[
        int,
        Field(ge=1, le=1000),
        Tuning(
            None,
            "Largest limit of a page.",
            "100 holds. Callers who were promised longer pages get 400 naming the limit, and shorter ones "
            "are not enforced. Set MAX_RESULTS_PER_PAGE=100 in the environment of every API process until it "
            "is registered.",
        ),
    ] = 100
    query_optimization: Annotated[
        bool,
        Tuning(
            None,
            "Whether searches take short cuts: an identifier is not looked for otherwise, and pages in an "
            "order are read without sorting everything that matches. False: everything is looked at, for "
            "comparison.",
            "true holds, which is right in production: answers are the same, and faster. Set "
            "QUERY_OPTIMIZATION=false in the environment only to compare.",
        ),
    ] = True
    cache_ttl_seconds: Annotated[
        int,
        Field(ge=0, le=86_400),
        Tuning(
            "s",
            "Time that an answer is kept for at most; 0: none is kept.",
            "300 s holds. Answers are no staler for it, because a change of the index ends them. To keep "
            "none, set CACHE_TTL_SECONDS=0 in the environment of every API process.",
        ),
    ] = 300
    search_index_refresh: Annotated[
        float,
        Field(ge=0.1, le=3600),
        Tuning(
            "s",
            "Time between two refreshes of the index, at most.",
            "30 s holds: a change is found within 30 s even if the indexer was not woken. Set "
            "SEARCH_INDEX_REFRESH=30 in the environment of every indexer and API process, the same in all, "
            "until it is registered.",
        ),
    ] = 30.0


@dataclass(frozen=True, slots=True)
class Definition:
    """One parameter, as data."""

    field: str
    kind: type[Value]
    minimum: float | None
    """None, as `maximum`, where it has no bounds."""
    maximum: float | None
    default: Value
    tuning: Tuning

    @property
    def name(self) -> str:
        return self.field.upper()

    @property
    def allowed_text(self) -> str:
        """What it may be, in words."""
        if self.kind is bool:
            return "true or false"
        number = "a whole number" if self.kind is int else "a number"
        unit = f" {self.tuning.unit}" if self.tuning.unit else ""
        return f"{number} from {self.minimum:g} to {self.maximum:g}{unit}"

    def checked(self, value: object) -> Value:
        """A configuration service's value, if it may be used. Raises ValueError with the way out."""
        if self._is_allowed(value):
            return self.kind(value)
        raise ValueError(f"must be {self.allowed_text}, and is {repr(value)[:_SHOWN_CHARACTERS]}")

    def _is_allowed(self, value: object) -> TypeGuard[Value]:
        if self.kind is bool or isinstance(value, bool):
            return self.kind is bool and isinstance(value, bool)
        if not isinstance(value, int if self.kind is int else (int, float)):
            return False
        assert self.minimum is not None and self.maximum is not None  # noqa: S101 - only flags have none
        return self.minimum <= value <= self.maximum


def _definitions() -> Iterator[Definition]:
    for name, field in Parameters.model_fields.items():
        assert isinstance(field.annotation, type)  # noqa: S101 - of each: bool, int or float
        (tuning,) = _of_kind(field.metadata, Tuning)
        minimum, maximum = _of_kind(field.metadata, Ge), _of_kind(field.metadata, Le)
        yield Definition(
            name,
            field.annotation,
            minimum[0].ge if minimum else None,
            maximum[0].le if maximum else None,
            field.default,
            tuning,
        )


def _of_kind(metadata: list[Any], kind: type) -> list[Any]:
    return [one for one in metadata if isinstance(one, kind)]


DEFINITIONS: Final = tuple(_definitions())
NAMES: Final = tuple(definition.name for definition in DEFINITIONS)

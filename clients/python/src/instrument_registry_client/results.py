"""What the client adds to the service's JSON: what stood in the headers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from instrument_registry_client.models import Instrument, SearchAnswer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Versioned(Generic[T]):
    """Something that was read, and its version's ETag, which a write to it needs."""

    value: T
    etag: str


@dataclass(frozen=True, slots=True)
class SearchPage:
    answer: SearchAnswer
    source: str
    """`cache`, `redis`, or `postgres`: the search was a degraded one."""
    generation: int | None
    """Of the index that answered; None: Postgres did."""
    age_s: float | None
    """Seconds since that index last equalled Postgres; None: not known."""

    @classmethod
    def of(cls, answer: SearchAnswer, headers: Mapping[str, str]) -> Self:
        generation, age = headers.get("X-Index-Generation", "none"), headers.get("X-Index-Age", "inf")
        return cls(
            answer,
            headers.get("X-Search-Source", ""),
            None if generation == "none" else int(generation),
            None if age == "inf" else float(age),
        )

    @property
    def hits(self) -> list[Instrument]:
        return self.answer["hits"]

    @property
    def total(self) -> int:
        return self.answer["total"]

    @property
    def next_cursor(self) -> str | None:
        return self.answer["next_cursor"]


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a profile or its instruments."""

    number: int
    """Resumes the stream behind it."""
    kind: str
    """`ready`, `created`, `updated`, `instruments`, `membership`, `reset` or `deleted`."""
    data: dict[str, Any]

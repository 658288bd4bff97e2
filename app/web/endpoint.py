"""What the project says of an endpoint: its route, who may use it, what it takes and what it answers.

The router, the boundary and the description at /openapi.json all read this.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from aiohttp import web
from pydantic import BaseModel, TypeAdapter

from app.domain.errors import RegistryError
from app.domain.query_schema import Schema
from app.web import headers
from app.web.headers import Header

JSON: Final = ("application/json",)
NDJSON: Final = ("application/x-ndjson",)
MERGE_PATCH: Final = ("application/merge-patch+json", "application/json")
INDEX_HEADERS: Final = (
    headers.SEARCH_SOURCE,
    headers.INDEX_GENERATION,
    headers.INDEX_AGE,
    headers.SERVER_TIMING,
)
"""Of answers that a search gave."""
OPTIONAL_INDEX_HEADERS: Final = tuple(header.optional() for header in INDEX_HEADERS)
"""Of answers for which perhaps nothing was searched."""


def id_of(kind: Any) -> Mapping[str, Schema]:
    """The variable `id` of a path, which is described as that type is."""
    return {"id": TypeAdapter(kind).json_schema()}


Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint answers when nothing is wrong. `model` None: no JSON.

    Several of one status differ in their media types alone.
    """

    model: type[BaseModel] | None
    status: HTTPStatus = HTTPStatus.OK
    headers: tuple[Header, ...] = ()
    media_type: str | None = "application/json"
    """None: no body."""
    example: Mapping[str, object] = field(default_factory=dict)
    """Where this differs from the example of the model's fields."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method at one path. `scope` None: open to everybody, and nobody is asked who they are.

    What follows from these facts is not said again: `app.web.openapi.errors_of` has the rules.
    """

    name: str
    method: str
    path: str
    handler: Handler
    """Unique: endpoints are found by it."""
    scope: str | None
    media_types: tuple[str, ...] = ()
    """What its body may be; none: it takes no body."""
    summary: str = field(kw_only=True)
    answers: tuple[Answer, ...] = field(kw_only=True)
    body: type[BaseModel] | None = field(default=None, kw_only=True)
    """What its body holds; of a merge patch, what it is applied to."""
    identifiers: Mapping[str, Schema] = field(default_factory=dict, kw_only=True)
    """Each variable part of the path."""
    query: Callable[[int], Schema] | None = field(default=None, kw_only=True)
    """What its query string may hold, given MAX_RESULTS_PER_PAGE."""
    headers: tuple[Header, ...] = field(default=(), kw_only=True)
    """Request headers that it heeds."""
    errors: tuple[type[RegistryError], ...] = field(default=(), kw_only=True)
    """What may go wrong besides what follows from the above."""
    errors_as_text: bool = field(default=False, kw_only=True)
    """Its problems are sent as their detail alone."""
    is_stream: bool = field(default=False, kw_only=True)
    """It answers for as long as both sides like: its time is no latency, and there is no HEAD of it."""
    looks_at_callers: bool = field(default=False, kw_only=True)
    """Although it is open: a credential that is sent must be valid, and the request is counted."""
    is_bulk: bool = field(default=False, kw_only=True)
    """Its body is read piece by piece, and has a limit of its own."""

    @property
    def admits(self) -> bool:
        """Whether it finds out who calls."""
        return self.scope is not None or self.looks_at_callers


ENDPOINT: Final = web.RequestKey("endpoint", Endpoint)
"""Where a request was routed to."""

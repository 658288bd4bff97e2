"""The JSON that operations are answered, as models for its description: the index and its jobs, parameters,
health."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from app.parameters.live import Source
from app.store.index_jobs import JobKind, JobState
from app.store.refreshes import RefreshEntry
from app.web.answers import InstrumentId, Shown


class IndexJob(Shown):
    """Something that was asked of the indexer."""

    id: int
    kind: JobKind
    state: JobState
    requested_by: str
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    phase: str | None
    done: int
    """Documents, in this phase; of `total`."""
    total: int | None
    rate: float | None
    """Documents a second, in this phase."""
    eta_s: float | None
    """Seconds until the phase ends, at that rate."""
    cancelled_by: str | None
    """Who asked for it to be cancelled; it may have been too late."""
    generation: int | None
    """What it made live."""
    checks: dict[str, int] | None
    """What was verified before that, by how many."""
    error: str | None


class IndexGeneration(Shown):
    number: int
    state: str
    """`building`, `live`, `kept` (to go back to), or `failed`."""
    created_at: datetime
    live_at: datetime | None
    documents: int | None
    """Now, in Redis; null where its index is not there."""


class ParkedRow(Shown):
    instrument: InstrumentId
    reason: str


class IndexState(Shown):
    """The search index of this version's schema."""

    schema_: Annotated[str, Field(alias="schema")]
    live_generation: int | None
    generations: list[IndexGeneration]
    rows: int
    """In Postgres."""
    age_s: float | None
    """Seconds since the live generation last equalled Postgres."""
    oldest_unindexed_s: float | None
    """For how long the oldest change waits that it does not have; null: it has all."""
    last_refreshes: list[RefreshEntry]
    """Those that found changes, newest first."""
    leader: str | None
    """The indexer that writes it; null: none runs."""
    parked: int
    """Rows that no documents can be made of, as they are now."""
    parked_rows: list[ParkedRow]
    """The first of them."""
    redis_memory_bytes: int | None
    redis_error: str | None
    """Why nothing is known of Redis; null: it answers."""


class IndexJobs(Shown):
    """What the indexer was asked for, newest first."""

    jobs: list[IndexJob]
    next_before: int | None
    """`before` of the next page; null on the last."""


class Parameter(Shown):
    """What operations tune, as it holds now."""

    name: str
    value: bool | int | float
    unit: str | None
    minimum: float | None
    maximum: float | None
    default: bool | int | float
    source: Source
    """`service (last good)`: the configuration service does not answer, or has no usable value any more."""
    problem: str | None
    """Why the configuration service's value does not hold, where it should."""
    since: datetime
    """When value, source or problem last changed."""


class ConfigServiceState(Shown):
    """The configuration service, as this process sees it."""

    kind: Literal["etcd", "http"]
    url: str
    """Without user and password."""
    up: bool
    problem: str | None
    read_at: datetime | None
    """When it was last read."""


class Config(Shown):
    """The parameters of the process that answers."""

    parameters: list[Parameter]
    service: ConfigServiceState | None
    """Null: none is set."""


class Liveness(Shown):
    status: Literal["up"]
    version: str
    release: str
    """What the deployment calls it (REGISTRY_RELEASE), else the version."""


class Readiness(Shown):
    """Each part in its own word."""

    status: Literal["ready", "degraded", "unavailable", "draining"]
    """`draining`: the process was asked to end, and is about to stop listening."""
    postgres: Literal["up", "down"]
    redis: Literal["up", "down"]
    index: Literal["fresh", "stale", "filling", "unknown"]
    profile_copies: Literal["readable", "unused"]
    """Where profiles are read: from Redis, or from Postgres until its copies can be trusted."""
    index_generation: int | None
    index_age_s: float | None
    """Seconds since the index last equalled Postgres."""


class Caller(Shown):
    """Who calls, and what it may do."""

    name: str
    """As in logs and in the history."""
    owner: str
    """Whom its profiles belong to."""
    anonymous: bool
    """It sent no credential."""
    scopes: list[str]
    expires_at: datetime | None
    """From then on it is not let in."""

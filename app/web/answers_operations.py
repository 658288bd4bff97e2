"""The JSON that operations are answered, as models for its description: the index and its jobs, parameters,
health."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.parameters.live import Source
from app.store.index_jobs import JobKind, JobState
from app.store.refreshes import RefreshEntry
from app.web.answers import InstrumentId, NextBefore, Shown

_REFRESHED: Final = {"at": "2026-01-31T09:30:00Z", "seconds": 0.031, "read": 12, "written": 12, "removed": 0}


class IndexJob(Shown):
    """Something that was asked of the indexer."""

    id: Annotated[int, Field(examples=[17])]
    kind: Annotated[JobKind, Field(examples=["rebuild"])]
    state: Annotated[JobState, Field(examples=["running"])]
    requested_by: Annotated[str, Field(examples=["key:operations"])]
    requested_at: datetime
    started_at: datetime | None
    finished_at: Annotated[datetime | None, Field(examples=[None])]
    phase: Annotated[str | None, Field(examples=["loading"])]
    done: Annotated[int, Field(examples=[120_000])]
    """Documents, in this phase; of `total`."""
    total: Annotated[int | None, Field(examples=[268_522])]
    rate: Annotated[float | None, Field(examples=[30_000.0])]
    """Documents a second, in this phase."""
    eta_s: Annotated[float | None, Field(examples=[5.0])]
    """Seconds until the phase ends, at that rate."""
    cancelled_by: Annotated[str | None, Field(examples=[None])]
    """Who asked for it to be cancelled; it may have been too late."""
    generation: Annotated[int | None, Field(examples=[None])]
    """What it made live."""
    checks: Annotated[dict[str, int] | None, Field(examples=[None])]
    """What was verified before that, by how many."""
    error: Annotated[str | None, Field(examples=[None])]


class IndexGeneration(Shown):
    number: Annotated[int, Field(examples=[4])]
    state: Annotated[str, Field(examples=["live"])]
    """`building`, `live`, `kept` (to go back to), or `failed`."""
    created_at: datetime
    live_at: datetime | None
    documents: Annotated[int | None, Field(examples=[268_522])]
    """Now, in Redis; null where its index is not there."""


class ParkedRow(Shown):
    instrument: InstrumentId
    reason: str


class IndexState(Shown):
    """The search index of this version's schema."""

    schema_: Annotated[str, Field(alias="schema", examples=["9c1185a5c5e9"])]
    live_generation: Annotated[int | None, Field(examples=[4])]
    generations: list[IndexGeneration]
    rows: Annotated[int, Field(examples=[268_522])]
    """In Postgres."""
    age_s: Annotated[float | None, Field(examples=[0.4])]
    """Seconds since the live generation last equalled Postgres."""
    oldest_unindexed_s: Annotated[float | None, Field(examples=[None])]
    """For how long the oldest change waits that it does not have; null: it has all."""
    last_refreshes: Annotated[list[RefreshEntry], Field(examples=[[_REFRESHED]])]
    """Those that found changes, newest first."""
    leader: Annotated[str | None, Field(examples=["indexer-1:4711:1769851800000000000"])]
    """The indexer that writes it; null: none runs."""
    parked: Annotated[int, Field(examples=[0])]
    """Rows that no documents can be made of, as they are now."""
    parked_rows: Annotated[list[ParkedRow], Field(examples=[[]])]
    """The first of them."""
    redis_memory_bytes: Annotated[int | None, Field(examples=[424_000_000])]
    redis_error: Annotated[str | None, Field(examples=[None])]
    """Why nothing is known of Redis; null: it answers."""


class IndexJobs(Shown):
    """What the indexer was asked for, newest first."""

    jobs: list[IndexJob]
    next_before: NextBefore
    """`before` of the next page; null on the last."""


class Parameter(Shown):
    """What operations tune, as it holds now."""

    name: Annotated[str, Field(examples=["SEARCH_TIMEOUT"])]
    value: Annotated[bool | int | float, Field(examples=[2000])]
    unit: Annotated[str | None, Field(examples=["ms"])]
    minimum: Annotated[float | None, Field(examples=[1])]
    maximum: Annotated[float | None, Field(examples=[60_000])]
    default: Annotated[bool | int | float, Field(examples=[5000])]
    source: Annotated[Source, Field(examples=["service"])]
    """`service (last good)`: the configuration service does not answer, or has no usable value any more."""
    problem: Annotated[str | None, Field(examples=[None])]
    """Why the configuration service's value does not hold, where it should."""
    since: datetime
    """When value, source or problem last changed."""


class ConfigServiceState(Shown):
    """The configuration service, as this process sees it."""

    kind: Literal["etcd", "http"]
    url: Annotated[str, Field(examples=["http://etcd:2379/registry/"])]
    """Without user and password."""
    up: bool
    problem: Annotated[str | None, Field(examples=[None])]
    read_at: datetime | None
    """When it was last read."""


class Config(Shown):
    """The parameters of the process that answers."""

    parameters: list[Parameter]
    service: ConfigServiceState | None
    """Null: none is set."""


class Liveness(Shown):
    status: Literal["up"]
    version: Annotated[str, Field(examples=["1.4.0"])]
    release: Annotated[str, Field(examples=["1.4.0"])]
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
    index_generation: Annotated[int | None, Field(examples=[4])]
    index_age_s: Annotated[float | None, Field(examples=[0.4])]
    """Seconds since the index last equalled Postgres."""


class Caller(Shown):
    """Who calls, and what it may do."""

    name: Annotated[str, Field(examples=["key:trading-desk"])]
    """As in logs and in the history."""
    owner: Annotated[str, Field(examples=["trading-desk"])]
    """Whom its profiles belong to."""
    anonymous: Annotated[bool, Field(examples=[False])]
    """It sent no credential."""
    scopes: Annotated[list[str], Field(examples=[["instruments:read", "profiles:write"]])]
    expires_at: datetime | None
    """From then on it is not let in."""


class Description(BaseModel):
    """An OpenAPI document."""

    model_config = ConfigDict(extra="allow")

    openapi: Annotated[str, Field(examples=["3.1.0"])]
    info: Annotated[dict[str, Any], Field(examples=[{"title": "Instrument Registry", "version": "1.4.0"}])]
    paths: Annotated[dict[str, Any], Field(examples=[{}])]
    components: Annotated[dict[str, Any], Field(examples=[{}])]

"""The JSON that the service answers, as models for its description.

Answers themselves are not made from these, but where they are read (`app.search.document`,
`app.store.profile_rows`): finished once as bytes. A test compares real answers with these models.
"""

from datetime import date, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from app.domain.errors import FieldError
from app.domain.identifiers import IDENTIFIER_FIELDS
from app.domain.instrument import (
    MAX_NAME_LENGTH,
    MAX_SYMBOL_LENGTH,
    PUBLIC_ID_PATTERN,
    AssetClass,
    Status,
)
from app.domain.member_edit import Result
from app.domain.profile import Channel, Delivery, ProfileStatus, Selection
from app.store.index_jobs import JobKind, JobState
from app.store.instruments import HistoryEntry
from app.store.profile_rows import PUBLIC_ID_PATTERN as PROFILE_ID_PATTERN
from app.store.profile_rows import ProfileEvent

DecimalText = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?$", examples=["0.01"])]
InstrumentId = Annotated[str, Field(pattern=PUBLIC_ID_PATTERN, examples=["ins_272"])]
ProfileId = Annotated[str, Field(pattern=PROFILE_ID_PATTERN)]


class _Shown(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


_identifiers: Final[dict[str, Any]] = dict.fromkeys(IDENTIFIER_FIELDS, str | None)
Identifiers = create_model("Identifiers", __base__=_Shown, **_identifiers)


class Instrument(_Shown):
    """One listing: a symbol at a venue."""

    id: InstrumentId
    """Stays when the symbol changes."""
    symbol: Annotated[str, Field(max_length=MAX_SYMBOL_LENGTH)]
    name: Annotated[str, Field(max_length=MAX_NAME_LENGTH)]
    asset_class: AssetClass
    status: Status
    mic: str | None
    """ISO 10383; null where the source names no market."""
    exchange: str | None
    """The source's own code."""
    currency: str | None
    """ISO 4217."""
    country: str | None
    """Of the issuer, ISO 3166-1 alpha-2."""
    sector: str | None
    industry: str | None
    identifiers: Identifiers
    primary: bool
    """Whether this is the issuer's primary listing."""
    cfi: str | None
    """ISO 10962."""
    aliases: list[str]
    listed_on: date | None
    delisted_on: date | None
    tick_size: DecimalText | None
    lot_size: DecimalText | None
    contract: dict[str, Any] | None
    """Of a derivative: its terms."""
    attributes: dict[str, Any]
    version: int
    updated_at: datetime


class _Searched(_Shown):
    partial: Literal[True] = True
    """There only when a limit cut the search short."""
    partial_reason: str = ""
    """Goes with `partial`."""


class SearchResult(_Searched):
    hits: list[Instrument]
    total: Annotated[int, Field(ge=0)]
    """How many match; on the pages behind a cursor, as on the first."""
    total_is_exact: bool
    next_cursor: str | None
    """Leads to the next page; null on the last."""


class ResolvedInstruments(_Searched):
    """Listed instruments in their order, those of a saved search in the search's order."""

    instruments: list[Instrument]
    total: Annotated[int, Field(ge=0)]
    total_is_exact: bool
    next_cursor: str | None
    """Leads to the next page; null on the last."""


class Suggestions(_Searched):
    suggestions: list[Instrument]


class InstrumentHistory(_Shown):
    """Changes, newest first."""

    history: list[HistoryEntry]
    next_before: int | None
    """`before` of the next page; null on the last."""


class ProfileSummary(_Shown):
    """A subscription profile without its selection."""

    id: ProfileId
    owner: str
    version: int
    created_at: datetime
    updated_at: datetime
    name: str
    description: str
    channels: list[Channel]
    delivery: Delivery
    status: ProfileStatus
    instrument_count: int | None
    """How many instruments are listed; null where a query selects them."""


class Profile(ProfileSummary):
    """A subscription profile."""

    selection: Selection


class ProfileList(_Shown):
    """Profiles in the order of their creation."""

    profiles: list[ProfileSummary]
    next_cursor: str | None
    """Leads to the next page; null on the last."""


class MemberEditItem(_Shown):
    """What became of one instrument."""

    field: Annotated[str, Field(examples=["add[0]"])]
    instrument: str
    """As it was sent."""
    result: Result
    message: str = ""
    """Why it was rejected; absent otherwise."""


class MemberEditReport(_Shown):
    """What became of an edit of a profile's listed instruments."""

    profile_id: ProfileId
    version: int
    instrument_count: int
    added: int
    removed: int
    unchanged: int
    rejected: int
    items: list[MemberEditItem] = []
    """There only when `atomic` is false: one by one, first those to add, then those to remove."""


class ProfileEvents(_Shown):
    """What happened to a profile, newest first."""

    events: list[ProfileEvent]
    next_before: int | None
    """`before` of the next page; null on the last."""


class Change(_Shown):
    """An instrument that was created or changed; `instrument` null: it was deleted."""

    id: InstrumentId
    instrument: Instrument | None


class Changes(_Shown):
    """What changed since a position, in the order of the transactions; deletions last."""

    changes: list[Change]
    next: str
    """`since` of the next request."""
    more: bool
    """Whether there are others already."""


class IndexJob(_Shown):
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


class IndexGeneration(_Shown):
    number: int
    state: str
    """`building`, `live`, `kept` (to go back to), or `failed`."""
    created_at: datetime
    live_at: datetime | None
    documents: int | None
    """Now, in Redis; null where its index is not there."""


class IndexState(_Shown):
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
    leader: str | None
    """The indexer that writes it; null: none runs."""
    redis_memory_bytes: int


class IndexJobs(_Shown):
    """What the indexer was asked for, newest first."""

    jobs: list[IndexJob]
    next_before: int | None
    """`before` of the next page; null on the last."""


class Liveness(_Shown):
    status: Literal["up"]


class Readiness(_Shown):
    """Each part in its own word."""

    status: Literal["ready", "degraded", "unavailable"]
    postgres: Literal["up", "down"]
    redis: Literal["up", "down"]
    index: Literal["fresh", "stale", "filling", "unknown"]
    profile_copies: Literal["readable", "unused"]
    """Where profiles are read: from Redis, or from Postgres until its copies can be trusted."""
    index_generation: int | None
    index_age_s: float | None
    """Seconds since the index last equalled Postgres."""


class Service(_Shown):
    """What runs here, and paths to begin with."""

    service: str
    version: str
    search: str
    suggest: str
    health: str
    metrics: str
    openapi: str


class Problem(_Shown):
    """What went wrong (RFC 9457)."""

    type: str
    """A URN; one for each title."""
    title: str
    status: int
    detail: str
    """What is wrong with this request, and the way out."""
    instance: str
    """The request id."""
    errors: list[FieldError] = []
    """The fields at fault, if any."""

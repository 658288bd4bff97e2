"""What the service sends and takes, as typed dictionaries: its JSON, neither copied nor converted.

Reading a page costs no more than decoding it, what a newer service adds is passed on, and a document that
was read can be sent back.
"""

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

AssetClass: TypeAlias = Literal[
    "equity", "etf", "fund", "index", "currency", "crypto", "money_market", "future", "option", "bond"
]
Status: TypeAlias = Literal["active", "suspended", "delisted"]
IdentifierType: TypeAlias = Literal[
    "isin", "cusip", "sedol", "figi", "composite_figi", "share_class_figi", "lei", "symbol", "alias", "id"
]
Channel: TypeAlias = Literal["trades", "quotes", "bars", "book", "reference"]
ProfileStatus: TypeAlias = Literal["active", "paused"]
JobKind: TypeAlias = Literal["refresh", "rebuild", "rollback", "repair"]
JobState: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]


class Identifiers(TypedDict):
    isin: str | None
    cusip: str | None
    sedol: str | None
    figi: str | None
    composite_figi: str | None
    share_class_figi: str | None
    lei: str | None


class Instrument(TypedDict):
    """One listing: a symbol at a venue. Of a search with `fields` only these are there.

    Dates and times are texts of ISO 8601, prices and sizes decimal texts.
    """

    id: str
    symbol: str
    name: str
    asset_class: AssetClass
    status: Status
    mic: str | None
    exchange: str | None
    currency: str | None
    country: str | None
    sector: str | None
    industry: str | None
    identifiers: Identifiers
    primary: bool
    cfi: str | None
    aliases: list[str]
    listed_on: str | None
    delisted_on: str | None
    tick_size: str | None
    lot_size: str | None
    contract: dict[str, Any] | None
    attributes: dict[str, Any]
    version: int
    updated_at: str


class FacetValue(TypedDict):
    value: str
    count: int


class Facet(TypedDict):
    values: list[FacetValue]
    other: int
    missing: int


class SearchOptions(TypedDict, total=False):
    """What a search takes besides its text; a filter is one value or several."""

    asset_class: str | list[str]
    mic: str | list[str]
    currency: str | list[str]
    country: str | list[str]
    sector: str | list[str]
    status: str | list[str]
    sort: Literal["relevance", "symbol", "name", "-updated_at"]
    limit: int
    offset: int
    cursor: str
    highlight: bool
    fields: str
    explain: bool
    facets: str | list[str]
    facet_limit: int


class SearchAnswer(TypedDict):
    hits: list[Instrument]
    total: int
    total_is_exact: bool
    next_cursor: str | None
    did_you_mean: NotRequired[str]
    warning: NotRequired[str]
    highlights: NotRequired[list[dict[str, list[tuple[int, int]]]]]
    explanations: NotRequired[list[dict[str, Any]]]
    plan: NotRequired[dict[str, Any]]
    facets: NotRequired[dict[str, Facet]]
    partial: NotRequired[bool]
    partial_reason: NotRequired[str]


class ResolvedInstruments(TypedDict):
    instruments: list[Instrument]
    total: int
    total_is_exact: bool
    next_cursor: str | None
    partial: NotRequired[bool]
    partial_reason: NotRequired[str]


class HistoryEntry(TypedDict):
    version: int
    operation: str
    changed_at: str
    actor: str | None
    request_id: str | None
    changes: dict[str, dict[str, Any]]


class InstrumentHistory(TypedDict):
    history: list[HistoryEntry]
    next_before: int | None


class Identifier(TypedDict):
    """What to look up, and what narrows it."""

    type: IdentifierType
    value: str
    mic: NotRequired[str | None]
    currency: NotRequired[str | None]
    asset_class: NotRequired[str | None]
    as_of: NotRequired[str | None]


class FieldError(TypedDict):
    field: str
    message: str
    line: NotRequired[int]


class Refusal(TypedDict):
    detail: str
    errors: list[FieldError]


class LookupResult(TypedDict, total=False):
    """What one identifier names: `matches` with `total` and `ambiguous`, or `error`."""

    matches: list[Instrument]
    total: int
    ambiguous: bool
    warning: str
    partial: bool
    partial_reason: str
    error: Refusal


class Change(TypedDict):
    """An instrument that was created or changed; `instrument` None: it was deleted."""

    id: str
    instrument: Instrument | None


class Changes(TypedDict):
    changes: list[Change]
    next: str
    more: bool


class Delivery(TypedDict, total=False):
    mode: Literal["streaming", "conflated", "snapshot"]
    interval_ms: int | None
    bar_interval: Literal["1s", "1m", "5m", "15m", "1h", "1d"] | None
    book_depth: int | None


class Selection(TypedDict, total=False):
    """Either `instruments`, by their ids, or `query`. In a patch, None removes one."""

    instruments: list[str] | None
    query: dict[str, Any] | None


class ProfileDocument(TypedDict):
    """A profile as it is created or replaced."""

    name: str
    channels: list[Channel]
    selection: Selection
    description: NotRequired[str]
    delivery: NotRequired[Delivery]
    status: NotRequired[ProfileStatus]


class ProfilePatch(TypedDict, total=False):
    """What of a profile is to be changed (RFC 7396)."""

    name: str
    channels: list[Channel]
    selection: Selection
    description: str
    delivery: Delivery
    status: ProfileStatus


class ProfileSummary(TypedDict):
    id: str
    owner: str
    version: int
    created_at: str
    updated_at: str
    name: str
    description: str
    channels: list[Channel]
    delivery: Delivery
    status: ProfileStatus
    instrument_count: int | None


class Profile(ProfileSummary):
    selection: Selection


class ProfileList(TypedDict):
    profiles: list[ProfileSummary]
    next_cursor: str | None


class MemberEditItem(TypedDict):
    field: str
    instrument: str
    result: Literal["added", "removed", "unchanged", "rejected"]
    message: NotRequired[str]


class MemberEditReport(TypedDict):
    profile_id: str
    version: int
    instrument_count: int
    added: int
    removed: int
    unchanged: int
    rejected: int
    items: NotRequired[list[MemberEditItem]]


class ProfileEvent(TypedDict):
    number: int
    kind: str
    at: str
    version: int
    actor: str | None
    request_id: str | None
    detail: dict[str, Any]


class ProfileEvents(TypedDict):
    events: list[ProfileEvent]
    next_before: int | None


class IndexJob(TypedDict):
    id: int
    kind: JobKind
    state: JobState
    requested_by: str
    requested_at: str
    started_at: str | None
    finished_at: str | None
    phase: str | None
    done: int
    total: int | None
    rate: float | None
    eta_s: float | None
    cancelled_by: str | None
    generation: int | None
    checks: dict[str, int] | None
    error: str | None


class IndexGeneration(TypedDict):
    number: int
    state: str
    created_at: str
    live_at: str | None
    documents: int | None


class IndexState(TypedDict):
    schema: str
    live_generation: int | None
    generations: list[IndexGeneration]
    rows: int
    age_s: float | None
    oldest_unindexed_s: float | None
    last_refreshes: list[dict[str, Any]]
    leader: str | None
    parked: int
    parked_rows: list[dict[str, str]]
    redis_memory_bytes: int | None
    redis_error: str | None

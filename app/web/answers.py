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
from app.search.facets import Facet
from app.store.instruments import HistoryEntry
from app.store.profile_rows import PUBLIC_ID_PATTERN as PROFILE_ID_PATTERN
from app.store.profile_rows import ProfileEvent

DecimalText = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?$", examples=["0.01"])]
InstrumentId = Annotated[str, Field(pattern=PUBLIC_ID_PATTERN, examples=["ins_272"])]
ProfileId = Annotated[str, Field(pattern=PROFILE_ID_PATTERN)]


class Shown(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


_identifiers: Final[dict[str, Any]] = dict.fromkeys(IDENTIFIER_FIELDS, str | None)
Identifiers = create_model("Identifiers", __base__=Shown, **_identifiers)


class Instrument(Shown):
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


class Searched(Shown):
    partial: Literal[True] = True
    """There only when a limit cut the search short."""
    partial_reason: str = ""
    """Goes with `partial`."""


def _without_default(schema: dict[str, Any]) -> None:
    """Absent, and not null, where it was not asked for."""
    del schema["default"]


_perhaps: Final[dict[str, Any]] = {
    name: (field.annotation, Field(None, json_schema_extra=_without_default))
    for name, field in Instrument.model_fields.items()
}
PartialInstrument = create_model(
    "PartialInstrument",
    __base__=Shown,
    __doc__="An instrument of which only the `fields` that were asked for are shown.",
    **_perhaps,
)


class Explanation(Shown):
    """Why a hit stands where it does: one with more `lead`, `begins_lead` and `prominence` comes first."""

    way: str | None
    """How it matches; null where the search has no text, or another order."""
    lead: int
    """What that is worth."""
    begins_lead: int
    """That its name begins as was typed."""
    prominence: int
    points: dict[str, int]
    """What makes the prominence."""


class ProfiledSearch(Shown):
    """What Redis was asked, and what it says of the work when it is asked once more."""

    command: list[str | int]
    profile: dict[str, Any]


class Plan(Shown):
    """How a search was carried out."""

    name: str
    """As in `Server-Timing` and in metrics."""
    searches: list[ProfiledSearch]


class SearchResult(Searched):
    hits: list[Instrument] | list[PartialInstrument]
    """With `fields`, only these of each."""
    total: Annotated[int, Field(ge=0)]
    """How many match; on the pages behind a cursor, as on the first."""
    total_is_exact: bool
    next_cursor: str | None
    """Leads to the next page; null on the last."""
    did_you_mean: str = ""
    """There only when nothing was found as it was typed: what finds these hits."""
    warning: str = ""
    """There only when the text looks like an identifier and is none; it was searched for as it is."""
    highlights: list[dict[str, list[tuple[int, int]]]] = []
    """There only if asked for: of each hit, a field's path (`name`, `aliases.0`, `identifiers.isin`) to the
    spans that match, each from a character to the one behind the last, in Unicode code points."""
    explanations: list[Explanation] = []
    """There only if asked for, and from the index: of each hit."""
    plan: Plan | None = None
    """There only with explanations."""
    facets: dict[str, Facet] = {}
    """There only when asked for, and never from Postgres: of all hits, by their values of each field."""


class ResolvedInstruments(Searched):
    """Listed instruments in their order, those of a saved search in the search's order."""

    instruments: list[Instrument]
    total: Annotated[int, Field(ge=0)]
    total_is_exact: bool
    next_cursor: str | None
    """Leads to the next page; null on the last."""


class Suggestions(Searched):
    suggestions: list[Instrument]


class InstrumentHistory(Shown):
    """Changes, newest first."""

    history: list[HistoryEntry]
    next_before: int | None
    """`before` of the next page; null on the last."""


class BulkProblem(Shown):
    """Why a line was rejected."""

    line: int
    """Counted from 1."""
    field: str
    message: str


class BulkReport(Shown):
    """What became of the lines of a bulk write."""

    created: int
    updated: int
    delisted: int
    """Or are to be, at a time that lies ahead."""
    unchanged: int
    rejected: int
    """Only where `atomic` is false."""
    errors: list[BulkProblem]
    """The first of those rejected, field by field."""


class ProfileSummary(Shown):
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


class ProfileList(Shown):
    """Profiles in the order of their creation."""

    profiles: list[ProfileSummary]
    next_cursor: str | None
    """Leads to the next page; null on the last."""


class MemberEditItem(Shown):
    """What became of one instrument."""

    field: Annotated[str, Field(examples=["add[0]"])]
    instrument: str
    """As it was sent."""
    result: Result
    message: str = ""
    """Why it was rejected; absent otherwise."""


class MemberEditReport(Shown):
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


class ProfileEvents(Shown):
    """What happened to a profile, newest first."""

    events: list[ProfileEvent]
    next_before: int | None
    """`before` of the next page; null on the last."""


class Change(Shown):
    """An instrument that was created or changed; `instrument` null: it was deleted."""

    id: InstrumentId
    instrument: Instrument | None


class Changes(Shown):
    """What changed since a position, in the order of the transactions; deletions last."""

    changes: list[Change]
    next: str
    """`since` of the next request."""
    more: bool
    """Whether there are others already."""


class Problem(Shown):
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

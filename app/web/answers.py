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
from app.domain.query_schema import BEFORE, CURSOR, SINCE
from app.search.facets import Facet
from app.store.instruments import HistoryEntry
from app.store.profile_rows import PUBLIC_ID_PATTERN as PROFILE_ID_PATTERN
from app.store.profile_rows import ProfileEvent
from app.web.headers import REQUEST_ID

DecimalText = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?$", examples=["0.01"])]
InstrumentId = Annotated[str, Field(pattern=PUBLIC_ID_PATTERN, examples=["ins_272"])]
ProfileId = Annotated[
    str, Field(pattern=PROFILE_ID_PATTERN, examples=["prf_0190f3c2a1b47c5d8e9f001122334455"])
]
Version = Annotated[int, Field(examples=[3])]
Count = Annotated[int, Field(ge=0, examples=[3])]
NextCursor = Annotated[str | None, Field(examples=CURSOR["examples"])]
NextBefore = Annotated[int | None, Field(examples=BEFORE["examples"])]
_APPLE: Final = {
    "isin": "US0378331005",
    "cusip": "037833100",
    "sedol": "2046251",
    "figi": "BBG000B9Y5X2",
    "composite_figi": "BBG000B9XRY4",
    "share_class_figi": "BBG001S5N8V8",
    "lei": "HWUPKR0MPOU8FGXBT394",
}
_RENAMED: Final = {
    "version": 3,
    "operation": "updated",
    "changed_at": "2026-01-31T09:30:00Z",
    "actor": "key:trading-desk",
    "request_id": REQUEST_ID.example,
    "changes": {"name": {"from": "Apple Computer, Inc.", "to": "Apple Inc."}},
}
_PAUSED: Final = {
    "number": 3,
    "kind": "updated",
    "at": "2026-01-31T09:30:00Z",
    "version": 3,
    "actor": "key:trading-desk",
    "request_id": REQUEST_ID.example,
    "detail": {"changes": {"status": {"from": "active", "to": "paused"}}},
}


class Shown(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


_identifiers: Final[dict[str, Any]] = {
    name: Annotated[str | None, Field(examples=[_APPLE[name]])] for name in IDENTIFIER_FIELDS
}
Identifiers = create_model("Identifiers", __base__=Shown, **_identifiers)


class Instrument(Shown):
    """One listing: a symbol at a venue."""

    id: InstrumentId
    """Stays when the symbol changes."""
    symbol: Annotated[str, Field(max_length=MAX_SYMBOL_LENGTH, examples=["AAPL"])]
    name: Annotated[str, Field(max_length=MAX_NAME_LENGTH, examples=["Apple Inc."])]
    asset_class: AssetClass
    status: Status
    mic: Annotated[str | None, Field(examples=["XNAS"])]
    """ISO 10383; null where the source names no market."""
    exchange: Annotated[str | None, Field(examples=["NASDAQ"])]
    """The source's own code."""
    currency: Annotated[str | None, Field(examples=["USD"])]
    """ISO 4217."""
    country: Annotated[str | None, Field(examples=["US"])]
    """Of the issuer, ISO 3166-1 alpha-2."""
    sector: Annotated[str | None, Field(examples=["Information Technology"])]
    industry: Annotated[str | None, Field(examples=["Technology Equipment"])]
    identifiers: Identifiers
    primary: bool
    """Whether this is the issuer's primary listing."""
    cfi: Annotated[str | None, Field(examples=["ESVUFR"])]
    """ISO 10962."""
    aliases: Annotated[list[str], Field(examples=[["Apple Computer"]])]
    listed_on: Annotated[date | None, Field(examples=["1980-12-12"])]
    delisted_on: Annotated[date | None, Field(examples=[None])]
    tick_size: DecimalText | None
    lot_size: Annotated[DecimalText | None, Field(examples=["1"])]
    contract: Annotated[dict[str, Any] | None, Field(examples=[None])]
    """Of a derivative: its terms."""
    attributes: Annotated[dict[str, Any], Field(examples=[{"website": "apple.com"}])]
    version: Version
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
    total: Count
    """How many match; on the pages behind a cursor, as on the first."""
    total_is_exact: bool
    next_cursor: NextCursor
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
    total: Count
    total_is_exact: bool
    next_cursor: NextCursor
    """Leads to the next page; null on the last."""


class Suggestions(Searched):
    suggestions: list[Instrument]


class InstrumentHistory(Shown):
    """Changes, newest first."""

    history: Annotated[list[HistoryEntry], Field(examples=[[_RENAMED]])]
    next_before: NextBefore
    """`before` of the next page; null on the last."""


class BulkProblem(Shown):
    """Why a line was rejected."""

    line: Annotated[int, Field(examples=[4])]
    """Counted from 1."""
    field: Annotated[str, Field(examples=["mic"])]
    message: Annotated[
        str, Field(examples=["is no ISO 10383 market identifier code (four letters or digits)"])
    ]


class BulkReport(Shown):
    """What became of the lines of a bulk write."""

    created: Annotated[int, Field(examples=[2])]
    updated: Annotated[int, Field(examples=[1])]
    delisted: Annotated[int, Field(examples=[0])]
    """Or are to be, at a time that lies ahead."""
    unchanged: Annotated[int, Field(examples=[0])]
    rejected: Annotated[int, Field(examples=[1])]
    """Only where `atomic` is false."""
    errors: list[BulkProblem]
    """The first of those rejected, field by field."""


class ProfileSummary(Shown):
    """A subscription profile without its selection."""

    id: ProfileId
    owner: Annotated[str, Field(examples=["trading-desk"])]
    version: Version
    created_at: datetime
    updated_at: datetime
    name: Annotated[str, Field(examples=["Apples"])]
    description: Annotated[str, Field(examples=["What the desk trades"])]
    channels: list[Channel]
    delivery: Annotated[Delivery, Field(examples=[{"mode": "conflated", "interval_ms": 250}])]
    status: ProfileStatus
    instrument_count: Annotated[int | None, Field(examples=[1])]
    """How many instruments are listed; null where a query selects them."""


class Profile(ProfileSummary):
    """A subscription profile."""

    selection: Annotated[Selection, Field(examples=[{"instruments": ["ins_272"]}])]


class ProfileList(Shown):
    """Profiles in the order of their creation."""

    profiles: list[ProfileSummary]
    next_cursor: NextCursor
    """Leads to the next page; null on the last."""


class MemberEditItem(Shown):
    """What became of one instrument."""

    field: Annotated[str, Field(examples=["add[0]"])]
    instrument: Annotated[str, Field(examples=["ins_272"])]
    """As it was sent."""
    result: Result
    message: str = ""
    """Why it was rejected; absent otherwise."""


class MemberEditReport(Shown):
    """What became of an edit of a profile's listed instruments."""

    profile_id: ProfileId
    version: Version
    instrument_count: Annotated[int, Field(examples=[1])]
    added: Annotated[int, Field(examples=[1])]
    removed: Annotated[int, Field(examples=[1])]
    unchanged: Annotated[int, Field(examples=[0])]
    rejected: Annotated[int, Field(examples=[0])]
    items: list[MemberEditItem] = []
    """There only when `atomic` is false: one by one, first those to add, then those to remove."""


class ProfileEvents(Shown):
    """What happened to a profile, newest first."""

    events: Annotated[list[ProfileEvent], Field(examples=[[_PAUSED]])]
    next_before: NextBefore
    """`before` of the next page; null on the last."""


class Change(Shown):
    """An instrument that was created or changed; `instrument` null: it was deleted."""

    id: InstrumentId
    instrument: Instrument | None


class Changes(Shown):
    """What changed since a position, in the order of the transactions; deletions last."""

    changes: list[Change]
    next: Annotated[str, Field(examples=SINCE["examples"])]
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

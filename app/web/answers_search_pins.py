"""The JSON that is answered about search pins, as models for its description."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from app.domain.search_pin import PUBLIC_ID_PATTERN
from app.web.answers import InstrumentId, NextBefore, NextCursor, Shown, Version
from app.web.headers import REQUEST_ID

PinId = Annotated[str, Field(pattern=PUBLIC_ID_PATTERN, examples=["pin_3"])]


class PinContent(Shown):
    """What a pin says."""

    query: Annotated[str, Field(examples=["apple"])]
    instruments: list[InstrumentId]
    """In the order in which they come first."""
    note: Annotated[str, Field(examples=["not the hospital trust"])]


class SearchPin(PinContent):
    """What comes first for a query."""

    id: PinId
    version: Version
    created_at: datetime
    updated_at: datetime


class SearchPins(Shown):
    """Pins in the order of their creation."""

    pins: list[SearchPin]
    next_cursor: NextCursor
    """Leads to the next page; null on the last."""


class SearchPinEvent(Shown):
    """One change of a pin: what it was and became; null: it was not there."""

    version: Version
    operation: Annotated[Literal["created", "updated", "deleted"], Field(examples=["updated"])]
    at: datetime
    actor: Annotated[str, Field(examples=["key:trading-desk"])]
    request_id: Annotated[str | None, Field(examples=[REQUEST_ID.example])]
    before: PinContent | None
    after: PinContent | None


class SearchPinEvents(Shown):
    """What happened to a pin, newest first."""

    events: list[SearchPinEvent]
    next_before: NextBefore
    """`before` of the next page; null on the last."""

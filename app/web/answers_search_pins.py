"""The JSON that is answered about search pins, as models for its description."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from app.domain.search_pin import PUBLIC_ID_PATTERN
from app.web.answers import InstrumentId, Shown

PinId = Annotated[str, Field(pattern=PUBLIC_ID_PATTERN, examples=["pin_3"])]


class PinContent(Shown):
    """What a pin says."""

    query: str
    instruments: list[InstrumentId]
    """In the order in which they come first."""
    note: str


class SearchPin(PinContent):
    """What comes first for a query."""

    id: PinId
    version: int
    created_at: datetime
    updated_at: datetime


class SearchPins(Shown):
    """Pins in the order of their creation."""

    pins: list[SearchPin]
    next_cursor: str | None
    """Leads to the next page; null on the last."""


class SearchPinEvent(Shown):
    """One change of a pin: what it was and became; null: it was not there."""

    version: int
    operation: Literal["created", "updated", "deleted"]
    at: datetime
    actor: str
    request_id: str | None
    before: PinContent | None
    after: PinContent | None


class SearchPinEvents(Shown):
    """What happened to a pin, newest first."""

    events: list[SearchPinEvent]
    next_before: int | None
    """`before` of the next page; null on the last."""

"""What a subscription profile is: which instruments and channels, how delivered; valid, or refused by field.

A profile comes as JSON. Its shape is checked by pydantic models, its meaning here, and every field that
is wrong is named at once. What comes out can be stored: only the existence of its instruments and the
uniqueness of its name are left to the database.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from app.domain.errors import FieldError, InvalidInput
from app.domain.instrument import PUBLIC_ID_PATTERN, parse_public_id, public_id
from app.domain.json_model import at_most, read_model
from app.domain.query import MAX_FILTER_VALUES, Search, parse_saved_search
from app.domain.query_schema import saved_search

MAX_DESCRIPTION_LENGTH: Final = 1000
MAX_MEMBERS: Final = 10_000
"""That a service may be set to allow."""


class Channel(StrEnum):
    TRADES = "trades"
    QUOTES = "quotes"
    BARS = "bars"
    BOOK = "book"
    REFERENCE = "reference"


class ProfileStatus(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"


class DeliveryMode(StrEnum):
    STREAMING = "streaming"
    """Every message as it comes."""
    CONFLATED = "conflated"
    """At most one message per instrument and channel in each interval, the newest."""
    SNAPSHOT = "snapshot"
    """The whole state once per interval."""


class BarInterval(StrEnum):
    SECOND = "1s"
    MINUTE = "1m"
    FIVE_MINUTES = "5m"
    QUARTER_HOUR = "15m"
    HOUR = "1h"
    DAY = "1d"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Delivery(_Part):
    """How a profile's messages are sent. Absent options are not shown."""

    mode: DeliveryMode = DeliveryMode.STREAMING
    interval_ms: Annotated[int, Field(strict=True, ge=10, le=86_400_000)] | None = None
    bar_interval: BarInterval | None = None
    book_depth: Annotated[int, Field(strict=True, ge=1, le=1000)] | None = None


def _as_list(value: object) -> object:
    if not isinstance(value, str | list):
        raise PydanticCustomError("text_or_texts", "must be a text or a list of texts")
    return [value] if isinstance(value, str) else value


_Texts: TypeAlias = Annotated[
    list[str],
    BeforeValidator(_as_list),
    at_most(MAX_FILTER_VALUES, "values"),
]
"""One value of a filter, or several."""


_MemberId: TypeAlias = Annotated[str, Field(strict=True, json_schema_extra={"pattern": PUBLIC_ID_PATTERN})]
_SavedSearch: TypeAlias = Annotated[dict[str, _Texts], WithJsonSchema(saved_search())]


class Selection(_Part):
    """Either `instruments`, by their ids, or `query`, whose hits may change with time."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["instruments"], "properties": {"instruments": {"type": "array"}}},
                {"required": ["query"], "properties": {"query": {"type": "object"}}},
            ]
        }
    )
    instruments: Annotated[list[_MemberId] | None, at_most(MAX_MEMBERS, "instruments")] = None
    query: _SavedSearch | None = None


class ProfileTraits(_Part):
    """What a subscription profile says besides what it selects."""

    name: Annotated[str, Field(strict=True)]
    description: Annotated[str, Field(strict=True, max_length=MAX_DESCRIPTION_LENGTH)] = ""
    channels: Annotated[
        list[Channel],
        at_most(len(Channel), "channels"),
        Field(json_schema_extra={"minItems": 1, "uniqueItems": True}),
    ]
    delivery: Delivery = Delivery()
    status: ProfileStatus = ProfileStatus.ACTIVE


class ProfileDocument(ProfileTraits):
    """What a subscription profile says: which instruments and channels, how delivered."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "European ETFs",
                    "channels": ["trades", "bars"],
                    "selection": {"query": {"asset_class": ["etf"], "currency": ["EUR"]}},
                    "delivery": {"mode": "conflated", "interval_ms": 250, "bar_interval": "1m"},
                }
            ]
        }
    )
    selection: Selection


@dataclass(frozen=True, slots=True)
class ProfileLimits:
    """What is refused on write, before anything is stored."""

    profiles_per_owner: int
    members: int
    name_length: int


@dataclass(frozen=True, slots=True)
class Profile:
    """A valid profile's content. Exactly one of `instruments` and `query` is not None."""

    name: str
    description: str
    channels: tuple[Channel, ...]
    """Each once, in the order of the enumeration."""
    instruments: tuple[int, ...] | None
    """Numbers of the members, each once, in the caller's order."""
    query: Search | None
    """The saved search of a dynamic profile; its limit and offset mean nothing."""
    delivery: Delivery
    status: ProfileStatus


def parse_profile(document: object, limits: ProfileLimits) -> Profile:
    """The profile that a JSON value describes. Raises InvalidInput naming every bad field."""
    given = read_model(ProfileDocument, document)
    errors = list(_trait_errors(given, limits))
    instruments, query = _parse_selection(given.selection, limits, errors)
    return _profile(given, instruments, query, errors)


def parse_traits(document: object, limits: ProfileLimits, profile: Profile) -> Profile:
    """What a JSON value without a selection describes, with the selection of `profile`.

    Raises InvalidInput naming every bad field.
    """
    given = read_model(ProfileTraits, document)
    return _profile(given, profile.instruments, profile.query, list(_trait_errors(given, limits)))


def profile_document(profile: Profile) -> dict[str, Any]:
    """The JSON value that `parse_profile` reads, of a profile."""
    return {**traits_document(profile), "selection": selection_document(profile)}


def traits_document(profile: Profile) -> dict[str, Any]:
    """The JSON value that `parse_traits` reads, of a profile."""
    return {
        "name": profile.name,
        "description": profile.description,
        "channels": list(profile.channels),
        "delivery": profile.delivery.model_dump(mode="json", exclude_none=True),
        "status": profile.status,
    }


def selection_document(profile: Profile) -> dict[str, Any]:
    if profile.query is not None:
        return {"query": query_document(profile.query)}
    return {"instruments": [public_id(number) for number in profile.instruments or ()]}


def query_document(query: Search) -> dict[str, Any]:
    """A saved search as it is stored and shown."""
    filters = {name: list(values) for name, values in query.filters.items()}
    return {"q": query.text, **filters} if query.text else filters


def _profile(
    given: ProfileTraits,
    instruments: tuple[int, ...] | None,
    query: Search | None,
    errors: Sequence[FieldError],
) -> Profile:
    if errors:
        raise InvalidInput(*errors)
    channels = tuple(channel for channel in Channel if channel in given.channels)
    name = given.name.strip()
    return Profile(name, given.description, channels, instruments, query, given.delivery, given.status)


def _trait_errors(given: ProfileTraits, limits: ProfileLimits) -> Iterable[FieldError]:
    name = given.name.strip()
    if not 1 <= len(name) <= limits.name_length:
        yield FieldError("name", f"must have 1 to {limits.name_length} characters")
    elif not name.isprintable():
        yield FieldError("name", "must be printable, on one line")
    if not all(character.isprintable() or character in "\n\t" for character in given.description):
        yield FieldError("description", "contains control characters; leave them out")
    if not given.channels:
        yield FieldError("channels", f"is empty; choose from {', '.join(Channel)}")
    elif len(set(given.channels)) < len(given.channels):
        yield FieldError("channels", "names a channel twice")
    yield from _delivery_errors(given.delivery, given.channels)


def _delivery_errors(delivery: Delivery, channels: Sequence[Channel]) -> Iterable[FieldError]:
    if delivery.mode is DeliveryMode.STREAMING and delivery.interval_ms is not None:
        yield FieldError("delivery.interval_ms", "has no meaning when mode is streaming; leave it out")
    if delivery.mode is not DeliveryMode.STREAMING and delivery.interval_ms is None:
        yield FieldError("delivery.interval_ms", f"is required when mode is {delivery.mode}")
    if delivery.bar_interval is not None and Channel.BARS not in channels:
        yield FieldError("delivery.bar_interval", "needs the channel bars")
    if delivery.book_depth is not None and Channel.BOOK not in channels:
        yield FieldError("delivery.book_depth", "needs the channel book")


def _parse_selection(
    selection: Selection, limits: ProfileLimits, errors: list[FieldError]
) -> tuple[tuple[int, ...] | None, Search | None]:
    if selection.instruments is not None and selection.query is not None:
        errors.append(
            FieldError(
                "selection", "holds both instruments and query; give one (in a patch, set the other null)"
            )
        )
    elif selection.instruments is not None:
        if not selection.instruments:
            errors.append(FieldError("selection.instruments", "is empty; name at least one instrument"))
        return _members(selection.instruments, "selection.instruments", limits, errors), None
    elif selection.query is not None:
        try:
            return None, parse_saved_search(selection.query, "selection.query")
        except InvalidInput as error:
            errors += error.errors
    else:
        errors.append(
            FieldError("selection", "is empty; give instruments (a list of ids) or query (filters)")
        )
    return None, None


def _members(
    values: Sequence[str], field: str, limits: ProfileLimits, errors: list[FieldError]
) -> tuple[int, ...]:
    if len(values) > limits.members:
        errors.append(
            FieldError(field, f"has {len(values)} instruments; at most {limits.members} are allowed")
        )
        return ()
    places: dict[int, int] = {}
    for place, value in enumerate(values):
        number = parse_public_id(value)
        if number is None:
            errors.append(FieldError(f"{field}[{place}]", f"is not an instrument id like {public_id(1)}"))
        elif number in places:
            errors.append(
                FieldError(
                    f"{field}[{place}]", f"repeats {value}, which is at place {places[number]} already"
                )
            )
        else:
            places[number] = place
    return tuple(places)

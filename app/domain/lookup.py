"""Batches of identifiers to look up: parsed one by one, so that one which cannot be used fails nobody else.

A wrong check digit is told, and the identifier looked up all the same: data are not always right.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Annotated, Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, SkipValidation

from app.domain.days import parse_day
from app.domain.errors import FieldError, InvalidInput
from app.domain.identifiers import IDENTIFIER_FIELDS, InvalidIdentifier, canonical_identifier
from app.domain.instrument import AssetClass, parse_public_id, public_id
from app.domain.json_model import at_most, read_model
from app.domain.query import NO_CONTROLS, Given
from app.domain.symbols import symbols_of_ticker
from app.domain.text import holds_controls, identifier_key, symbol_key

MAX_IDENTIFIERS: Final = 1_000
MAX_VALUE_LENGTH: Final = 100
SYMBOL: Final = "symbol"
ALIAS: Final = "alias"
ID: Final = "id"
KINDS: Final = (*IDENTIFIER_FIELDS, SYMBOL, ALIAS, ID)
KINDS_OF_ISSUES: Final = frozenset({"isin", "cusip", "composite_figi", "share_class_figi"})
"""Those that name an issue: that it has several listings leaves nothing open."""
NARROWING: Final = ("asset_class", "mic", "currency")
_REMEMBERED: Final = 4_096
_WARNINGS_REMEMBERED: Final = 16_384


class Sought(NamedTuple):
    """What an instrument must hold to match: one of `keys` as one of `kinds`. None elsewhere: anything."""

    kinds: tuple[str, ...]
    keys: tuple[str, ...]
    """As `compared` makes them."""
    ticker: str | None = None
    """What the symbol is without its venue's suffix, where `keys` hold it with those of several."""
    mics: frozenset[str] | None = None
    currency: str | None = None
    asset_classes: frozenset[str] | None = None
    statuses: frozenset[str] | None = None
    as_of: date | None = None
    """It had the symbol on that day."""
    warning: str | None = None
    """What is odd about the identifier itself."""


class IdentifierDocument(BaseModel):
    """One identifier, and what the instrument must be besides."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    type: Annotated[str, Field(strict=True, json_schema_extra={"enum": list(KINDS)})]
    value: Annotated[str, Field(strict=True, min_length=1, max_length=MAX_VALUE_LENGTH)]
    """In any case; an identifier with or without spaces and hyphens."""
    mic: Annotated[str | None, Field(strict=True, examples=["XNAS"])] = None
    """ISO 10383. With it a symbol is also found by its ticker, without the suffix of the venue."""
    currency: Annotated[str | None, Field(strict=True, examples=["USD"])] = None
    """ISO 4217, or a unit of the trade such as GBX."""
    asset_class: Annotated[str | None, Field(strict=True, examples=[AssetClass.EQUITY])] = None
    as_of: Annotated[str | None, Field(strict=True, examples=["2020-01-31"])] = None
    """Of a symbol: the day on which the instrument had it."""


class LookupDocument(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"identifiers": [{"type": "isin", "value": "US0378331005"}]}]},
    )

    # Each is read by itself: what is wrong with one is no error of the batch.
    identifiers: Annotated[
        list[SkipValidation[IdentifierDocument]],
        at_most(MAX_IDENTIFIERS, "identifiers"),
        Field(json_schema_extra={"minItems": 1, "maxItems": MAX_IDENTIFIERS}),
    ]


def parse_lookup(document: object) -> list[Sought | InvalidInput]:
    """What a JSON value asks for, in order; InvalidInput in place of what cannot be used.

    Raises InvalidInput where it is no list of 1 to MAX_IDENTIFIERS.
    """
    given: Sequence[Any] = read_model(LookupDocument, document).identifiers
    if not given:
        raise InvalidInput.of("identifiers", f"is empty; give 1 to {MAX_IDENTIFIERS}")
    return [_parsed(item, place) for place, item in enumerate(given)]


def _parsed(item: object, place: int) -> Sought | InvalidInput:
    try:
        if isinstance(item, dict) and len(item) == 2:
            kind, value = item.get("type"), item.get("value")
            if isinstance(kind, str) and isinstance(value, str):
                return _not_narrowed(kind, value)
        return _sought(read_model(IdentifierDocument, item))
    except InvalidInput as refusal:
        field = f"identifiers[{place}]"
        return InvalidInput(
            *(
                FieldError(field if error.field == "body" else f"{field}.{error.field}", error.message)
                for error in refusal.errors
            )
        )


@lru_cache(_REMEMBERED)
def _not_narrowed(kind: str, value: str) -> Sought:
    """Remembered: callers come back with the same. Raises InvalidInput."""
    return _sought(read_model(IdentifierDocument, {"type": kind, "value": value}))


def _sought(document: IdentifierDocument) -> Sought:
    """Raises InvalidInput naming every bad field."""
    kind = document.type.strip().lower()
    narrowing = [(name, value) for name in NARROWING if (value := getattr(document, name)) is not None]
    given = Given(narrowing, known=NARROWING)
    if kind not in KINDS:
        given.refuse("type", f"must be one of {', '.join(KINDS)}")
    elif holds_controls(document.value):
        given.refuse("value", NO_CONTROLS)
    elif not (key := compared(kind, document.value)):
        given.refuse("value", f"must be an id like {public_id(1)}" if kind == ID else "is empty")
    as_of = None
    if document.as_of is not None:
        if kind != SYMBOL:
            given.refuse("as_of", f"is for the type {SYMBOL}; leave it out")
        elif (as_of := parse_day(document.as_of)) is None:
            given.refuse("as_of", "must be a date like 2020-01-31")
    filters: Mapping[str, tuple[str, ...]] = given.filters() if narrowing else {}
    given.raise_if_refused()
    mics = filters.get("mic")
    return Sought(
        (kind,),
        symbols_of_ticker(key, mics) if mics and kind == SYMBOL else (key,),
        ticker=key if mics and kind == SYMBOL else None,
        mics=frozenset(mics) if mics else None,
        currency=filters["currency"][0] if "currency" in filters else None,
        asset_classes=frozenset(filters["asset_class"]) if "asset_class" in filters else None,
        as_of=as_of,
        warning=_warning(kind, key),
    )


def compared(kind: str, text: str) -> str:
    """`text` in the form in which values of this kind are compared; "" where none can be it."""
    if kind == ID:
        number = parse_public_id(text.strip().lower())
        return "" if number is None else public_id(number)
    key = symbol_key(text)
    return key if kind in (SYMBOL, ALIAS) else identifier_key(key)


@lru_cache(_WARNINGS_REMEMBERED)
def _warning(kind: str, key: str) -> str | None:
    """Remembered: a check costs a third of a lookup, and callers come back with the same."""
    if kind in IDENTIFIER_FIELDS:
        try:
            canonical_identifier(kind, key)
        except InvalidIdentifier as error:
            return f"is no valid {kind}: {error}; it was looked up as it is"
    return None

"""Search pins: instruments that must come first for a query, whatever their rank."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from app.domain.errors import FieldError, InvalidInput
from app.domain.instrument import PUBLIC_ID_PATTERN as INSTRUMENT_ID_PATTERN
from app.domain.instrument import parse_public_id, public_id
from app.domain.json_model import at_most, read_model
from app.domain.query import MAX_QUERY_LENGTH, Given
from app.domain.text import query_key

MAX_INSTRUMENTS: Final = 10
MAX_NOTE_LENGTH: Final = 1000
MAX_KEY_LENGTH: Final = 800
ID_PREFIX: Final = "pin_"
PUBLIC_ID_PATTERN: Final = f"^{ID_PREFIX}[1-9][0-9]{{0,17}}$"
_PUBLIC_ID: Final = re.compile(PUBLIC_ID_PATTERN)


class SearchPinDocument(BaseModel):
    """What comes first for a query."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [{"query": "apple", "instruments": ["ins_272"], "note": "not the hospital trust"}]
        },
    )

    query: Annotated[
        str, Field(strict=True, json_schema_extra={"minLength": 1, "maxLength": MAX_QUERY_LENGTH})
    ]
    """A text as it is searched for; compared by its words, without regard to case and accents."""
    instruments: Annotated[
        list[Annotated[str, Field(strict=True, json_schema_extra={"pattern": INSTRUMENT_ID_PATTERN})]],
        at_most(MAX_INSTRUMENTS, "instruments"),
        Field(json_schema_extra={"minItems": 1, "maxItems": MAX_INSTRUMENTS, "uniqueItems": True}),
    ]
    """In the order in which they are to come."""
    note: Annotated[str, Field(strict=True, max_length=MAX_NOTE_LENGTH)] = ""


@dataclass(frozen=True, slots=True)
class SearchPin:
    """`key` is the query as queries are compared, `instruments` are numbers, each once."""

    query: str
    key: str
    instruments: tuple[int, ...]
    note: str


def parse_search_pin(document: object) -> SearchPin:
    """The pin that a JSON value describes. Raises InvalidInput naming every bad field."""
    given = read_model(SearchPinDocument, document)
    errors: list[FieldError] = []
    query = ""
    try:
        query = _query(given.query)
    except InvalidInput as error:
        errors += error.errors
    numbers = [parse_public_id(text) for text in given.instruments]
    if not numbers:
        errors.append(FieldError("instruments", "is empty; name at least one instrument"))
    for place, number in enumerate(numbers):
        if number is None:
            errors.append(FieldError(f"instruments[{place}]", f"is not an instrument id like {public_id(1)}"))
        elif number in numbers[:place]:
            errors.append(FieldError(f"instruments[{place}]", f"repeats {public_id(number)}"))
    if not all(character.isprintable() or character in "\n\t" for character in given.note):
        errors.append(FieldError("note", "contains control characters; leave them out"))
    if errors:
        raise InvalidInput(*errors)
    instruments = tuple(number for number in numbers if number is not None)
    return SearchPin(query, query_key(query), instruments, given.note)


def pin_document(pin: SearchPin) -> dict[str, Any]:
    """The JSON value that `parse_search_pin` reads, of a pin."""
    return {
        "query": pin.query,
        "instruments": [public_id(number) for number in pin.instruments],
        "note": pin.note,
    }


def public_pin_id(number: int) -> str:
    return f"{ID_PREFIX}{number}"


def parse_pin_id(text: str) -> int | None:
    """The number behind a public id; None where no pin can have it."""
    return int(text.removeprefix(ID_PREFIX)) if _PUBLIC_ID.fullmatch(text) else None


def _query(text: str) -> str:
    """A query as searches take it. Raises InvalidInput."""
    given = Given([("query", text)], known=("query",))
    query = given.text("query", None)
    given.raise_if_refused()
    if not 1 <= len(query_key(query)) <= MAX_KEY_LENGTH:
        raise InvalidInput.of("query", "has nothing to be found by, or too much once it is spelled out")
    return query

"""What the query string of a write of instruments may hold."""

from collections.abc import Sequence
from typing import Final

from app.domain.instrument_write import Effective, parse_effective
from app.domain.query import Given
from app.domain.query_schema import Schema, query_of

DELISTING_FIELDS: Final = ("effective_at",)
BULK_FIELDS: Final = ("atomic",)
_TRUTHS: Final = ("true", "false")


def delisting_schema(_max_limit: int) -> Schema:
    """What `parse_delisting` reads, as JSON Schema."""
    effective_at = {
        "anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}],
        "description": "when, a date (UTC) or a time, which may lie ahead; absent: now",
    }
    return query_of(DELISTING_FIELDS, {"effective_at": effective_at})


def bulk_schema(_max_limit: int) -> Schema:
    """What `parse_bulk` reads, as JSON Schema."""
    atomic = {
        "type": "string",
        "enum": list(_TRUTHS),
        "default": "true",
        "description": "all lines or none; `false`: those that can be applied, and a report of the others",
    }
    return query_of(BULK_FIELDS, {"atomic": atomic})


def parse_delisting(pairs: Sequence[tuple[str, str]]) -> Effective | None:
    """When a delisting takes effect; None: now. Raises InvalidInput."""
    given = Given(pairs, known=DELISTING_FIELDS)
    text = given.single("effective_at")
    effective = None
    try:
        effective = None if text is None else parse_effective(text)
    except ValueError as error:
        given.refuse("effective_at", str(error))
    given.raise_if_refused()
    return effective


def parse_bulk(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether a bulk write is all or nothing. Raises InvalidInput."""
    given = Given(pairs, known=BULK_FIELDS)
    atomic = given.choice("atomic", _TRUTHS, "true")
    given.raise_if_refused()
    return atomic == "true"

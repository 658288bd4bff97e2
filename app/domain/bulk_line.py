"""One line of a bulk write: what is to be done to which instrument."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, TypeAlias

from pydantic import ConfigDict, Field

from app.domain.errors import FieldError, InvalidInput
from app.domain.instrument import PUBLIC_ID_PATTERN, parse_public_id, public_id
from app.domain.instrument_document import InstrumentDocument, InstrumentFields
from app.domain.instrument_write import (
    Change,
    Effective,
    Stored,
    delist_instrument,
    new_instrument,
    parse_effective,
    patch_instrument,
)
from app.domain.json_model import read_model
from app.domain.json_text import parse_json

MAX_VERSION: Final = 2**31 - 1
_REQUIRED: Final = tuple(
    name for name, field in InstrumentDocument.model_fields.items() if field.is_required()
)


class BulkOperation(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELIST = "delist"


class BulkLine(InstrumentFields):
    """Each line of the body is such an object: a new instrument, a merge patch of one, or a delisting."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"op": "create", "symbol": "ACME", "name": "Acme", "asset_class": "equity", "mic": "XNYS"},
                {"op": "update", "id": "ins_272", "version": 3, "name": "Apple"},
                {"op": "delist", "id": "ins_273", "effective_at": "2026-12-31"},
            ]
        }
    )

    op: BulkOperation | None = None
    """If it is left out: with an id `update`, without one `create`."""
    id: Annotated[str, Field(strict=True, json_schema_extra={"pattern": PUBLIC_ID_PATTERN})] | None = None
    """Which instrument; only of an update or a delisting."""
    version: Annotated[int, Field(strict=True, ge=1, le=MAX_VERSION)] | None = None
    """The version that was read; the line is refused if there is another by now. Left out: any."""
    effective_at: Annotated[str, Field(strict=True)] | None = None
    """Of a delisting: a date, or a time (RFC 3339), which may lie ahead. Left out: now."""


@dataclass(frozen=True, slots=True)
class Creation:
    change: Change


@dataclass(frozen=True, slots=True)
class Edit:
    """Of the instrument with that number, in that version if one is given."""

    number: int
    version: int | None
    operation: BulkOperation
    change: Callable[[Stored], Change]


Operation: TypeAlias = Creation | Edit


def read_bulk_line(line: bytes, now: datetime) -> Operation:
    """Raises InvalidInput naming every bad field."""
    given = read_model(BulkLine, parse_json(line, "line"))
    operation = given.op or (BulkOperation.CREATE if given.id is None else BulkOperation.UPDATE)
    if operation is BulkOperation.CREATE:
        _refuse_fields(given, ("id", "version", "effective_at"), operation)
        missing = [name for name in _REQUIRED if getattr(given, name) is None]
        if missing:
            raise InvalidInput(*(FieldError(name, "is required") for name in missing))
        return Creation(new_instrument(given, now))
    number = parse_public_id(given.id or "")
    if number is None:
        raise InvalidInput.of("id", f"must name an instrument, like {public_id(1)}")
    if operation is BulkOperation.UPDATE:
        _refuse_fields(given, ("effective_at",), operation)
        return Edit(number, given.version, operation, lambda stored: patch_instrument(stored, given, now))
    _refuse_fields(given, tuple(InstrumentFields.model_fields), operation)
    effective = _effective(given.effective_at)
    return Edit(number, given.version, operation, lambda stored: delist_instrument(stored, effective, now))


def _refuse_fields(given: BulkLine, names: tuple[str, ...], operation: BulkOperation) -> None:
    errors = [
        FieldError(name, f"has no meaning where op is {operation}; leave it out")
        for name in names
        if name in given.model_fields_set
    ]
    if errors:
        raise InvalidInput(*errors)


def _effective(text: str | None) -> Effective | None:
    try:
        return None if text is None else parse_effective(text)
    except ValueError as error:
        raise InvalidInput.of("effective_at", str(error)) from error

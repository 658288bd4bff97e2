"""Examples for the description: of JSON by the examples of its fields, of problems by what makes them."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson

from app.domain import errors
from app.domain.access import PROFILES_WRITE, Quota
from app.domain.errors import RegistryError
from app.domain.query_schema import Schema
from app.web.headers import RATE_LIMITS, REQUEST_ID
from app.web.problems import problem, problem_of
from app.web.schemas import SCHEMAS

_LIMIT, _, _RESET = (int(header.example) for header in RATE_LIMITS)
_ERRORS: Final[tuple[RegistryError, ...]] = (
    errors.InvalidInput.of("limit", "must be a whole number from 1 to 100"),
    errors.NotAuthenticated(
        "the API key was revoked; create another with instrument-registry keys create", reason="revoked_key"
    ),
    errors.NotAllowed(PROFILES_WRITE),
    errors.NotFound("there is no instrument 'ins_272'"),
    errors.NameTaken("Apples"),
    errors.KeyReused("this Idempotency-Key was used for another body; send the same body, or take a new key"),
    errors.PreconditionRequired("a write needs If-Match with the ETag that was read; read it and try again"),
    errors.PreconditionFailed(3),
    errors.RateLimited(Quota(_LIMIT, 0, _RESET)),
    errors.CursorExpired("the index generation that this cursor points into is gone; restart without it"),
    errors.SearchTimedOut("the search took longer than 1000 ms; narrow it down"),
    errors.IndexNotReady("the search index is not filled yet; try again in a moment"),
)
_REFUSALS: Final[Mapping[HTTPStatus, str]] = {
    HTTPStatus.REQUEST_TIMEOUT: "the body did not come within 30 s",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
        "Maximum request body size 1048576 exceeded, actual body size 2097152"
    ),
    HTTPStatus.REQUEST_URI_TOO_LONG: "the request line is longer than 65536 bytes",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "text/html is not accepted; send application/json",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "a header is longer than 16384 bytes",
}
"""What is refused before a handler could."""
_PROBLEMS: Final = (
    *(problem_of(error, str(REQUEST_ID.example)) for error in _ERRORS),
    *(problem(status, detail, str(REQUEST_ID.example)) for status, detail in _REFUSALS.items()),
)
PROBLEMS: Final[Mapping[HTTPStatus, dict[str, Any]]] = {
    HTTPStatus(response.status): orjson.loads(response.text or "") for response in _PROBLEMS
}
"""An example of each status."""
_TIMES: Final = {"date": "2026-01-31", "date-time": "2026-01-31T09:30:00Z"}


def example_of(schema: Schema, schemas: Mapping[str, Schema]) -> Any:
    """What a schema shows first, else what follows from its parts. Raises LookupError for one without any."""
    match schema:
        case {"examples": [example, *_]} | {"const": example} | {"enum": [example, *_]}:
            return example
        case {"$ref": reference}:
            return example_of(schemas[reference.removeprefix(SCHEMAS)], schemas)
        case {"anyOf": [first, *_]}:
            return example_of(first, schemas)
        case {"type": "object", "properties": fields}:
            return {name: example_of(fields[name], schemas) for name in schema.get("required", ())}
        case {"type": "array", "items": item}:
            return [example_of(item, schemas)]
        case {"format": "date" | "date-time" as form}:
            return _TIMES[form]
        case {"type": "boolean"}:
            return True
        case {"default": default}:
            return default
    raise LookupError(f"give an example of {dict(schema)}")

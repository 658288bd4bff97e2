"""Errors to responses: RFC 9457 problem details. The only module that knows HTTP statuses of errors."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import hdrs, web

from app.domain import errors
from app.domain.errors import FieldError, JobUnderWay, NotAuthenticated, PreconditionFailed, RegistryError
from app.web.paths import INDEX_JOBS
from app.web.preconditions import entity_tag

CONTENT_TYPE: Final = "application/problem+json"
TEXT_TYPE: Final = "text/plain"
_OF_THE_BODY: Final = (hdrs.CONTENT_TYPE, hdrs.CONTENT_LENGTH)
_TYPE: Final = "urn:instrument-registry:problem:"

STATUSES: Final[Mapping[type[RegistryError], HTTPStatus]] = {
    errors.InvalidInput: HTTPStatus.BAD_REQUEST,
    errors.NotAuthenticated: HTTPStatus.UNAUTHORIZED,
    errors.NotAllowed: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.KeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.PreconditionRequired: HTTPStatus.PRECONDITION_REQUIRED,
    errors.PreconditionFailed: HTTPStatus.PRECONDITION_FAILED,
    errors.RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    errors.TooManyJobs: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.TooManyStreams: HTTPStatus.TOO_MANY_REQUESTS,
    errors.CursorExpired: HTTPStatus.GONE,
    errors.SearchTimedOut: HTTPStatus.GATEWAY_TIMEOUT,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}


def status_of(kind: type[RegistryError]) -> HTTPStatus:
    """The status of a kind of error: its own, or that of the nearest kind above it."""
    return next(STATUSES[above] for above in kind.__mro__ if above in STATUSES)


def problem_of(error: RegistryError, request_id: str) -> web.Response:
    """The response for an error of the project's tree."""
    status = status_of(type(error))
    headers: dict[str, str] = {}
    if isinstance(error, NotAuthenticated):  # RFC 6750, section 3
        headers[hdrs.WWW_AUTHENTICATE] = (
            "Bearer" if error.reason == "missing" else 'Bearer error="invalid_token"'
        )
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, PreconditionFailed):
        headers[hdrs.ETAG] = entity_tag(error.version)
    if isinstance(error, JobUnderWay):
        headers[hdrs.LOCATION] = f"{INDEX_JOBS}/{error.job}"
    return problem(status, str(error), request_id, headers=headers, fields=error.errors)


def as_text(response: web.StreamResponse) -> web.StreamResponse:
    """Of a problem its detail alone, for clients that expect a text; any other response as it is."""
    if response.content_type != CONTENT_TYPE or not isinstance(response, web.Response):
        return response
    detail = orjson.loads(response.text or "")["detail"]
    headers = {name: value for name, value in response.headers.items() if name not in _OF_THE_BODY}
    return web.Response(text=detail, status=response.status, headers=headers, content_type=TEXT_TYPE)


def problem(
    status: HTTPStatus,
    detail: str,
    request_id: str,
    *,
    headers: Mapping[str, str] | None = None,
    fields: Sequence[FieldError] = (),
) -> web.Response:
    """A problem response; `fields` become its `errors`."""
    content: dict[str, Any] = {
        "type": _TYPE + status.phrase.lower().replace(" ", "-"),
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "instance": request_id,
    }
    if fields:
        content["errors"] = [_field_error(field) for field in fields]
    return web.Response(
        body=orjson.dumps(content), status=status.value, headers=headers, content_type=CONTENT_TYPE
    )


def _field_error(error: FieldError) -> dict[str, Any]:
    shown = {"field": error.field, "message": error.message}
    return shown if error.line is None else {**shown, "line": error.line}

"""What every request passes through: an id, admission, its body, errors, one log line, one metric."""

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from functools import cache, wraps
from http import HTTPStatus
from itertools import count
from typing import Final, TypeAlias

import structlog
from aiohttp import hdrs, web

from app import metrics
from app.domain.access import API_KEY_PREFIX
from app.domain.errors import InvalidInput, RegistryError
from app.logs import REQUEST_ID as REQUEST_ID_IN_LOGS
from app.logs import log_request
from app.web.admission import admit, admit_at_once
from app.web.endpoint import ENDPOINT, Endpoint, Handler
from app.web.headers import REQUEST_ID_HEADER
from app.web.problems import as_text, problem, problem_of
from app.web.services import PRINCIPAL, QUOTA, REQUEST_ID, SERVICES, Services

_in_progress = 0
"""A number alone: the gauge has a lock, and is asked seldom."""
metrics.HTTP_REQUESTS_IN_PROGRESS.set_function(lambda: _in_progress)

ServerHandler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""What aiohttp's server calls for each request."""
UNMATCHED: Final = "unmatched"
OTHER_METHOD: Final = "other"
"""Labels of paths and methods that no endpoint has."""
_ANY_MEDIA_TYPES: Final = ("application/json",)
_PROCESS: Final = secrets.token_hex(6)
_REQUESTS: Final = count(1)
"""Together they name a request: random bits for each would be a system call."""
_ACCEPTABLE_REQUEST_ID: Final = re.compile(rf"(?!{API_KEY_PREFIX})[A-Za-z0-9._-]{{1,64}}")
"""An API key that came in the wrong header must neither be logged nor kept in histories."""

log = structlog.get_logger(__name__)
_seconds = cache(metrics.HTTP_REQUEST_SECONDS.labels)
"""Looking a metric's labels up anew costs more than observing."""


def bounded(handle: ServerHandler, closing: asyncio.Event) -> ServerHandler:
    """Around aiohttp's own handling, its routing included: whatever happens, the caller gets a response in
    the API's shape."""

    async def boundary(request: web.BaseRequest) -> web.StreamResponse:
        started = time.perf_counter()
        request_id = request_id_of(request.headers.get(REQUEST_ID_HEADER))
        request[REQUEST_ID] = request_id
        REQUEST_ID_IN_LOGS.set(request_id)
        try:
            response = await handle(request)
        except Exception as error:
            response = _problem_of(error, request, request_id)
        endpoint = request.get(ENDPOINT)
        if endpoint is None:
            route, is_stream = UNMATCHED, False
        else:
            route, is_stream = endpoint.path, endpoint.is_stream
            if endpoint.errors_as_text:
                response = as_text(response)
        if not response.prepared:
            set_headers(request, response)
            if closing.is_set():
                response.force_close()
        elapsed_s = time.perf_counter() - started
        if not (is_stream and response.status == HTTPStatus.OK):
            method = request.method if request.method in hdrs.METH_ALL else OTHER_METHOD
            _seconds(route, method, response.status).observe(elapsed_s)
        principal = request.get(PRINCIPAL)
        log_request(
            __name__,
            {
                "request_id": request_id,
                "method": request.method,
                "route": route,
                "status": response.status,
                "duration_ms": round(elapsed_s * 100_000) / 100,
                "principal": principal.name if principal else None,
            },
        )
        return response

    return boundary


def admitting(endpoint: Endpoint) -> Handler:
    """The endpoint's handler behind what it asks of its callers; what is refused is raised."""
    handler, is_stream = endpoint.handler, endpoint.is_stream
    scope, admits = endpoint.scope, endpoint.admits

    @wraps(handler)
    async def admitted(request: web.Request) -> web.StreamResponse:
        request[ENDPOINT] = endpoint
        services = request.app[SERVICES]
        global _in_progress
        _in_progress += not is_stream
        try:
            if admits and not admit_at_once(request, services, scope):
                await admit(request, services, scope)
            _check_body(request, endpoint, services)
            return await handler(request)
        finally:
            _in_progress -= not is_stream

    return admitted


def set_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Set what every response carries; a handler that sends a response itself calls this before.

    aiohttp's signal for this would cost every quick request its share.
    """
    response.headers[REQUEST_ID_HEADER] = request[REQUEST_ID]
    if (quota := request.get(QUOTA)) is not None:
        response.headers["RateLimit-Limit"] = str(quota.limit)
        response.headers["RateLimit-Remaining"] = str(quota.remaining)
        response.headers["RateLimit-Reset"] = str(quota.reset_s)


def request_id_of(proposed: str | None) -> str:
    """The caller's own request id where it is fit for logs and headers, else a new one."""
    if proposed is not None and _ACCEPTABLE_REQUEST_ID.fullmatch(proposed):
        return proposed
    return f"{_PROCESS}{next(_REQUESTS):08x}"


def _problem_of(error: Exception, request: web.BaseRequest, request_id: str) -> web.Response:
    if isinstance(error, RegistryError):
        return problem_of(error, request_id)
    if isinstance(error, web.HTTPException):
        return _problem_of_http_exception(error, request_id)
    log.error("request failed", request_id=request_id, path=request.path, exc_info=error)
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "something went wrong on our side; the request id finds it in our logs",
        request_id,
    )


def _check_body(request: web.Request, endpoint: Endpoint, services: Services) -> None:
    """Refuse a body that is too large, of another type, missing, or not asked for."""
    media_types = endpoint.media_types
    if not request.body_exists:
        if media_types:
            raise InvalidInput.of("body", f"is missing; send {media_types[0]}")
        return
    max_bytes = services.max_bulk_bytes if endpoint.is_bulk else services.max_request_bytes
    if (request.content_length or 0) > max_bytes:
        raise web.HTTPRequestEntityTooLarge(max_bytes, request.content_length or 0)
    accepted = media_types or _ANY_MEDIA_TYPES
    if request.content_type not in accepted:
        raise web.HTTPUnsupportedMediaType(
            text=f"{request.content_type} is not accepted; send {' or '.join(accepted)}"
        )
    if not media_types:
        raise InvalidInput.of("body", "this endpoint takes none; send its parameters in the query string")


def _problem_of_http_exception(error: web.HTTPException, request_id: str) -> web.Response:
    """aiohttp's own refusals (no such route, wrong method, too large), in the API's shape."""
    status = HTTPStatus(error.status)
    details = {
        HTTPStatus.NOT_FOUND: "there is nothing at this path",
        HTTPStatus.METHOD_NOT_ALLOWED: f"this path allows {error.headers.get(hdrs.ALLOW, 'other methods')}",
    }
    headers = {"Allow": error.headers[hdrs.ALLOW]} if hdrs.ALLOW in error.headers else {}
    return problem(
        status, details.get(status) or error.text or status.description, request_id, headers=headers
    )

"""What every request passes through: an id, admission, its body, errors, one log line, one metric."""

import re
import secrets
import time
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from http import HTTPStatus
from itertools import count
from typing import Final

import structlog
from aiohttp import hdrs, web

from app import metrics
from app.domain.errors import InvalidInput, RegistryError
from app.web.admission import admit
from app.web.endpoint import ENDPOINTS_BY_HANDLER, Endpoint, Handler
from app.web.headers import REQUEST_ID_HEADER
from app.web.problems import problem, problem_of
from app.web.services import PRINCIPAL, QUOTA, REQUEST_ID, SERVICES

UNMATCHED: Final = "unmatched"
OTHER_METHOD: Final = "other"
"""Labels of paths and methods that no endpoint has."""
_ANY_MEDIA_TYPES: Final = ("application/json",)
_PROCESS: Final = secrets.token_hex(6)
_REQUESTS: Final = count(1)
"""Together they name a request: random bits for each would be a system call."""
_ACCEPTABLE_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

log = structlog.get_logger(__name__)
_seconds = cache(metrics.HTTP_REQUEST_SECONDS.labels)
"""Looking a metric's labels up anew costs more than observing."""


@web.middleware
async def boundary(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The one middleware. Whatever happens inside, the caller gets a response in the contract's shape."""
    started = time.perf_counter()
    request_id = request_id_of(request.headers.get(REQUEST_ID_HEADER))
    request[REQUEST_ID] = request_id
    endpoint = request.app[ENDPOINTS_BY_HANDLER].get(request.match_info.handler)
    route = UNMATCHED if endpoint is None else endpoint.path
    is_stream = endpoint is not None and endpoint.is_stream
    with nullcontext() if is_stream else metrics.HTTP_REQUESTS_IN_PROGRESS.track_inprogress():
        response = await _answer(request, handler, endpoint, request_id)
    if not response.prepared:
        set_headers(request, response)
    elapsed_s = time.perf_counter() - started
    if not (is_stream and response.status == HTTPStatus.OK):
        method = request.method if request.method in hdrs.METH_ALL else OTHER_METHOD
        _seconds(route, method, response.status).observe(elapsed_s)
    principal = request.get(PRINCIPAL)
    log.info(
        "request",
        request_id=request_id,
        method=request.method,
        route=route,
        status=response.status,
        duration_ms=round(elapsed_s * 1000, 2),
        principal=principal.name if principal else None,
    )
    return response


def set_headers(request: web.Request, response: web.StreamResponse) -> None:
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


async def _answer(
    request: web.Request, handler: Handler, endpoint: Endpoint | None, request_id: str
) -> web.StreamResponse:
    try:
        if request.match_info.http_exception is None:  # else no route, and the handler answers 404 or 405
            await _admit(request, endpoint)
        return await handler(request)
    except RegistryError as error:
        return problem_of(error, request_id)
    except web.HTTPException as error:
        return _problem_of_http_exception(error, request_id)
    except Exception:
        log.exception("request failed", request_id=request_id, path=request.path)
        return problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "something went wrong on our side; the request id finds it in our logs",
            request_id,
        )


async def _admit(request: web.Request, endpoint: Endpoint | None) -> None:
    """Let a request to its handler, or raise why not."""
    if endpoint is None:
        raise LookupError(f"nothing is known of who may use {request.path}")
    if endpoint.scope is not None:
        await admit(request, endpoint.scope)
    _check_body(request, endpoint.media_types, request.app[SERVICES].max_request_bytes)


def _check_body(request: web.Request, media_types: Sequence[str], max_bytes: int) -> None:
    """Refuse a body that is too large, of another type, missing, or not asked for."""
    if (request.content_length or 0) > max_bytes:
        raise web.HTTPRequestEntityTooLarge(max_bytes, request.content_length or 0)
    accepted = media_types or _ANY_MEDIA_TYPES
    if request.body_exists and request.content_type not in accepted:
        raise web.HTTPUnsupportedMediaType(
            text=f"{request.content_type} is not accepted; send {' or '.join(accepted)}"
        )
    if request.body_exists and not media_types:
        raise InvalidInput.of("body", "this endpoint takes none; send its parameters in the query string")
    if media_types and not request.body_exists:
        raise InvalidInput.of("body", f"is missing; send {media_types[0]}")


def _problem_of_http_exception(error: web.HTTPException, request_id: str) -> web.Response:
    """aiohttp's own refusals (no such route, wrong method, too large), in the contract's shape."""
    status = HTTPStatus(error.status)
    details = {
        HTTPStatus.NOT_FOUND: "there is nothing at this path",
        HTTPStatus.METHOD_NOT_ALLOWED: f"this path allows {error.headers.get(hdrs.ALLOW, 'other methods')}",
    }
    headers = {"Allow": error.headers[hdrs.ALLOW]} if hdrs.ALLOW in error.headers else {}
    return problem(
        status, details.get(status) or error.text or status.description, request_id, headers=headers
    )

"""aiohttp's server with one change: what the HTTP parser refuses is a problem response as well."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, cast

import structlog
from aiohttp import hdrs, web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_urldispatcher import UrlMappingMatchInfo

from app.web.boundary import ServerHandler, bounded, request_id_of
from app.web.headers import REQUEST_ID_HEADER
from app.web.problems import problem
from app.web.services import CLOSING

MAX_LINE_BYTES: Final = 65_536
"""Longer request lines never reach a handler that could name the parameter."""
MAX_HEADER_BYTES: Final = 16_384
"""Of one header; room for a token of the longest kind that is read."""
MAX_HEADERS: Final = 64
log = structlog.get_logger(__name__)
_TOO_MANY_HEADERS: Final = "Too many headers received"
"""What aiohttp says of them."""


def _explain(status: int, error: BaseException | None) -> tuple[HTTPStatus, str]:
    """The status and the detail for a request that no handler saw."""
    if isinstance(error, LineTooLong):
        _, limit, _ = error.args
        if limit == MAX_HEADER_BYTES:
            return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"a header is longer than {limit} bytes"
        return HTTPStatus.REQUEST_URI_TOO_LONG, f"the request line is longer than {limit} bytes"
    if isinstance(error, BadHttpMessage) and error.message == _TOO_MANY_HEADERS:
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"there are more than {MAX_HEADERS} headers"
    if status == HTTPStatus.BAD_REQUEST:
        return (
            HTTPStatus.BAD_REQUEST,
            "the request is not valid HTTP/1.1; what is not ASCII in the URL must be percent-encoded",
        )
    return HTTPStatus(status), "the request failed"


class _ProblemRequestHandler(RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        request_id = request_id_of(None)
        explained, detail = _explain(status, exc)
        if explained >= HTTPStatus.INTERNAL_SERVER_ERROR or request.writer.output_size:
            super().handle_error(request, status, exc, message)  # logs, and raises if the answer has begun
        else:  # whoever calls may send what it likes, and is no error of ours
            log.info("malformed request", request_id=request_id, status=explained.value)
        response = problem(explained, detail, request_id)
        response.headers[REQUEST_ID_HEADER] = request_id
        response.force_close()
        return response


class _ProblemServer(web.Server):
    def __call__(self) -> RequestHandler:
        return _ProblemRequestHandler(self, loop=self._loop, **self._kwargs)


def straight(app: web.Application, handle: ServerHandler) -> ServerHandler:
    """Leads a GET of a path without variables to its handler at once; all else to aiohttp's own routing.

    That looks a path up part by part, and makes what it matched anew for each request.
    """
    matches = {}
    for route in app.router.routes():
        if route.method == hdrs.METH_GET and isinstance(route.resource, web.PlainResource):
            match = UrlMappingMatchInfo({}, route)
            match.add_app(app)
            match.freeze()
            matches[route.resource.canonical] = match

    def handle_straight(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        match = matches.get(request.rel_url.raw_path) if request.method == hdrs.METH_GET else None
        if match is None or hdrs.EXPECT in request.headers:
            return handle(request)
        request._match_info = match  # type: ignore[attr-defined] # noqa: SLF001 - as aiohttp's routing does
        return match.handler(cast("web.Request", request))

    return handle_straight


class ProblemRunner(web.AppRunner):
    """An AppRunner that serves with the request handler above."""

    def __init__(
        self,
        app: web.Application,
        *,
        shutdown_timeout_s: float,
        around_requests: Callable[[ServerHandler], ServerHandler] | None = None,
    ) -> None:
        super().__init__(
            app,
            access_log=None,
            shutdown_timeout=shutdown_timeout_s,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
        )
        self._around_requests = around_requests

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        handle = bounded(straight(self.app, server.request_handler), self.app[CLOSING])
        if self._around_requests is not None:
            handle = self._around_requests(handle)
        return _ProblemServer(
            handle,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            **server._kwargs,  # noqa: SLF001 - aiohttp offers no other way to choose the request handler
        )

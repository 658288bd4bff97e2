"""Traces by OpenTelemetry: a span for each request, and in it one for each question to a server.

Imported only where REGISTRY_TRACING is true, for it needs the extra `tracing`. Where spans go, how many are
kept and what they are named after is set by the standard variables (`OTEL_EXPORTER_OTLP_ENDPOINT`,
`OTEL_TRACES_SAMPLER`, `OTEL_SERVICE_NAME`, ...). Spans tell shapes, not values: neither URLs nor arguments.

Only what is done for a request has spans: a poll that runs for ever would be a trace of its own each time.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any, Final

from aiohttp import (
    ClientSession,
    TraceConfig,
    TraceRequestEndParams,
    TraceRequestExceptionParams,
    TraceRequestStartParams,
    web,
)
from asyncpg.connection import LoggedQuery
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from redis.asyncio import Redis

from app.hooks import Hooks
from app.store.postgres import QueryLogger
from app.store.redis_line import Command, RedisLine
from app.store.statements import name_of
from app.web.boundary import UNMATCHED, ServerHandler
from app.web.endpoint import ENDPOINT
from app.web.services import PRINCIPAL, REQUEST_ID

NAME: Final = "instrument-registry"
END_WITHIN_S: Final = 5.0
"""For the last spans to be sent."""
_FIRST_FAULT: Final = 500
_REDIS: Final = {"db.system.name": "redis"}
_POSTGRES: Final = {"db.system.name": "postgresql"}


class Tracing:
    """Sends spans until it is closed."""

    def __init__(self) -> None:
        resource = Resource.create({SERVICE_VERSION: version(NAME)})
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):  # no variable names it
            resource = resource.merge(Resource({SERVICE_NAME: NAME}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        tracer = self._provider.get_tracer(NAME)
        self.fields = _trace_fields
        """Of log lines."""
        self.hooks = Hooks(
            around_requests=partial(_around_requests, tracer),
            line=_traced_line(tracer),
            redis=_traced_redis(tracer),
            query_loggers=(_traced_statements(tracer),),
            http_client=(_traced_client(tracer),),
        )

    def close(self) -> None:
        """Send what is left, if that is taken in time."""
        # A thread of its own: where nobody takes the spans, the exporter tries for longer than a process
        # may take to end.
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(END_WITHIN_S)


def _trace_fields() -> Mapping[str, str]:
    """What a log line has of the span in which it is written."""
    context = trace.get_current_span().get_span_context()
    return {"trace_id": trace.format_trace_id(context.trace_id)} if context.is_valid else {}


def _is_traced() -> bool:
    """Whether what is done now is done for a request whose trace is kept, even if its answer is made."""
    return bool(trace.get_current_span().get_span_context().trace_flags.sampled)


def _around_requests(tracer: Tracer, handle: ServerHandler) -> ServerHandler:
    async def traced(request: web.BaseRequest) -> web.StreamResponse:
        with tracer.start_as_current_span(
            request.method,
            context=propagate.extract(request.headers),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": request.method},
        ) as span:
            response = await handle(request)
            endpoint, principal = request.get(ENDPOINT), request.get(PRINCIPAL)
            route = endpoint.path if endpoint is not None else UNMATCHED
            span.update_name(f"{request.method} {route}")
            span.set_attribute("http.route", route)
            span.set_attribute("http.response.status_code", response.status)
            span.set_attribute("registry.request_id", request[REQUEST_ID])
            if principal is not None:
                span.set_attribute("registry.principal", principal.name)
            if response.status >= _FIRST_FAULT:
                span.set_status(StatusCode.ERROR)
            return response

    return traced


def _traced_line(tracer: Tracer) -> type[RedisLine]:
    class TracedLine(RedisLine):
        def _send(self, commands: Sequence[Command], *options: float, is_one: bool) -> Any:
            future = super()._send(commands, *options, is_one=is_one)
            if _is_traced():
                names = list(map(_name, commands))
                future.add_done_callback(partial(_answered, _redis_span(tracer, names)))
            return future

    return TracedLine


def _answered(span: Span, future: Any) -> None:
    failure = None if future.cancelled() else future.exception()
    _end(span, failure)


def _traced_redis(tracer: Tracer) -> type[Redis]:
    class TracedRedis(Redis):
        async def execute_command(self, *arguments: Any, **options: Any) -> Any:
            if not _is_traced():
                return await super().execute_command(*arguments, **options)  # type: ignore[no-untyped-call]
            span = _redis_span(tracer, [_text(arguments[0])])
            failure: BaseException | None = None
            try:
                return await super().execute_command(*arguments, **options)  # type: ignore[no-untyped-call]
            except BaseException as error:
                failure = error
                raise
            finally:
                _end(span, failure)

    return TracedRedis


def _redis_span(tracer: Tracer, names: Sequence[str]) -> Span:
    """Of one command, or of several in one round trip."""
    if len(names) == 1:
        name, more = names[0], {}
    else:
        name = f"PIPELINE {names[0]}" if len(set(names)) == 1 else "PIPELINE"
        more = {"db.operation.batch.size": len(names)}
    span: Span = tracer.start_span(
        name, kind=SpanKind.CLIENT, attributes={**_REDIS, "db.operation.name": name, **more}
    )
    return span


def _name(command: Command) -> str:
    """What a command begins with."""
    if isinstance(command, bytes):  # as it goes to Redis (RESP): *9, $9, FT.SEARCH, ...
        return command.split(b"\r\n", 3)[2].decode()
    return _text(command[0])


def _text(word: object) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)


def _traced_statements(tracer: Tracer) -> QueryLogger:
    def told(record: LoggedQuery) -> None:
        if not _is_traced():
            return
        name = name_of(record.query) or record.query.split(None, 1)[0].rstrip(";").upper()
        ended = time.time_ns()
        span = tracer.start_span(
            name,
            kind=SpanKind.CLIENT,
            attributes={**_POSTGRES, "db.query.summary": name, "db.query.text": record.query},
            start_time=ended - round(record.elapsed * 1e9),
        )
        _end(span, record.exception, ended)

    return told


def _traced_client(tracer: Tracer) -> TraceConfig:
    config = TraceConfig()

    async def starts(_: ClientSession, context: SimpleNamespace, request: TraceRequestStartParams) -> None:
        context.span = None
        if _is_traced():
            context.span = tracer.start_span(
                request.method,
                kind=SpanKind.CLIENT,
                attributes={
                    "http.request.method": request.method,
                    "server.address": request.url.host or "",
                    "server.port": request.url.port or 0,
                },
            )
            propagate.inject(request.headers, trace.set_span_in_context(context.span))

    async def ends(_: ClientSession, context: SimpleNamespace, answer: TraceRequestEndParams) -> None:
        if context.span is not None:
            context.span.set_attribute("http.response.status_code", answer.response.status)
            _end(context.span, None)

    async def fails(_: ClientSession, context: SimpleNamespace, failed: TraceRequestExceptionParams) -> None:
        if context.span is not None:
            _end(context.span, failed.exception)

    config.on_request_start.append(starts)
    config.on_request_end.append(ends)
    config.on_request_exception.append(fails)
    return config


def _end(span: Span, failure: BaseException | None, at_ns: int | None = None) -> None:
    """The text of an error may quote what was sent: its type alone is told."""
    if failure is not None:
        span.set_attribute("error.type", type(failure).__name__)
        span.set_status(StatusCode.ERROR)
    span.end(at_ns)

"""Logging: one constant message and fields per line, as JSON on standard error (or as text for people)."""

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final, cast

import orjson
import structlog

from app.masking import masked

REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)
"""Of the request on whose behalf something is done; its lines have it."""
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(
    # Local variables hold keys and tokens.
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def configure_logs(
    level: str,
    log_format: str,
    worker: int | None = None,
    more: Callable[[], Mapping[str, str]] | None = None,
) -> None:
    """Write the project's own log lines, and those of its libraries in the same form; `worker` is in each,
    and what `more` says when it is written.

    Its own lines do not pass through `logging`, whose records cost more than a quick request's other steps.
    """
    names: list[Any] = [structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name, add_request_id]
    if worker is not None:
        names.append(_add_worker)
    if more is not None:
        names.append(_add_more)
    render: list[Any] = (
        [_stamp, _TRACEBACKS, _to_json, _mask]
        if log_format == "json"
        else [
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
            _encode,
            _mask,
        ]
    )
    batches = _Batches(sys.stderr.buffer)
    structlog.configure(
        processors=[*names, *render],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.BytesLoggerFactory(cast("BinaryIO", batches)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.PositionalArgumentsFormatter(), *names],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render, _decode],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    global _request_lines, _of_process, _more
    _more = more
    _of_process = {} if worker is None else {"worker": worker}
    _request_lines = batches if log_format == "json" and root.level <= logging.INFO else None


def log_request(logger: str, fields: dict[str, Any]) -> None:
    """Log the line that every request has, in the name of `logger`.

    As JSON it is written past structlog's chain, which takes several times as long for the same line.
    """
    if _request_lines is None:
        structlog.get_logger(logger).info("request", **fields)
        return
    fields |= {"event": "request", "level": "info", "logger": logger, **_of_process}
    if _more is not None:
        fields |= _more()
    fields["timestamp"] = datetime.now(UTC)
    _request_lines.write(_to_json(None, "info", fields) + b"\n")
    _request_lines.flush()


class _Batches:
    """Collects the lines of one turn of the event loop and writes them in one system call.

    Where no loop runs, each line is written at once.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lines: list[bytes] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        """The one that will write what waits."""

    def write(self, line: bytes) -> None:
        self._lines.append(line)

    def flush(self) -> None:
        """Called after each line."""
        if self._loop is not None and self._loop.is_running():
            return
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            self._write_out()
        else:
            self._loop.call_soon(self._write_out)

    def _write_out(self) -> None:
        self._loop = None
        lines, self._lines = self._lines, []
        self._file.write(b"".join(lines))
        self._file.flush()


_request_lines: _Batches | None = None
"""Where the lines of requests are written as JSON; None: they are no different from others."""
_of_process: dict[str, Any] = {}
"""What every line of this process has."""
_more: Callable[[], Mapping[str, str]] | None = None
"""Tells what a line has besides."""


def add_request_id(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor of structlog."""
    if (request_id := REQUEST_ID.get()) is not None:
        event.setdefault("request_id", request_id)
    return event


def _add_more(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    return event if _more is None else {**event, **_more()}


def _add_worker(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    return event | _of_process


def _stamp(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    event["timestamp"] = datetime.now(UTC)
    return event


def _to_json(_logger: Any, _method: str, event: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_UTC_Z)
    except TypeError:  # characters that no text has, from a caller's URL
        printable = {name: _printable(value) for name, value in event.items()}
        return orjson.dumps(printable, option=orjson.OPT_UTC_Z)


def _printable(value: Any) -> Any:
    return value if isinstance(value, datetime) else str(value).encode(errors="backslashreplace").decode()


def _encode(_logger: Any, _method: str, line: Any) -> bytes:
    return str(line).encode(errors="backslashreplace")


def _mask(_logger: Any, _method: str, line: bytes) -> bytes:
    return masked(line)


def _decode(_logger: Any, _method: str, line: Any) -> str:
    """For `logging`, which writes text."""
    return bytes(line).decode()

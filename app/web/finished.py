"""Answers whose body is finished when they begin."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_exceptions import ClientConnectionResetError
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE

JSON: Final = "application/json"
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


def head_lines(headers: Mapping[Any, str]) -> str:
    """Headers as they are sent. Raises ValueError where one holds a line break."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\r") != len(headers) or lines.count("\n") != len(headers):
        raise ValueError("a header must not hold a line break")
    return lines


class FinishedResponse(web.Response):
    """A response of bytes, JSON by default, with a status that has a body; sent in one write.

    aiohttp decides for each of its own responses anew whether it is compressed or chunked, sets cookies or
    has a payload that is still to be made. This one never is, has or does, and takes half the time. Its
    headers are a plain dict: each is set once, by the name that it is sent with.

    `head` are more headers, its content type among them, as `head_lines` makes them once for many responses.
    """

    def __init__(
        self,
        body: bytes,
        *,
        status: int = 200,
        headers: Mapping[Any, str] | None = None,
        content_type: str = JSON,
        head: str = "",
    ) -> None:
        self._state = {}
        self._status, self._reason = status, _REASONS[status]
        self._headers = {**(headers or {})}  # type: ignore[assignment]
        self._first_lines = head or head_lines({hdrs.CONTENT_TYPE: content_type})
        self._body = self._content = body

    @property
    def prepared(self) -> bool:
        return self._eof_sent

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send all of it."""
        if self._eof_sent:
            return None
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive
        version, body = request.version, self._content
        if not self._keep_alive:
            if version == HttpVersion11:
                self._headers[hdrs.CONNECTION] = "close"
        elif version == HttpVersion10:
            self._headers[hdrs.CONNECTION] = "keep-alive"
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ClientConnectionResetError("the connection is closed")
        transport.write(self._head(version[1]) + (b"" if request.method == hdrs.METH_HEAD else body))
        self._eof_sent = True
        writer = request.writer
        await writer.drain()
        return writer

    def _head(self, minor_version: int) -> bytes:
        return (
            f"HTTP/1.{minor_version} {self._status} {self._reason}\r\n"
            f"{self._first_lines}{head_lines(self._headers)}Content-Length: {len(self._content)}\r\n"
            f"Date: {rfc822_formatted_time()}\r\nServer: {SERVER_SOFTWARE}\r\n\r\n"
        ).encode("latin-1")

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to be sent."""

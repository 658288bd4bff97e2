"""The route table: every endpoint of the service."""

import re
from typing import Final

from aiohttp import HttpVersion11, hdrs, web

from app.web.boundary import admitting
from app.web.endpoints import (
    aliases,
    console,
    instrument_writes,
    instruments,
    lookup,
    openfigi,
    operations,
    profiles,
    search_pins,
)

ENDPOINTS: Final = (
    *instruments.ENDPOINTS,
    *instrument_writes.ENDPOINTS,
    *lookup.ENDPOINTS,
    *openfigi.ENDPOINTS,
    *aliases.ENDPOINTS,
    *search_pins.ENDPOINTS,
    *profiles.ENDPOINTS,
    *operations.ENDPOINTS,
    *console.ENDPOINTS,
)
_VARIABLE: Final = re.compile(r"{(\w+)}")
"""A variable part of a path. To aiohttp such a part holds no braces, but an alias may."""


def route_table() -> list[web.RouteDef]:
    return [
        web.RouteDef(
            endpoint.method,
            _route_path(endpoint.path),
            admitting(endpoint),
            {
                "expect_handler": _expect,
                **({"allow_head": not endpoint.is_stream} if endpoint.method == "GET" else {}),
            },
        )
        for endpoint in ENDPOINTS
    ]


def _route_path(path: str) -> str:
    """As aiohttp takes it, where a variable last part is never what another endpoint has in its place: else
    the other methods of that one would come here, and not be refused."""
    start, _, last = path.rpartition("/")
    others = {endpoint.path.removeprefix(f"{start}/") for endpoint in ENDPOINTS}
    taken = "|".join(sorted(other for other in others if other.isidentifier()))
    if not (_VARIABLE.fullmatch(last) and taken):
        return _VARIABLE.sub(r"{\1:[^/]+}", path)
    return _VARIABLE.sub(r"{\1:[^/]+}", start) + f"/{{{last[1:-1]}:(?!(?:{taken})$)[^/]+}}"


async def _expect(request: web.Request) -> None:
    """Let callers go on who wait for that; other expectations may be ignored (RFC 9110, section 10.1.1).

    aiohttp's own handler refuses those before the boundary: without a request id, and not as a problem.
    """
    if request.headers[hdrs.EXPECT].lower() == "100-continue" and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0

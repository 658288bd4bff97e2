"""The JSON body of a request, bounded in size, time and depth."""

import asyncio
from typing import Any, Final

import orjson
from aiohttp import web

from app.domain.errors import InvalidInput

MAX_DEPTH: Final = 32
READ_TIMEOUT_S: Final = 30.0


async def read_json(request: web.Request) -> tuple[Any, bytes]:
    """The decoded body and its bytes. Raises InvalidInput, and aiohttp's 408 and 413."""
    try:
        if request.content.is_eof():  # as a rule it came with the head
            raw = await request.read()
        else:
            async with asyncio.timeout(READ_TIMEOUT_S):
                raw = await request.read()
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(text=f"the body did not come within {READ_TIMEOUT_S:.0f} s") from error
    except (web.RequestPayloadError, ConnectionError) as error:
        raise InvalidInput.of(
            "body", "did not arrive whole, or is not encoded as its Content-Encoding says"
        ) from error
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidInput.of("body", f"is not valid JSON: {error}") from error
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise InvalidInput.of("body", f"is nested deeper than {MAX_DEPTH} levels")
    return value, raw


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return any(isinstance(inner, dict | list) for inner in level)

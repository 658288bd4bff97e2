"""The JSON body of a request, bounded in size, time and depth."""

import asyncio
from typing import Any, Final

import orjson
from aiohttp import web

from app.domain.errors import InvalidInput

MAX_DEPTH: Final = 32
MAX_FIELDS: Final = 1000
"""Of one object: each that is unknown is named."""
READ_TIMEOUT_S: Final = 30.0


async def read_json(request: web.Request) -> tuple[Any, bytes]:
    """The decoded body and its bytes. Raises InvalidInput, and aiohttp's 408 and 413."""
    try:
        async with asyncio.timeout(None if request.content.is_eof() else READ_TIMEOUT_S):
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
    # Each level needs a bracket, so most bodies need no closer look.
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise InvalidInput.of("body", f"is nested deeper than {MAX_DEPTH} levels")
    if raw.count(b":") > MAX_FIELDS and _has_wider(value, MAX_FIELDS):
        raise InvalidInput.of("body", f"has an object of more than {MAX_FIELDS} fields")
    return value, raw


def _has_wider(value: Any, fields: int) -> bool:
    if isinstance(value, dict):
        return len(value) > fields or any(_has_wider(inner, fields) for inner in value.values())
    return isinstance(value, list) and any(_has_wider(inner, fields) for inner in value)


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

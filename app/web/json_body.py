"""The JSON body of a request, bounded in size, time and depth."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web

from app.domain.errors import InvalidInput
from app.domain.json_text import parse_json

READ_TIMEOUT_S: Final = 30.0


async def read_json(request: web.Request) -> tuple[Any, bytes]:
    """The decoded body and its bytes. Raises InvalidInput, and aiohttp's 408 and 413."""
    async with arriving(is_here=request.content.is_eof()):
        raw = await request.read()
    return parse_json(raw, "body"), raw


@asynccontextmanager
async def arriving(*, is_here: bool = False) -> AsyncIterator[None]:
    """Waits inside for a body. Raises InvalidInput for one that breaks off, and aiohttp's 408."""
    try:
        async with asyncio.timeout(None if is_here else READ_TIMEOUT_S):
            yield
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(text=f"the body did not come within {READ_TIMEOUT_S:.0f} s") from error
    except (web.RequestPayloadError, ConnectionError) as error:
        raise InvalidInput.of(
            "body", "did not arrive whole, or is not encoded as its Content-Encoding says"
        ) from error

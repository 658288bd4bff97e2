"""A finished response is on the wire what aiohttp's own is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from app.web.finished import FinishedResponse

BODY = b'{"hits":[]}'
LARGE = b"x" * 1_000_000
HEADERS = {"ETag": '"3"', "Server-Timing": "cache;dur=0.1"}


async def small(request: web.Request) -> web.Response:
    if "finished" in request.query:
        return FinishedResponse(BODY, headers=HEADERS)
    return web.Response(body=BODY, headers=HEADERS, content_type="application/json")


async def created(request: web.Request) -> web.Response:
    if "finished" in request.query:
        return FinishedResponse(BODY, status=201)
    return web.Response(body=BODY, status=201, content_type="application/json")


async def large(request: web.Request) -> web.Response:
    if "finished" in request.query:
        return FinishedResponse(LARGE, content_type="text/plain")
    return web.Response(body=LARGE, content_type="text/plain")


async def last(request: web.Request) -> web.Response:
    response = await small(request)
    response.force_close()
    return response


@asynccontextmanager
async def listening() -> AsyncIterator[int]:
    app = web.Application()
    app.add_routes([web.route("*", f"/{handler.__name__}", handler) for handler in HANDLERS])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


HANDLERS = (small, created, large, last)
FAREWELL = "GET /small?plain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def talk(port: int, requests: str) -> bytes:
    """All that is answered until the connection ends, which the last request asks for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write((requests + FAREWELL).encode())
    async with asyncio.timeout(10):
        answers = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answers


def lines_of(answers: bytes) -> list[bytes]:
    """In any order, for headers have none; dates apart, which may differ by a second."""
    return sorted(line for line in answers.split(b"\r\n") if not line.startswith(b"Date: "))


@pytest.mark.parametrize("connection", ["", "Connection: close\r\n", "Connection: keep-alive\r\n"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_it_is_what_aiohttp_would_send(method: str, version: str, connection: str) -> None:
    async with listening() as port:
        for handler in HANDLERS:
            asked = f" HTTP/{version}\r\nHost: x\r\n{connection}\r\n"
            finished, plain = [
                await talk(port, f"{method} /{handler.__name__}?{kind}{asked}")
                for kind in ("finished", "plain")
            ]
            assert b"Date: " in finished
            assert lines_of(finished) == lines_of(plain), handler


async def test_requests_in_one_packet_are_answered_in_their_order() -> None:
    async with listening() as port:
        kinds = ("small?finished", "small?plain", "created?finished", "last?finished", "small?finished")
        answers = await talk(port, "".join(f"GET /{kind} HTTP/1.1\r\nHost: x\r\n\r\n" for kind in kinds))
    parts = answers.split(b"HTTP/1.1 ")[1:]
    assert [part[:3] for part in parts] == [b"200", b"200", b"201", b"200"], "nothing follows the last"
    assert all(part.endswith(BODY) for part in parts)

"""What the HTTP parser refuses, and how the server ends."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import orjson
import pytest
from redis.asyncio import Redis

from app.embedded.children import free_port
from tests.conftest import url_of
from tests.integration.conftest import Client, eventually

START_S = 30.0
MALFORMED = {
    "no HTTP at all": (b"hello\r\n\r\n", 400),
    "invalid UTF-8 in the path": (b"GET /v1/instruments/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "invalid UTF-8 in the query": (b"GET /v1/instruments/search?q=\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a request line without end": (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "a header without end": (b"GET / HTTP/1.1\r\nX-Big: " + b"a" * 20_000 + b"\r\n\r\n", 431),
    "more headers than anybody sends": (b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 65 + b"\r\n", 431),
    "a bad content length": (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", 400),
    "a control character in a header": (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n", 400),
}


async def test_methods_that_no_endpoint_has_are_one_label(api: Client) -> None:
    for method in ("PROPFIND", "MKCOL"):
        async with api.request(method, "/health/live") as response:
            assert response.status == 405
    async with api.get("/metrics") as response:
        exported = await response.text()
    assert 'method="other"' in exported
    assert "PROPFIND" not in exported


@pytest.mark.parametrize("case", MALFORMED)
async def test_malformed_requests_are_problems(api: Client, case: str) -> None:
    request, status = MALFORMED[case]
    base = api._base_url
    assert base is not None and base.host and base.port
    reader, writer = await asyncio.open_connection(base.host, base.port)
    try:
        writer.write(request)
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            body = orjson.loads(await reader.readexactly(int(fields[b"Content-Length"])))
    finally:
        writer.close()
        await writer.wait_closed()
    assert int(head.split()[1]) == status == body["status"], body
    assert fields[b"Content-Type"].startswith(b"application/problem+json")
    assert fields[b"X-Request-ID"].decode() == body["instance"]


@pytest.mark.parametrize(
    ("expectation", "first_line"),
    [("100-continue", b"HTTP/1.1 100 Continue\r\n"), ("a miracle", b"HTTP/1.1 200 OK\r\n")],
)
async def test_expectations_are_met_or_ignored(api: Client, expectation: str, first_line: bytes) -> None:
    base = api._base_url
    assert base is not None and base.host and base.port
    reader, writer = await asyncio.open_connection(base.host, base.port)
    try:
        writer.write(f"GET /health/live HTTP/1.1\r\nHost: x\r\nExpect: {expectation}\r\n\r\n".encode())
        async with asyncio.timeout(5):
            assert await reader.readline() == first_line
            assert b"X-Request-ID: " in await reader.readuntil(b'{"status":"up",')
    finally:
        writer.close()
        await writer.wait_closed()


async def start_serve(
    database_url: str,
    redis_url: str,
    port: int,
    *,
    drain_s: float = 0.1,
    module: Sequence[str] = ("app.supervision",),
) -> asyncio.subprocess.Process:
    """What `instrument-registry serve` becomes, which starts in half the time."""
    environment = {
        **os.environ,
        "REGISTRY_DATABASE_URL": database_url,
        "REGISTRY_REDIS_URL": redis_url,
        "REGISTRY_PORT": str(port),
        "REGISTRY_ANONYMOUS_SCOPES": "instruments:read",
        "REGISTRY_REDIS_SEARCH_MS": "5000",
        "REGISTRY_SHUTDOWN_DRAIN_S": str(drain_s),
        "REGISTRY_SHUTDOWN_GRACE_S": "5",
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *module), env=environment, stderr=asyncio.subprocess.PIPE
    )


async def answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def test_serve_answers_what_is_under_way_before_it_ends(database_url: str, redis_url: str) -> None:
    """SIGTERM while Redis is held up: the request that waits for it is answered, then the process ends."""
    port = free_port()
    process = await start_serve(database_url, redis_url, port)
    client = Redis.from_url(redis_url)
    try:
        await eventually(lambda: answers(port), START_S)
        await client.client_pause(1000)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /v1/instruments/search HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            status_line = await reader.readline()
            writer.close()
            assert status_line.startswith(b"HTTP/1.1 200")
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        await client.aclose()


async def test_serve_sends_callers_elsewhere_before_it_stops_listening(
    database_url: str, redis_url: str
) -> None:
    port = free_port()
    process = await start_serve(database_url, redis_url, port, drain_s=6)
    try:
        await eventually(lambda: answers(port), START_S)
        process.send_signal(signal.SIGTERM)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

            async def is_draining() -> bool:
                async with session.get("/health/ready") as response:
                    return response.status == 503 and (await response.json())["status"] == "draining"

            await eventually(is_draining)
            async with session.get("/v1/instruments/search") as response:
                assert (response.status, response.headers["Connection"]) == (200, "close")
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_serve_refuses_a_taken_port_in_one_line(api: Client, database_url: str, redis_url: str) -> None:
    base = api._base_url
    assert base is not None and base.port
    process = await start_serve(database_url, redis_url, base.port, module=("app.cli", "serve"))
    _, stderr = await asyncio.wait_for(process.communicate(), START_S)
    assert process.returncode == 1
    errors = [line for line in stderr.decode().splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and str(base.port) in errors[0] and "REGISTRY_PORT" in errors[0]
    assert "Traceback" not in stderr.decode()


async def test_serve_starts_without_postgres(redis_url: str, tmp_path: Path) -> None:
    port = free_port()
    process = await start_serve(url_of("no_such_database"), redis_url, port)
    try:
        await eventually(lambda: answers(port), START_S)
    finally:
        process.terminate()
        await process.communicate()
    assert process.returncode == 0

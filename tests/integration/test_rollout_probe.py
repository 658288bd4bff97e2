"""Probes of a version that answers, refuses, talks nonsense or says nothing; none of it goes unnoticed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.rollout.probe import probing
from tests.integration.conftest import eventually

INSTRUMENT = {"symbol": "A B", "name": "Company", "id": "ins_1"}
Answer = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def version(answer: Answer) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


def catalog(request: web.Request) -> web.Response | None:
    """The answer to a probe that asks what to ask."""
    return web.json_response({"hits": [INSTRUMENT]}) if request.query.get("limit") == "100" else None


async def test_a_version_that_answers_is_probed_without_trouble() -> None:
    asked: set[str] = set()

    async def answer(request: web.Request) -> web.Response:
        asked.add(request.path_qs)
        assert request.headers["Authorization"] == "Bearer a key"
        return catalog(request) or web.Response()

    async with version(answer) as url, probing([url], 100, "a key") as troubles:
        assert troubles() == [f"the probe of {url} has not begun"]

        async def is_done() -> bool:
            return len(asked) == 4

        await eventually(is_done)
        assert troubles() == []
    async with probing([url], 0, None) as troubles:
        assert troubles() == []


@pytest.mark.parametrize("status", [401, 403, 429])
@pytest.mark.parametrize("is_late", [False, True])
async def test_a_probe_that_is_refused_ends_and_says_so(status: int, *, is_late: bool) -> None:
    asked = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return (catalog(request) if is_late else None) or web.Response(status=status)

    async with version(answer) as url, probing([url], 2, None) as troubles:

        async def is_refused() -> bool:
            return any(f"was refused with {status}, and has ended" in why for why in troubles())

        await eventually(is_refused)
        so_far = asked
        await asyncio.sleep(1.5)
        assert asked == so_far, "refusals go on"
        (why,) = troubles()
        assert "REGISTRY_ROLLOUT_KEY" in why and "rollout run" in why


@pytest.mark.parametrize("content", [{"hits": [{"symbol": None}]}, {"hits": [7]}, {"hits": {}}, [], "x"])
async def test_a_version_that_talks_nonsense_is_told_of(content: object) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(content)

    async with version(answer) as url, probing([url], 100, None) as troubles:

        async def is_told() -> bool:
            return any(f"nothing to probe {url} with" in why for why in troubles())

        await eventually(is_told)


async def test_a_probe_that_dies_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(request: web.Request) -> web.Response:
        return catalog(request) or web.Response()

    monkeypatch.setattr("app.rollout.probe.itertools", None)
    async with version(answer) as url, probing([url], 100, None) as troubles:

        async def is_told() -> bool:
            return any(f"the probe of {url} has died: " in why for why in troubles())

        await eventually(is_told)


async def test_probes_that_hang_keep_nobody_else_from_asking() -> None:
    hanging = 0

    async def hang(request: web.Request) -> web.Response:
        nonlocal hanging
        if (found := catalog(request)) is not None:
            return found
        hanging += 1
        await asyncio.sleep(3600)
        raise AssertionError

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="here")

    async with (
        version(hang) as stable,
        version(hang) as canary,
        version(answer) as other,
        aiohttp.ClientSession() as session,
        probing([stable, canary], 1000, None),
    ):

        async def all_hang() -> bool:
            return hanging >= 100

        await eventually(all_hang)
        async with asyncio.timeout(4), session.get(other) as response:
            assert await response.text() == "here"

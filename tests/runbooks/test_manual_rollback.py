"""The canary is taken out of HAProxy by the runbook's commands, wherever a rollout has left the weights."""

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.rollout.balancer import Balancer
from tests.integration.conftest import eventually
from tests.packages import needed
from tests.rollout.stage import start_haproxy
from tests.runbooks.blocks import blocks, section


def version(name: str) -> TestServer:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=name)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return TestServer(app)


async def run(code: str, socket: Path) -> str:
    """The block's commands as they stand there."""
    programs = Path(needed("socat")).parent
    process = await asyncio.create_subprocess_exec(
        *("sh", "-ec", code),
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "HAPROXY_SOCKET": str(socket)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


@pytest.mark.parametrize("share", [5, 100])
async def test_users_are_answered_by_stable_after_a_rollback_by_hand(share: int, tmp_path: Path) -> None:
    (code,) = blocks(section("manual-rollback.md", "Without its controller"), "sh")
    socket = tmp_path / "admin.sock"
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(version(name)) for name in ("stable", "canary")]
        urls = [f"http://127.0.0.1:{server.port}" for server in servers]
        haproxy, port = await asyncio.to_thread(
            start_haproxy, needed("haproxy"), tmp_path, socket, urls, lambda _: socket.exists()
        )
        stack.callback(haproxy.stop)
        balancer = Balancer(str(socket), "registry", "users")
        await balancer.set_share(share)
        printed = await run(code, socket)
        assert "registry,canary" in printed
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def is_answered_by_stable() -> bool:
            async with session.get(f"http://127.0.0.1:{port}/") as response:
                return response.status == 200 and await response.text() == "stable"

        await eventually(is_answered_by_stable)
        assert (await balancer.read()).has_share(0)
        for _ in range(20):
            assert await is_answered_by_stable()

"""The indexer's own health and metrics, on REGISTRY_INDEXER_PORT."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


async def _live(_: web.Request) -> web.Response:
    return web.json_response({"status": "up"})


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


@asynccontextmanager
async def health_server(host: str, port: int) -> AsyncIterator[None]:
    """Answer /health/live and /metrics meanwhile. Raises OSError if the address is taken."""
    app = web.Application()
    app.add_routes([web.get("/health/live", _live), web.get("/metrics", _metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield
    finally:
        await runner.cleanup()

"""Serves the API in a process, until that is told to end."""

import asyncio
import gc
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog
from aiohttp import web

from app.hooks import NO_HOOKS, Hooks
from app.main import make_app
from app.parameters.definitions import Parameters
from app.settings import Settings
from app.tasks import end_tasks
from app.web.server import ProblemRunner
from app.web.services import CLOSING, DRAINING, SERVICES

BACKLOG: Final = 1024
"""Connections that may wait to be taken, while all processes are busy."""
_CONNECTIONS_POLL_S: Final = 0.05
_GARBAGE_THRESHOLD: Final = 50_000
"""Objects that a collection of garbage waits for. Requests leave next to none that are cyclic, so the
default of 700 only looks, again and again, through those under way."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Orders:
    """What a process that serves is told by those who run it."""

    stop: asyncio.Event
    """Send callers elsewhere, and end."""
    retire: asyncio.Event
    """End: others serve at this address already."""


async def serve(
    settings: Settings,
    parameters: Parameters,
    sockets: Sequence[socket.socket],
    orders: Orders,
    tell_ready: Callable[[], None],
    scrape: Callable[[], Awaitable[bytes]],
    hooks: Hooks = NO_HOOKS,
) -> None:
    """Serve on listening sockets until told to end, then answer what is under way.

    Raises SettingsError, and whatever killed a background task.
    """
    died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    app = make_app(settings, parameters, died, scrape, hooks)
    runner = ProblemRunner(
        app, shutdown_timeout_s=settings.shutdown_grace_s, around_requests=hooks.around_requests
    )
    try:
        await runner.setup()
        sites = [web.SockSite(runner, listening, backlog=BACKLOG) for listening in sockets]
        for site in sites:
            await site.start()
        gc.freeze()
        gc.set_threshold(_GARBAGE_THRESHOLD)
        tell_ready()
        log.info("worker serving", pid=os.getpid())
        ordered = [asyncio.create_task(event.wait()) for event in (orders.stop, orders.retire)]
        waiting: list[asyncio.Future[Any]] = [died, *ordered]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        await end_tasks(*ordered)
        if died.done():
            died.result()
        log.info("worker stopping")
        app[CLOSING].set()
        if orders.stop.is_set():
            app[DRAINING].set()
            await asyncio.wait([died], timeout=settings.shutdown_drain_s)
        else:
            app[SERVICES].streams.stop()  # their callers come back to another process
            await _retire(runner, sites, orders, settings.shutdown_grace_s)
    finally:
        await runner.cleanup()


async def _retire(
    runner: ProblemRunner, sites: Sequence[web.SockSite], orders: Orders, limit_s: float
) -> None:
    """Take no more connections, and wait until those there are have been closed after an answer.

    A connection that stays idle for `limit_s` seconds is closed without one.
    """
    for site in sites:
        await site.stop()
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            while runner.server and runner.server.connections and not orders.stop.is_set():  # noqa: ASYNC110
                await asyncio.sleep(_CONNECTIONS_POLL_S)

"""Puts a controller together with the servers that it asks."""

import asyncio
import signal
from collections.abc import Callable

import aiohttp

from app.monitoring.prometheus import Prometheus
from app.monitoring.queries import CANARY, STABLE
from app.rollout.balancer import Balancer
from app.rollout.checks import what_is_wrong
from app.rollout.controller import Controller
from app.rollout.folder import Folder
from app.rollout.probe import probing
from app.rollout.record import Record


async def control_rollout(
    record: Record, folder: Folder, probe_key: str | None, tell: Callable[[str], None]
) -> None:
    """Until the rollout has ended, or SIGTERM or SIGINT comes. `record` is then as it is."""
    target = record.target
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with aiohttp.ClientSession() as session:

        async def health() -> dict[str, str | None]:
            return {
                STABLE: await what_is_wrong(session, target.stable_url, None),
                CANARY: await what_is_wrong(session, target.canary_url, target.release),
            }

        urls = (target.stable_url, target.canary_url)
        async with probing(urls, target.probe_per_s, probe_key) as probe_troubles:
            controller = Controller(
                record,
                folder,
                Balancer(target.haproxy, target.backend, target.frontend),
                Prometheus(session, target.prometheus),
                health,
                probe_troubles,
                tell,
            )
            await controller.run(stop)

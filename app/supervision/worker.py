"""A worker of the API: `python -m app.supervision.worker NUMBER CHANNEL SOCKET ...`, by descriptors.

Started by the supervisor alone. It ends when it is told to, and when the supervisor is gone.
"""

import asyncio
import signal
import socket
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import uvloop

from app.domain.errors import RegistryError, Unavailable
from app.environment import SettingsError
from app.hooks import NO_HOOKS
from app.logs import configure_logs
from app.parameters.definitions import Parameters
from app.serving import Orders, serve
from app.settings import Settings
from app.supervision.channel import FAILED, READY, REPORT, RETIRE, SCRAPE, SCRAPED, Channel, encode
from app.supervision.reports import make_report
from app.tasks import end_tasks

if TYPE_CHECKING:
    from app.tracing import Tracing

SCRAPE_TIMEOUT_S = 5.0


class _Link:
    """The worker's view of the supervisor."""

    def __init__(self, number: int, channel: Channel, orders: Orders) -> None:
        self._number = number
        self._channel = channel
        self._orders = orders
        self._scrapes: list[asyncio.Future[bytes]] = []

    def tell_ready(self) -> None:
        self._channel.send(READY)

    async def scrape(self) -> bytes:
        """The metrics of all workers. Raises Unavailable."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._scrapes.append(answer)
        self._channel.send(SCRAPE)
        try:
            async with asyncio.timeout(SCRAPE_TIMEOUT_S):
                return await answer
        except TimeoutError:
            raise Unavailable("the supervisor does not tell the metrics of all workers") from None

    async def follow(self) -> None:
        """Do what the supervisor says, and retire when it is gone: its successor needs the address."""
        async for kind, content in self._channel.messages():
            if kind == REPORT:
                self.report()
            elif kind == SCRAPED:  # they come in the order in which they were asked for
                answer = self._scrapes.pop(0)
                if not answer.done():
                    answer.set_result(content)
            elif kind == RETIRE:
                self._orders.retire.set()
        self._orders.retire.set()

    def report(self) -> None:
        self._channel.send(REPORT, make_report(str(self._number)))


async def work(number: int, end: socket.socket, sockets: Sequence[socket.socket]) -> None:
    """Serve until told not to."""
    settings = Settings.from_environment()
    tracing = _open_tracing() if settings.tracing else None
    configure_logs(settings.log_level, settings.log_format, number, tracing.fields if tracing else None)
    orders = Orders(stop=asyncio.Event(), retire=asyncio.Event())
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, orders.stop.set)
    channel = await Channel.open(end.dup())
    link = _Link(number, channel, orders)
    following = asyncio.create_task(link.follow(), name="follow the supervisor")
    try:
        await serve(
            settings,
            Parameters.from_environment(),
            sockets,
            orders,
            link.tell_ready,
            link.scrape,
            tracing.hooks if tracing else NO_HOOKS,
        )
    finally:
        link.report()
        if tracing is not None:
            tracing.close()
        await end_tasks(following)
        await channel.close()


def _open_tracing() -> "Tracing":
    """Imported where it is wanted alone. Raises SettingsError."""
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise SettingsError(
            "REGISTRY_TRACING: OpenTelemetry is not installed; install it with pip install "
            "'instrument-registry[tracing]', or leave tracing off"
        )
    from app.tracing import Tracing

    return Tracing()


def main() -> None:
    number, end, *sockets = map(int, sys.argv[1:])
    with socket.socket(fileno=end) as channel:
        try:
            uvloop.run(work(number, channel, [socket.socket(fileno=listening) for listening in sockets]))
        except (RegistryError, SettingsError, OSError) as error:
            channel.setblocking(True)
            channel.sendall(encode(FAILED, str(error)))
            sys.exit(1)


if __name__ == "__main__":
    main()

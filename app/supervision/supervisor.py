"""The supervisor of the API: it binds the address once, and keeps workers alive that serve on it.

All workers inherit the same listening sockets. With sockets of their own (SO_REUSEPORT) the connections that
wait on one would be reset when its worker ends; these wait for the other workers. A worker is a fresh
interpreter, so a new one runs the code and reads the settings and secrets of now.
"""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

import structlog

from app import metrics
from app.domain.errors import RegistryError
from app.settings import Settings
from app.supervision.channel import FAILED, READY, REPORT, RETIRE, SCRAPE, SCRAPED, Channel
from app.supervision.reports import Report, Reports, make_report
from app.tasks import end_tasks

START_TIMEOUT_S: Final = 60.0
REPORT_TIMEOUT_S: Final = 2.0
"""For a worker's metrics; then those that it told last are taken."""
QUICK_S: Final = 10.0
"""A worker that ends sooner after its start is started again after a pause, which grows."""
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
_SPARE_S: Final = 10.0
"""For a worker to end in, beyond the time that its settings give it."""
_WORKER: Final = "app.supervision.worker"
_NAME: Final = "supervisor"

log = structlog.get_logger(__name__)


class WorkerFailed(RegistryError):
    """A worker that could not start; `str(error)` says why."""


class _Worker:
    """A worker process, from its start until it has ended and its last report is in."""

    def __init__(self, number: int, process: asyncio.subprocess.Process, channel: Channel) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.process = process
        self.channel = channel
        self.started = time.monotonic()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.report: Report = ()
        self._reporting: asyncio.Future[None] | None = None

    @property
    def is_ready(self) -> bool:
        return self.ready.done() and self.ready.exception() is None

    def ask_report(self) -> "asyncio.Future[None]":
        """Done when the report is in, or the worker has ended."""
        if self._reporting is None:
            self._reporting = asyncio.get_running_loop().create_future()
            self.channel.send(REPORT)
        return self._reporting

    def take_report(self, report: Report) -> None:
        self.report = report
        self.end_asking()

    def end_asking(self) -> None:
        if self._reporting is not None:
            self._reporting.set_result(None)
            self._reporting = None


class Supervisor:
    """Runs `settings.workers` workers until SIGTERM or SIGINT; on SIGHUP new ones take their place."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sockets: list[socket.socket] = []
        self._living: set[_Worker] = set()
        self._serving: list[_Worker] = []
        """Those in charge, by number; besides them there may be some that start, and some that retire."""
        self._changing = asyncio.Lock()
        self._stop = asyncio.Event()
        self._reload_wanted = asyncio.Event()
        self._reloaded = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Given the error of a task that ended, which none should."""
        self._reports = Reports()
        self._scraping: asyncio.Task[bytes] | None = None

    async def run(self) -> None:
        """Raises OSError where the address is taken, and WorkerFailed where workers cannot start at first."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_wanted.set)
        self._sockets = await _bind(self._settings.host, self._settings.port)
        serving = asyncio.create_task(self._serve(), name="serve")
        stopping = asyncio.create_task(self._stop.wait(), name="wait for the end")
        try:
            await asyncio.wait((serving, stopping, self._died), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_tasks(serving, stopping)
            await self._end()
        for ended in (serving, self._died):
            if ended.done() and not ended.cancelled():
                ended.result()

    async def _serve(self) -> None:
        self._serving = await self._start_all()
        log.info("serving", host=self._settings.host, port=self._settings.port, workers=len(self._serving))
        async with asyncio.TaskGroup() as group:
            for number in range(len(self._serving)):
                group.create_task(self._keep(number), name=f"keep worker {number}")
            while True:
                await self._reload_wanted.wait()
                self._reload_wanted.clear()
                await self._reload()

    async def _reload(self) -> None:
        log.info("reloading")
        async with self._changing:
            try:
                fresh = await self._start_all()
            except WorkerFailed as error:
                metrics.RELOADS.labels("failed").inc()
                log.error("the reload failed, the workers before it go on", reason=str(error))
                return
            before, self._serving = self._serving, fresh
            self._reloaded.set()
            self._reloaded = asyncio.Event()
        for worker in before:
            worker.channel.send(RETIRE)
            self._spawn(self._see_off([worker]), f"see worker {worker.number} off")
        metrics.RELOADS.labels("done").inc()
        log.info("reloaded", workers=len(fresh))

    async def _keep(self, number: int) -> None:
        """Start the worker of this number again whenever it ends by itself."""
        pause_s = FIRST_PAUSE_S
        while True:
            worker, reloaded = self._serving[number], asyncio.ensure_future(self._reloaded.wait())
            await asyncio.wait((worker.ended, reloaded), return_when=asyncio.FIRST_COMPLETED)
            reloaded.cancel()
            if self._serving[number] is not worker:  # it retired
                continue
            metrics.WORKERS_ENDED.inc()
            log.error("worker ended", number=number, status=worker.process.returncode)
            if time.monotonic() - worker.started >= QUICK_S:
                pause_s = FIRST_PAUSE_S
                await self._replace(worker)
            while self._serving[number] is worker:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                await self._replace(worker)

    async def _replace(self, worker: _Worker) -> None:
        """Try to have another in place of one that has ended, unless a reload did that."""
        async with self._changing:
            if self._serving[worker.number] is worker:
                try:
                    self._serving[worker.number] = await self._start(worker.number)
                except WorkerFailed as error:
                    log.error("worker cannot start", number=worker.number, reason=str(error))

    async def _start_all(self) -> list[_Worker]:
        """New workers, ready. Raises WorkerFailed, and none is left then."""
        starting = [asyncio.ensure_future(self._start(number)) for number in range(self._settings.workers)]
        try:
            return await asyncio.gather(*starting)
        except BaseException:
            for start in starting:
                start.cancel()
            for started in await asyncio.gather(*starting, return_exceptions=True):
                if isinstance(started, _Worker):  # it may have been given connections already
                    started.channel.send(RETIRE)
            raise

    async def _start(self, number: int) -> _Worker:
        """A new worker when it is ready. Raises WorkerFailed."""
        ours, theirs = socket.socketpair()
        inherited = [theirs.fileno(), *(listening.fileno() for listening in self._sockets)]
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", _WORKER, str(number), *map(str, inherited)),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=inherited,
                    start_new_session=True,  # Ctrl-C reaches the supervisor alone
                    env=_environment(self._settings.workers),
                )
        except OSError as error:
            ours.close()
            raise WorkerFailed(f"worker {number} could not be started: {error}") from error
        worker = _Worker(number, process, await Channel.open(ours))
        self._living.add(worker)
        self._spawn(self._attend(worker), f"attend to worker {number}")
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await asyncio.shield(worker.ready)
        except TimeoutError:
            process.kill()
            raise WorkerFailed(f"worker {number} was not ready after {START_TIMEOUT_S:.0f} s") from None
        except asyncio.CancelledError:
            process.kill()
            raise
        return worker

    async def _attend(self, worker: _Worker) -> None:
        """Hear what a worker has to say until it has ended."""
        failure = None
        async for kind, content in worker.channel.messages():
            if kind == READY:
                worker.ready.set_result(None)
                self._count_ready()
            elif kind == FAILED:
                failure = str(content)
            elif kind == REPORT:
                worker.take_report(content)
            elif kind == SCRAPE:
                self._spawn(self._answer_scrape(worker), "answer a scrape")
        status = await worker.process.wait()
        await worker.channel.close()
        self._living.remove(worker)
        self._reports.end(worker.report)
        worker.end_asking()
        if not worker.ready.done():
            worker.ready.set_exception(
                WorkerFailed(failure or f"worker {worker.number} ended at its start with status {status}")
            )
            worker.ready.exception()  # who started it may have gone
        self._count_ready()
        worker.ended.set_result(None)

    def _count_ready(self) -> None:
        metrics.WORKERS.set(sum(worker.is_ready for worker in self._living))

    async def _answer_scrape(self, worker: _Worker) -> None:
        """Those who ask while the workers are being asked share what comes of it."""
        if self._scraping is None or self._scraping.done():
            self._scraping = asyncio.create_task(self._scrape(), name="scrape the workers")
        worker.channel.send(SCRAPED, await asyncio.shield(self._scraping))

    async def _scrape(self) -> bytes:
        asked = [worker.ask_report() for worker in self._living if worker.is_ready]
        if asked:
            await asyncio.wait(asked, timeout=REPORT_TIMEOUT_S)
        own = make_report(_NAME, metrics.OF_SUPERVISOR)
        return self._reports.export([own, *(worker.report for worker in self._living)])

    async def _end(self) -> None:
        """End all workers, which answer what is under way; kill those that do not in time."""
        if self._serving:
            log.info("stopping")
        for listening in self._sockets:  # nobody is to wait there when the last worker stops listening
            listening.close()
        for worker in self._living:
            if worker.process.returncode is None:
                worker.process.terminate()
        await self._see_off(list(self._living))
        await end_tasks(*self._tasks)

    async def _see_off(self, workers: Sequence[_Worker]) -> None:
        """Wait for workers to end that were asked to; kill those that do not in time."""
        limit_s = self._settings.shutdown_drain_s + 2 * self._settings.shutdown_grace_s + _SPARE_S
        ending = {worker.ended for worker in workers}
        if not ending:
            return
        _, late = await asyncio.wait(ending, timeout=limit_s)
        if late:
            for worker in workers:
                if worker.ended in late:
                    log.error("worker does not end and is killed", number=worker.number)
                    worker.process.kill()
            await asyncio.wait(late)

    def _spawn(self, work: Any, name: str) -> "asyncio.Task[Any]":
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._died.done():
            self._died.set_exception(error)


def _environment(workers: int) -> dict[str, str]:
    """The supervisor's own; how many workers there are may have come from the command line."""
    environment = {**os.environ, "REGISTRY_WORKERS": str(workers)}
    environment.pop("REGISTRY_WORKERS_FILE", None)
    return environment


async def _bind(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of the host; it listens when the first worker is ready. Raises OSError."""
    sockets: list[socket.socket] = []
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, address in dict.fromkeys((family, address) for family, *_, address in found):
            listening = socket.socket(family)
            sockets.append(listening)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind(address)
    except OSError as error:
        for listening in sockets:
            listening.close()
        raise OSError(
            f"{host} port {port} cannot be listened on ({error.strerror}); choose another with REGISTRY_PORT "
            "(and REGISTRY_HOST), or end the process that has it"
        ) from error
    return sockets

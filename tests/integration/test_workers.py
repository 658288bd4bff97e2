"""Several processes that serve at one address: they share it, take over from each other, and count as one."""

import asyncio
import os
import re
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson
import pytest

from app.embedded.children import free_port
from tests.integration.conftest import eventually

START_S: Final = 30.0
LIVE: Final = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass(slots=True)
class Answer:
    status: int
    closes: bool
    body: bytes


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes = LIVE) -> Answer:
    """Raises EOFError or ConnectionError where there is no answer."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None, head
    return Answer(
        int(head.split()[1]), b"connection: close" in head, await reader.readexactly(int(length[1]))
    )


@dataclass(slots=True)
class Serve:
    """`instrument-registry serve`, as a process of its own."""

    process: asyncio.subprocess.Process
    port: int
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def workers(self) -> dict[int, int]:
        """Process ids by number, of those that began last."""
        started = (orjson.loads(line) for line in self.log.splitlines() if '"worker serving"' in line)
        return {line["worker"]: line["pid"] for line in started}

    async def get(self, path: str) -> Answer:
        """By a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            return await ask(reader, writer, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        finally:
            writer.close()

    async def metric(self, name: str) -> float:
        """The sum of the samples whose name and labels begin so."""
        exported = (await self.get("/metrics")).body.decode()
        return sum(float(line.rpartition(" ")[2]) for line in exported.splitlines() if line.startswith(name))

    async def until_logged(self, text: str) -> None:
        async def is_logged() -> bool:
            return text in self.log

        await eventually(is_logged, START_S)

    async def reload(self) -> None:
        done = self.log.count('"reloaded"')
        self.process.send_signal(signal.SIGHUP)

        async def is_done() -> bool:
            return self.log.count('"reloaded"') > done

        await eventually(is_done, START_S)


Start = Callable[..., Awaitable[Serve]]


@pytest.fixture
async def start(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts the service with some workers and settings; it serves, unless `ready` is false."""
    started: list[Serve] = []

    async def start_it(workers: int = 2, *, ready: bool = True, **settings: str) -> Serve:
        port = free_port()
        environment = {
            **os.environ,
            "REGISTRY_DATABASE_URL": database_url,
            "REGISTRY_REDIS_URL": redis_url,
            "REGISTRY_PORT": str(port),
            "REGISTRY_WORKERS": str(workers),
            "REGISTRY_SHUTDOWN_DRAIN_S": "0.1",
            "REGISTRY_SHUTDOWN_GRACE_S": "2",
            **settings,
        }
        for name in [name for name in environment if f"{name}_FILE" in environment]:
            del environment[name]
        log_file = tmp_path / f"serve-{port}.log"
        with log_file.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "app.supervision"),  # what the command becomes, in half the time
                env=environment,
                stderr=output,
            )
        serve = Serve(process, port, log_file)
        started.append(serve)
        if ready:
            await serve.until_logged('"event":"serving"')
        return serve

    yield start_it
    for serve in started:
        if serve.process.returncode is None:
            serve.process.terminate()
        async with asyncio.timeout(START_S):
            await serve.process.wait()


@dataclass(slots=True)
class Callers:
    """Some that keep their connection, others that take a new one for each request."""

    port: int
    answered: int = 0
    failures: list[tuple[int, Exception]] = field(default_factory=list)

    async def call(self, number: int) -> None:
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                while True:
                    answer = await ask(reader, writer)
                    assert answer.status == 200, answer
                    self.answered += 1
                    await asyncio.sleep(0.002)
                    if answer.closes or number % 2:
                        break
            except (EOFError, ConnectionError) as error:
                self.failures.append((number, error))
            finally:
                writer.close()

    async def more(self) -> None:
        """Until many more were answered."""
        enough = self.answered + 200

        async def are_answered() -> bool:
            return self.answered >= enough

        await eventually(are_answered)


@asynccontextmanager
async def calling(port: int) -> AsyncIterator[Callers]:
    callers = Callers(port)
    tasks = [asyncio.create_task(callers.call(number)) for number in range(8)]
    try:
        yield callers
    finally:
        for task in tasks:
            if task.done():
                task.result()
            task.cancel()
        await asyncio.wait(tasks)


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


async def until_gone(pids: Iterable[int]) -> None:
    async def are_gone() -> bool:
        return not any(map(is_running, pids))

    await eventually(are_gone)


async def test_no_request_is_refused_or_lost_by_a_reload(start: Start) -> None:
    serve = await start()
    async with calling(serve.port) as callers:
        await callers.more()
        before = serve.workers()
        await serve.reload()
        await callers.more()
        after = serve.workers()
        assert not set(before.values()) & set(after.values())

        await until_gone(before.values())
        await callers.more()
        assert not callers.failures
    assert '"status":503' not in serve.log


async def test_a_worker_that_dies_is_replaced_and_only_its_own_connections_are_lost(start: Start) -> None:
    serve = await start()
    async with calling(serve.port) as callers:
        await callers.more()
        counted = await serve.metric("registry_http_request_seconds_count")
        assert counted >= 200
        os.kill(serve.workers()[0], signal.SIGKILL)
        await serve.until_logged('"worker ended"')
        assert await serve.metric("registry_http_request_seconds_count") >= counted
        await callers.more()

        async def are_complete() -> bool:
            return await serve.metric("registry_workers ") == 2

        await eventually(are_complete, START_S)
        await callers.more()
        assert await serve.metric("registry_workers_ended_total") == 1
        # Each caller had one connection at most; nobody was refused.
        numbers = [number for number, _ in callers.failures]
        assert len(numbers) == len(set(numbers))
        assert not [error for _, error in callers.failures if isinstance(error, ConnectionRefusedError)]


async def test_the_metrics_are_those_of_all_workers_and_never_go_down(start: Start) -> None:
    serve = await start()
    for _ in range(40):
        await serve.get("/health/live")
    counts = 'registry_http_request_seconds_count{method="GET",route="/health/live",status="200"}'
    assert {await serve.metric(counts) for _ in range(10)} == {40}
    assert await serve.metric("registry_postgres_connections_max") == 20
    assert await serve.metric("registry_workers ") == 2
    for worker in ("0", "1", "supervisor"):
        assert await serve.metric(f'process_cpu_seconds_total{{worker="{worker}"}}') > 0
    await serve.reload()

    async def are_replaced() -> bool:
        return await serve.metric("registry_workers ") == 2

    await eventually(are_replaced)
    assert await serve.metric(counts) == 40
    assert await serve.metric("registry_postgres_connections_max") == 20
    assert await serve.metric('registry_reloads_total{result="done"}') == 1

    # One that does not tell them is shown as it was.
    stopped = serve.workers()[0]
    os.kill(stopped, signal.SIGSTOP)
    try:

        async def metrics_come() -> bool:
            with suppress(TimeoutError):  # the one that is stopped may have been given the connection
                async with asyncio.timeout(5):
                    return await serve.metric('process_cpu_seconds_total{worker="0"}') > 0
            return False

        await eventually(metrics_come, START_S)
    finally:
        os.kill(stopped, signal.SIGCONT)


async def test_a_reload_reads_settings_anew_and_a_bad_one_leaves_things_as_they_are(
    start: Start, tmp_path: Path
) -> None:
    scopes = tmp_path / "scopes"
    scopes.write_text("instruments:read")
    serve = await start(1, REGISTRY_ANONYMOUS_SCOPES_FILE=str(scopes))
    reader, writer = await asyncio.open_connection("127.0.0.1", serve.port)
    with closing(writer):
        await see_reloads(serve, scopes.write_text, reader, writer)


async def see_reloads(
    serve: Serve, allow: Callable[[str], object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    assert (await ask(reader, writer)).closes is False
    path = "/v1/instruments/ins_1/history"
    assert (await serve.get(path)).status == 404

    allow("nonsense")
    serve.process.send_signal(signal.SIGHUP)
    await serve.until_logged("the reload failed")
    assert "REGISTRY_ANONYMOUS_SCOPES: unknown scope 'nonsense'" in serve.log
    assert (await serve.get(path)).status == 404
    assert (await ask(reader, writer)).closes is False
    assert await serve.metric('registry_reloads_total{result="failed"}') == 1

    allow("")
    await serve.reload()

    async def is_refused() -> bool:
        return (await serve.get(path)).status == 401

    await eventually(is_refused)
    # The one before still answers who has a connection to it, and sends nobody elsewhere.
    await serve.until_logged('"worker stopping"')
    answer = await ask(reader, writer, b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (answer.status, answer.closes) == (200, True)


async def test_workers_end_with_a_supervisor_that_is_killed(start: Start) -> None:
    serve = await start()
    pids = serve.workers().values()
    serve.process.kill()

    await until_gone(pids)
    with pytest.raises(ConnectionRefusedError):
        await serve.get("/health/live")


async def test_a_service_whose_worker_cannot_start_ends_with_its_reason(
    start: Start, tmp_path: Path, database_url: str
) -> None:
    """The file says one thing to the supervisor, and another to its worker."""
    secret = tmp_path / "database-url"
    os.mkfifo(secret)

    def tell() -> None:
        secret.write_text(database_url)
        with suppress(OSError):  # until the first reader is gone
            while True:
                os.close(os.open(secret, os.O_WRONLY | os.O_NONBLOCK))
        secret.write_text("nonsense")

    telling = threading.Thread(target=tell)
    telling.start()
    serve = await start(1, ready=False, REGISTRY_DATABASE_URL_FILE=str(secret))
    async with asyncio.timeout(START_S):
        assert await serve.process.wait() == 1
    telling.join()
    errors = [line for line in serve.log.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and "REGISTRY_DATABASE_URL: must be a URL" in errors[0]
    assert "Traceback" not in serve.log

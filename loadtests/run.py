"""A load test from its start to its evidence: Locust's users, the bare handler, what happens meanwhile."""

import asyncio
import math
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import aiohttp
import psutil
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from app.embedded.children import Child, free_port, start_child, start_on_free_port
from app.terminal import messages
from loadtests.corpus import Entry, corpus_of_file
from loadtests.disturbances import Disturbance, disturb
from loadtests.evidence import Measured, evaluate
from loadtests.plan import BEGINS_FILE, KEY_VARIABLE, PLAN_FILE, REQUESTS_FILE, Plan, now
from loadtests.processes import Watched, processes_of, settings_of, watch
from loadtests.records import read_requests
from loadtests.service import DISTURBING_SCOPES, USERS_SCOPES, describe, open_service, read_catalog
from loadtests.shapes import CorpusChoice, LoadTestError, Shape, read_shapes

LOCUSTFILE: Final = Path(__file__).with_name("locustfile.py")
OMISSION: Final = (
    "Users are a closed loop with fixed moments: each has one request under way, and a latency counts from "
    "the moment the request was due. One that could not be sent in time, because the user still waited for "
    "the answer before it, counts that waiting: coordinated omission is avoided. The bare handler does not "
    "answer for the service: what users ask it while they still wait for the service is due when they have "
    "its answer."
)
_START_S: Final = 60.0
_END_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is asked to be."""

    shape_name: str
    url: str
    key: str | None
    factor: float
    seconds: float | None
    """None: as the shape has it."""
    against_bare: bool
    disturb: bool
    corpus: Path | None
    shapes: Path
    processes: int
    """Of Locust, on this machine."""
    workers: int
    """Of Locust, that are awaited from elsewhere."""
    pids: Sequence[int]
    judges_latency: bool = True


async def run(options: Options) -> dict[str, Any]:
    """Make a load test; its evidence. Raises LoadTestError."""
    shapes = read_shapes(options.shapes)
    shape: Shape = getattr(shapes, options.shape_name)
    if not options.judges_latency:
        shape = shape.without_latency()
    if options.disturb and shape.disturb_every_s is None:
        raise LoadTestError(f"--disturb: the shape {options.shape_name} has no disturb_every_s; leave it out")
    scopes = (*USERS_SCOPES, *(DISTURBING_SCOPES if options.disturb else ()))
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(open_service(options.url, options.key))
        description = await describe(session, scopes)
        processes = processes_of(options.url, options.pids)
        entries = await _corpus(session, options.corpus, shapes.corpus)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="registry-load-")))
        bare_url = None
        if options.against_bare:
            bare, bare_url = _start_bare(folder)
            stack.callback(bare.stop)
        seconds = _whole_turns(options.seconds or shape.seconds, shape)
        plan = Plan(
            url=options.url,
            bare_url=bare_url,
            users=max(1, round(shape.rate_per_s * options.factor * shape.pacing_s)),
            shares=shapes.users,
            pacing_s=shape.pacing_s,
            warm_up_s=shape.warm_up_of(seconds),
            turn_s=shape.turn_s,
            seconds=seconds * 2 if bare_url and shape.turn_s else seconds,
            choice=shapes.corpus,
            corpus=entries,
        )
        measured = await _measure(options, shape, seconds, plan, session, folder, processes)
        return {
            "shape": options.shape_name,
            "started_at": datetime.fromtimestamp(measured.begins_at, UTC).isoformat(timespec="seconds"),
            "warm_up_s": plan.warm_up_s,
            "seconds": seconds,
            "factor": options.factor,
            **evaluate(measured),
            "coordinated_omission": OMISSION,
            "users": {"count": plan.users, "pacing_s": plan.pacing_s, "shares": plan.shares.model_dump()},
            "sides_asked": None if bare_url is None else ("in turns" if plan.turn_s else "side by side"),
            "corpus": {
                "from": str(options.corpus or "the service's catalog"),
                "instruments": len(entries),
                "zipf_exponent": plan.choice.zipf_exponent,
                "seed": plan.choice.seed,
            },
            "service": {
                "url": options.url,
                **description,
                "settings": settings_of(processes[0].process) if processes else None,
                "processes": len(processes),
            },
            "commit": _commit(),
            "locust": {
                "version": version("locust"),
                "processes": options.processes,
                "workers": options.workers,
            },
            "machine": _machine(),
        }


async def _corpus(session: aiohttp.ClientSession, file: Path | None, choice: CorpusChoice) -> list[Entry]:
    if file is not None:
        return corpus_of_file(file, choice.instruments)
    return await read_catalog(session, choice.instruments)


def _whole_turns(seconds: float, shape: Shape) -> float:
    """Each side has whole turns, so that what it is asked is known."""
    if shape.turn_s is None:
        return seconds
    return shape.turn_s * max(1, round(seconds / shape.turn_s))


def _start_bare(folder: Path) -> tuple[Child, str]:
    def start(port: int) -> Child:
        command = [sys.executable, "-m", "loadtests.bare", "replay", str(port)]
        return start_child("the bare handler", command, folder / "bare.log")

    child, port = start_on_free_port(start, _listens, _START_S)
    return child, f"http://127.0.0.1:{port}"


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


async def _measure(
    options: Options,
    shape: Shape,
    seconds: float,
    plan: Plan,
    session: aiohttp.ClientSession,
    folder: Path,
    processes: Sequence[Watched],
) -> Measured:
    """Let Locust's users work, and disturb the index meanwhile if asked to."""
    (folder / PLAN_FILE).write_text(plan.model_dump_json())
    locust = start_child(
        "Locust", _command(options, folder), folder / "locust.log", environment=_environment(options)
    )
    watching = asyncio.create_task(watch(processes), name="watch memory")
    disturbances: list[Disturbance] = []
    try:
        begins_file = folder / BEGINS_FILE
        await _until(begins_file.exists, locust, _START_S if not options.workers else math.inf)
        begins_at = float(begins_file.read_text())
        ends_at = begins_at + plan.seconds
        with _progress(options, ends_at):
            if options.disturb and shape.disturb_every_s is not None:
                every_s = shape.disturb_every_s
                await asyncio.sleep(begins_at - now())
                await disturb(session, plan.corpus, every_s, ends_at, disturbances)
            await _until(lambda: locust.exited, locust, ends_at - now() + _END_S)
    finally:
        watching.cancel()
        await asyncio.to_thread(locust.stop)
    if locust.process.returncode != 0 or not (folder / REQUESTS_FILE).exists():
        raise LoadTestError(f"Locust failed: {locust.log_tail()}")
    requests = read_requests(folder / REQUESTS_FILE)
    return Measured(shape, options.factor, seconds, begins_at, ends_at, requests, disturbances, processes)


def _command(options: Options, folder: Path) -> list[str | Path]:
    """Locust without a user interface: the shape ends it, and its failures are judged here."""
    command: list[str | Path] = [sys.executable, "-m", "locust", "-f", LOCUSTFILE, "--headless"]
    command += ["--host", options.url, "--load-folder", folder, "--stop-timeout", "10"]
    command += ["--only-summary", "--loglevel", "WARNING", "--exit-code-on-error", "0"]
    if options.workers:
        return [*command, "--master", "--expect-workers", str(options.workers)]
    if options.processes > 1:
        port = str(free_port())
        return [
            *command,
            "--processes",
            str(options.processes),
            "--master-port",
            port,
            "--master-bind-port",
            port,
        ]
    return command


def _environment(options: Options) -> dict[str, str]:
    """Locust imports this project from where this process has it."""
    path = [str(LOCUSTFILE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    key = {} if options.key is None else {KEY_VARIABLE: options.key}
    return {**os.environ, **key, "PYTHONPATH": os.pathsep.join(path)}


async def _until(reached: Callable[[], bool], locust: Child, timeout_s: float) -> None:
    """Raises LoadTestError where Locust ends before, or time runs out."""
    deadline = time.monotonic() + timeout_s
    while not reached():
        if locust.exited:
            raise LoadTestError(f"Locust ended before its time: {locust.log_tail()}")
        if time.monotonic() > deadline:
            raise LoadTestError(f"Locust was not done in time: {locust.log_tail()}")
        await asyncio.sleep(0.1)


@contextmanager
def _progress(options: Options, ends_at: float) -> Iterator[None]:
    """A bar over the time of the run."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=messages) as progress:
        total = ends_at - now()
        bar = progress.add_task(f"Load test {options.shape_name}", total=total)

        async def advance() -> None:
            while (left := ends_at - now()) > 0:
                progress.update(bar, completed=total - left)
                await asyncio.sleep(0.5)

        task = asyncio.create_task(advance(), name="show progress")
        try:
            yield
        finally:
            task.cancel()


def _commit() -> str | None:
    """Of the code that this process runs; None outside its repository."""
    command = [
        "git",
        "-C",
        str(LOCUSTFILE.parent),
        "describe",
        "--always",
        "--abbrev=40",
        "--dirty",
        "--exclude=*",
    ]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "system": platform.platform(),
        "memory_mb": round(psutil.virtual_memory().total / 1e6),
        "python": platform.python_version(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }

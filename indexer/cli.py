"""The command line `instrument-registry indexer`."""

import asyncio
import contextlib
import getpass
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Final, NoReturn

import typer
import uvloop
from redis.asyncio import Redis
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from app.domain.errors import Conflict, RegistryError
from app.environment import SettingsError
from app.logs import configure_logs
from app.parameters.definitions import Parameters
from app.parameters.following import follow, opened
from app.parameters.live import LiveParameters
from app.settings import Settings
from app.store.index_jobs import IndexJobs, Job, JobKind, JobState
from app.store.index_view import IndexView, read_index_view
from app.store.index_writer import shown_token
from app.store.postgres import open_connection
from app.store.redis import open_search_redis
from app.terminal import AsJson, messages, output, print_json, run_command
from indexer.health import health_server
from indexer.runner import SETTLE_INTERVALS, RunnerSettings, run, until_first
from indexer.shown import print_drift, print_repair, print_status
from indexer.verify import Drift, verify

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The search index: keep it level with Postgres, rebuild it, look at it, compare it.",
)

_REDIS_TIMEOUT_S: Final = 30.0
_REDIS_POOL_SIZE: Final = 16
_POLL_S: Final = 0.1


def main() -> NoReturn:
    """Run the command that the arguments name."""
    run_command(cli, "instrument-registry indexer", RegistryError, SettingsError, OSError)


@cli.command("run")
def run_loop() -> None:
    """The loop: refresh every SEARCH_INDEX_REFRESH seconds and when woken, carry out jobs. Until SIGTERM.

    Example: REGISTRY_DATABASE_URL=... REGISTRY_REDIS_URL=... instrument-registry indexer run
    """
    settings = Settings.from_environment()
    given = Parameters.from_environment()
    _, redis_url = _urls(settings)
    configure_logs(settings.log_level, settings.log_format)

    async def loop() -> None:
        stop = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        async with contextlib.AsyncExitStack() as stack:
            if settings.indexer_port is not None:
                await stack.enter_async_context(health_server(settings.indexer_host, settings.indexer_port))
            client = await stack.enter_async_context(_redis(redis_url))
            parameters, service = await stack.enter_async_context(
                opened(given, settings.config_url, settings.config_poll_s)
            )
            work = [run(_runner_settings(settings, parameters), client, stop)]
            if service is not None:
                work.append(follow(parameters, service, settings.config_poll_s))
            await until_first(*work)

    uvloop.run(loop())


@cli.command()
def refresh(as_json: AsJson = False) -> None:
    """One refresh now: by the indexer that leads, or by this command if none does.

    Example: instrument-registry indexer refresh
    """
    job = uvloop.run(_request(JobKind.REFRESH, watch=False))
    _print_done(job, "The index is level with Postgres.", as_json=as_json)


@cli.command()
def rebuild(
    watch: Annotated[bool, typer.Option("--watch", help="Show a progress bar.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build the next generation beside the live one and swap; searches go on meanwhile.

    Example: instrument-registry indexer rebuild --watch
    """
    job = uvloop.run(_request(JobKind.REBUILD, watch=watch))
    _print_done(job, "The new generation is live.", as_json=as_json)


@cli.command()
def rollback(as_json: AsJson = False) -> None:
    """Back to the generation that was live before, in one step; it was kept level with Postgres.

    Example: instrument-registry indexer rollback
    """
    job = uvloop.run(_request(JobKind.ROLLBACK, watch=False))
    _print_done(job, f"Generation {job.generation} is live again.", as_json=as_json)


@cli.command()
def status(as_json: AsJson = False) -> None:
    """What is live and how far behind.

    Example: instrument-registry indexer status --json
    """
    view = uvloop.run(_read_status())
    if as_json:
        print_json(asdict(view))
    else:
        print_status(view)


@cli.command("verify")
def verify_index(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what drifts, and compare again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare index and Postgres row by row; exit status 1 on drift.

    Example: instrument-registry indexer verify --repair
    """
    settings = Settings.from_environment()
    configure_logs("warning", "text")
    drift = uvloop.run(_compare(settings))
    if repair and (drift.is_repairable or drift.parked):
        job = uvloop.run(_request(JobKind.REPAIR, watch=False))
        if not as_json:
            print_drift(drift)
            print_repair(job)
        drift = uvloop.run(_compare(settings))
    if as_json:
        print_json({**asdict(drift), "clean": drift.clean})
    else:
        print_drift(drift)
    if not drift.clean:
        sys.exit(1)


def _print_done(job: Job, said: str, *, as_json: bool) -> None:
    """That a job was carried out; as JSON the job, as `GET /v1/admin/index/jobs/{id}` has it."""
    if as_json:
        print_json(asdict(job))
        return
    output.print(said)
    if parked := (job.checks or {}).get("parked"):
        output.print(f"But for {parked:,} parked rows; instrument-registry indexer status names them.")


async def _compare(settings: Settings) -> Drift:
    database_url, redis_url = _urls(settings)
    settle_s = SETTLE_INTERVALS * (await _parameters(settings)).search_index_refresh
    async with _redis(redis_url) as client:
        return await verify(database_url, client, settle_s)


async def _request(kind: JobKind, *, watch: bool) -> Job:
    """Ask for a job and wait for its end, carrying it out here if nobody leads. Raises RegistryError."""
    settings = Settings.from_environment()
    database_url, redis_url = _urls(settings)
    configure_logs("warning", "text")
    async with open_connection(database_url) as connection, _redis(redis_url) as client:
        await shown_token(client)  # a Redis that is away is told now, not waited for
        jobs = IndexJobs(connection)
        requested = await jobs.request(kind, _requester())
        job_id = requested.id
        if requested.kind is not kind:
            raise Conflict(f"job {job_id}, a {requested.kind}, is under way; wait for it to end")
        if not requested.created:
            messages.print(f"Following job {job_id}, which was already asked for.")
        stop = asyncio.Event()
        parameters = await _parameters(settings)
        runner = asyncio.ensure_future(run(_runner_settings(settings, parameters), client, stop))
        try:
            job = await _follow(jobs, job_id, watch=watch)
        finally:
            stop.set()
            await runner
    if job.state is JobState.CANCELLED:
        raise RegistryError(f"the {kind} was cancelled by {job.cancelled_by}")
    if job.error is not None:
        raise RegistryError(f"the {kind} failed: {job.error}")
    return job


def _requester() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return f"uid {os.getuid()}"


async def _follow(jobs: IndexJobs, job_id: int, *, watch: bool) -> Job:
    """The job when it has ended; with `watch`, a bar until then."""
    columns = (
        TextColumn("{task.description:12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=messages, disable=not watch) as progress:
        task = progress.add_task("waiting", total=None)
        while (job := await jobs.read(job_id)) is not None:
            progress.update(task, description=job.phase or job.state, completed=job.done, total=job.total)
            if job.finished:
                return job
            await asyncio.sleep(_POLL_S)
    raise RegistryError(f"job {job_id} is gone")


async def _read_status() -> IndexView:
    database_url, redis_url = _urls(Settings.from_environment())
    async with open_connection(database_url) as connection, _redis(redis_url) as client:
        return await read_index_view(connection, client)


@contextlib.asynccontextmanager
async def _redis(url: str) -> AsyncIterator[Redis]:
    client = open_search_redis(url, pool_size=_REDIS_POOL_SIZE, timeout_s=_REDIS_TIMEOUT_S)
    try:
        yield client
    finally:
        await client.aclose()


async def _parameters(settings: Settings) -> LiveParameters:
    """As they are now, which is long enough for a command."""
    async with opened(Parameters.from_environment(), settings.config_url, settings.config_poll_s) as live:
        return live[0]


def _runner_settings(settings: Settings, parameters: LiveParameters) -> RunnerSettings:
    return RunnerSettings(
        settings.needed_database_url(),
        f"{socket.gethostname()}:{os.getpid()}:{time.time_ns()}",
        parameters,
        settings.stream_retention_hours * 3600.0,
        settings.abandoned_index_hours * 3600.0,
    )


def _urls(settings: Settings) -> tuple[str, str]:
    """The URLs of Postgres and Redis. Raises SettingsError."""
    return settings.needed_database_url(), settings.needed_redis_url()

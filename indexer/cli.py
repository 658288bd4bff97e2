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
from itertools import islice
from typing import Annotated, Final

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
from app.domain.instrument import public_id
from app.environment import SettingsError
from app.logs import configure_logs
from app.parameters.definitions import Parameters
from app.parameters.following import follow, opened
from app.parameters.live import LiveParameters
from app.settings import Settings
from app.store.index_jobs import IndexJobs, Job, JobKind, JobState
from app.store.index_view import read_index_view
from app.store.index_writer import shown_token
from app.store.postgres import open_connection
from app.store.redis import open_search_redis
from app.terminal import fail, messages, output, print_table
from indexer.health import health_server
from indexer.runner import SETTLE_INTERVALS, RunnerSettings, run, until_first
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
_MAX_LISTED: Final = 20


def main() -> None:
    """Run a command; what it cannot do is said in one line, and the exit status is 1."""
    try:
        cli(prog_name="instrument-registry indexer")
    except (RegistryError, SettingsError, OSError) as error:
        fail(str(error))


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
def refresh() -> None:
    """One refresh now: by the indexer that leads, or by this command if none does.

    Example: instrument-registry indexer refresh
    """
    job = uvloop.run(_request(JobKind.REFRESH, watch=False))
    output.print("The index is level with Postgres.")
    _print_parked(job)


@cli.command()
def rebuild(
    watch: Annotated[bool, typer.Option("--watch", help="Show a progress bar.")] = False,
) -> None:
    """Build the next generation beside the live one and swap; searches go on meanwhile.

    Example: instrument-registry indexer rebuild --watch
    """
    job = uvloop.run(_request(JobKind.REBUILD, watch=watch))
    output.print("The new generation is live.")
    _print_parked(job)


@cli.command()
def rollback() -> None:
    """Back to the generation that was live before, in one step; it was kept level with Postgres.

    Example: instrument-registry indexer rollback
    """
    job = uvloop.run(_request(JobKind.ROLLBACK, watch=False))
    output.print(f"Generation {job.generation} is live again.")


@cli.command()
def status() -> None:
    """What is live and how far behind.

    Example: instrument-registry indexer status
    """
    uvloop.run(_print_status())


@cli.command("verify")
def verify_index(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what drifts, and compare again.")] = False,
) -> None:
    """Compare index and Postgres row by row; exit status 1 on drift.

    Example: instrument-registry indexer verify --repair
    """
    settings = Settings.from_environment()
    configure_logs("warning", "text")
    drift = uvloop.run(_compare(settings))
    if repair and (drift.is_repairable or drift.parked):
        job = uvloop.run(_request(JobKind.REPAIR, watch=False))
        checks = job.checks or {}
        output.print(f"Repaired: {checks.get('written', 0):,} written, {checks.get('removed', 0):,} removed")
        drift = uvloop.run(_compare(settings))
    if not drift.clean:
        sys.exit(1)


def _print_parked(job: Job) -> None:
    if parked := (job.checks or {}).get("parked"):
        output.print(f"But for {parked:,} parked rows; instrument-registry indexer status names them.")


async def _compare(settings: Settings) -> Drift:
    """What drifts, printed."""
    database_url, redis_url = _urls(settings)
    settle_s = SETTLE_INTERVALS * (await _parameters(settings)).search_index_refresh
    async with _redis(redis_url) as client:
        drift = await verify(database_url, client, settle_s)
    output.print(f"Generation {drift.generation}: {drift.rows:,} rows compared")
    for kind, numbers in (("missing", drift.missing), ("stale", drift.stale), ("phantom", drift.phantom)):
        listed = ", ".join(map(str, numbers[:_MAX_LISTED])) + (" ..." if len(numbers) > _MAX_LISTED else "")
        output.print(f"{kind:8} {len(numbers):,}" + (f": {listed}" if numbers else ""))
    output.print(f"{'refused':8} {drift.refused:,}")
    output.print(f"miscounted {drift.miscounted:,}")
    output.print(f"{'parked':8} {len(drift.parked):,}")
    for number, reason in islice(drift.parked.items(), _MAX_LISTED):
        output.print(f"  {public_id(number)}: {reason}")
    if drift.clean:
        output.print("No drift.")
    if drift.is_repairable:
        output.print("The index drifts; instrument-registry indexer verify --repair mends it.")
    if drift.parked:
        output.print("Parked rows hold values that cannot be shown; correct them, and the index follows.")
    if drift.refused:
        output.print(
            "Redis refuses documents; instrument-registry indexer rebuild says which gate they fail."
        )
    return drift


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


async def _print_status() -> None:
    database_url, redis_url = _urls(Settings.from_environment())
    async with open_connection(database_url) as connection, _redis(redis_url) as client:
        view = await read_index_view(connection, client)
    live = next((g for g in view.generations if g.number == view.live_generation), None)
    if view.redis_error is not None:
        output.print(f"{view.redis_error}; of the index nothing else is known than what follows.")
    elif live is None or live.documents is None:
        output.print("No index is live.")
    else:
        output.print(f"Live generation {live.number}: {live.documents:,} documents of {view.rows:,} rows")
        output.print(f"Level with Postgres {view.age_s} s ago")
        if view.oldest_unindexed_s is not None:
            output.print(f"The oldest change that it does not have waits for {view.oldest_unindexed_s} s")
    if view.last_refreshes:
        last = view.last_refreshes[0]
        output.print(
            f"Last refresh: {last.at:%H:%M:%S}Z, {last.seconds * 1000:.1f} ms, {last.written:,} written, "
            f"{last.removed:,} removed"
        )
    output.print(f"Leader: {view.leader or 'none; start one with instrument-registry indexer run'}")
    if view.parked:
        output.print(f"Parked rows, of which no documents can be made: {view.parked:,}")
        for row in view.parked_rows:
            output.print(f"  {row.instrument}: {row.reason}")
    if view.redis_memory_bytes is not None:
        output.print(f"Redis: {view.redis_memory_bytes / 1e6:,.0f} MB")
    print_table(
        ("generation", "state", "documents", "live since"),
        [
            (g.number, g.state, g.documents, f"{g.live_at:%Y-%m-%d %H:%M:%S}Z" if g.live_at else None)
            for g in view.generations
        ],
    )


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

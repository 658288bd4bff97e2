"""The service's parts for integration tests: imports, an indexer that runs, an API over both."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import unused_port
from redis.asyncio import Redis

from app.domain.access import INSTRUMENTS_READ
from app.domain.profile import ProfileLimits
from app.ingest.generic import convert
from app.ingest.importer import ImportReport, import_rows
from app.ingest.rows import RowSource
from app.main import make_app
from app.parameters.definitions import Parameters
from app.parameters.live import LiveParameters
from app.settings import Settings
from app.store.copy_epochs import CopyEpochs
from app.store.copy_server import CopyServer
from app.store.index_jobs import IndexJobs, Job, JobKind
from app.store.index_state import read_live_state
from app.store.index_writer import IndexWriter, shown_token
from app.store.postgres import Connection, Postgres, open_connection
from app.store.profile_copies import ProfileCopies
from app.store.profiles import Profiles
from app.tasks import end_tasks
from app.web.server import ProblemRunner
from indexer.runner import RunnerSettings, run
from indexer.verify import Drift, verify
from tests.integration.config_services import Etcd, WebService
from tests.integration.openid import Provider

Client: TypeAlias = ClientSession
Import: TypeAlias = Callable[..., Awaitable[ImportReport]]
WaitLevel: TypeAlias = Callable[[], Awaitable[Drift]]

WAIT_S = 60.0
FIRST_JOB_HAS_ENDED = (
    "SELECT NOT EXISTS (SELECT FROM index_jobs WHERE id = (SELECT min(id) FROM index_jobs) "
    "AND state IN ('queued', 'running'))"
)


@pytest.fixture
def import_instruments(database_url: str, tmp_path: Path) -> Import:
    """Imports rows as the generic formats would read them; options as `import_rows` takes them."""

    async def run_import(
        rows: list[Mapping[str, Any]], source: str = "tests", **options: bool
    ) -> ImportReport:
        sources = [RowSource("rows", source, iter(rows), convert)]
        return await import_rows(database_url, sources, tmp_path / "rejects.csv", actor="tests", **options)

    return run_import


UNCACHED: Final = Parameters(cache_ttl_seconds=0)
"""So that every answer is as the index is."""


def refreshing(interval_s: float) -> LiveParameters:
    return LiveParameters(Parameters(search_index_refresh=interval_s))


@asynccontextmanager
async def running_indexer(
    database_url: str,
    client: Redis,
    *,
    holder: str = "tests",
    parameters: LiveParameters | None = None,
    abandoned_after_s: float = 24 * 3600.0,
) -> AsyncIterator[None]:
    """An indexer that runs meanwhile and must not fail."""
    stop = asyncio.Event()
    settings = RunnerSettings(
        database_url,
        holder,
        parameters or LiveParameters(Parameters()),
        events_kept_s=24 * 3600.0,
        abandoned_after_s=abandoned_after_s,
    )
    task = asyncio.create_task(run(settings, client, stop))
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(WAIT_S):
            await task


async def first_fill_ended(database_url: str, client: Redis) -> None:
    """Wait until the first index is live and its job has ended, which it does a moment later.

    Until then no rebuild may be asked for, and an indexer that stops leaves the job to the next.
    """

    async def is_live() -> bool:
        return await read_live_state(client) is not None

    async def has_ended() -> bool:
        return bool(await connection.fetchval(FIRST_JOB_HAS_ENDED))

    await eventually(is_live)
    async with open_connection(database_url) as connection:
        await eventually(has_ended)


@pytest.fixture
async def indexer(database_url: str, redis_client: Redis) -> AsyncIterator[WaitLevel]:
    """A running indexer; call the fixture to wait until the index equals Postgres."""

    async def level() -> Drift:
        await first_fill_ended(database_url, redis_client)
        drift = await verify(database_url, redis_client, WAIT_S)
        assert drift.clean, drift
        return drift

    async with running_indexer(database_url, redis_client):
        yield level


async def is_lock_awaited(database: Connection, kind: str = "advisory") -> bool:
    """Whether somebody waits for a lock of a kind: one of the fixed ones, or that of a `relation`."""
    statement = (
        "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
        "WHERE datname = current_database() AND locktype = $1 AND NOT granted)"
    )
    return bool(await database.fetchval(statement, kind))


async def current_writer(client: Redis) -> IndexWriter:
    """The index as the leader of now writes it."""
    writer = IndexWriter(client, await shown_token(client))
    await writer.claim()
    return writer


async def carry_out(jobs: IndexJobs, kind: JobKind, timeout_s: float = WAIT_S) -> Job:
    """A new job of this kind, when it has ended."""
    async with asyncio.timeout(timeout_s):
        while True:
            requested = await jobs.request(kind, "tests")
            while (job := await jobs.read(requested.id)) is None or not job.finished:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            if requested.created:  # and not the one of the first fill
                return job


@asynccontextmanager
async def running_api(
    database_url: str, redis_url: str, *, parameters: Parameters | None = None, **settings: Any
) -> AsyncIterator[Client]:
    died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    values = {
        "database_url": database_url,
        "redis_url": redis_url,
        "anonymous_scopes": (INSTRUMENTS_READ,),
        "redis_search_ms": 5000,  # this machine may pause for longer than a caller should wait
        **settings,
    }
    async with serving(make_app(Settings(**values), parameters or UNCACHED, died)) as client:
        yield client
    assert not died.done(), died


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[Client]:
    runner = ProblemRunner(app, shutdown_timeout_s=5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        async with ClientSession(f"http://{host}:{port}") as client:
            yield client
    finally:
        await runner.cleanup()


@pytest.fixture
async def api(database_url: str, redis_url: str, indexer: WaitLevel) -> AsyncIterator[Client]:
    """The API, open to anonymous readers, with an indexer behind it."""
    async with running_api(database_url, redis_url) as client:
        yield client


@asynccontextmanager
async def open_profiles(
    database_url: str, redis_url: str, limits: ProfileLimits, *, readable: bool = True
) -> AsyncIterator[Profiles]:
    """Profiles as one API process has them; `readable`: wait until their copies may be read."""
    postgres = Postgres(database_url, 32)
    await postgres.open()
    server = CopyServer(redis_url)
    epochs = CopyEpochs(database_url, server)
    following = asyncio.create_task(epochs.follow())

    async def are_readable() -> bool:
        return epochs.readable is not None

    try:
        if readable:
            await eventually(are_readable)
        yield Profiles(postgres, ProfileCopies(server, epochs), limits)
    finally:
        await end_tasks(following)
        await server.close()
        await postgres.close()


async def get_json(client: Client, path: str, **parameters: Any) -> Any:
    """The JSON of a successful answer."""
    async with client.get(path, params=parameters) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def fresh_window(client: Redis, window_s: float, *, spare_s: float) -> float:
    """Wait until at least `spare_s` of a window are left; how many are."""
    left = window_s - await redis_time(client) % window_s
    if left >= spare_s:
        return left
    await asyncio.sleep(left + 0.001)
    return await fresh_window(client, window_s, spare_s=spare_s)


async def redis_time(client: Redis) -> float:
    seconds, microseconds = await client.time()
    return float(seconds) + float(microseconds) / 1e6


async def script_calls(client: Redis) -> int:
    """How many Lua scripts Redis has run."""
    stats = await client.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {"calls": 0})["calls"])


async def eventually(check: Callable[[], Awaitable[bool]], timeout_s: float = WAIT_S) -> None:
    async with asyncio.timeout(timeout_s):
        while not await check():  # noqa: ASYNC110 - what is awaited has no event
            await asyncio.sleep(0.02)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    provider = Provider(unused_port())
    await provider.start()
    yield provider
    await provider.stop()


@pytest.fixture
async def etcd(tmp_path: Path) -> AsyncIterator[Etcd]:
    etcd = Etcd(tmp_path)
    await etcd.start()
    yield etcd
    await etcd.stop()


@pytest.fixture
async def web_service() -> AsyncIterator[WebService]:
    service = WebService()
    await service.start()
    yield service
    await service.stop()

"""The API's composition root: settings in, a serving process out."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from importlib.metadata import version
from typing import Any, Final

import orjson
import structlog
from aiohttp import web

from app import metrics
from app.auth.credentials import Credentials
from app.auth.key_uses import KeyUses
from app.auth.keyring import Keyring
from app.auth.rate_limits import LEASE_TIMEOUT_S, RateLimits
from app.auth.tokens import TokenVerifier
from app.domain.access import ANONYMOUS, Principal
from app.domain.errors import RedisUnavailable
from app.domain.profile import ProfileLimits
from app.parameters.definitions import Parameters
from app.settings import Settings
from app.store.copy_epochs import CopyEpochs
from app.store.copy_server import CopyServer
from app.store.postgres import Postgres
from app.store.profile_copies import ProfileCopies
from app.store.profile_watches import ProfileWatches
from app.store.profiles import Profiles
from app.store.redis import open_redis, prepare_engine
from app.store.search_index import SearchIndex
from app.tasks import end_tasks
from app.web.boundary import boundary
from app.web.endpoint import ENDPOINTS_BY_HANDLER
from app.web.exports import Exports
from app.web.openapi import Facts, describe
from app.web.profile_streams import ProfileStreams, StreamLimits
from app.web.routes import ENDPOINTS, route_table
from app.web.server import ProblemRunner
from app.web.services import SERVICES, Services

_COUNTING_POOL_SIZE: Final = 8
_GARBAGE_THRESHOLD: Final = 50_000
"""Objects that a collection of garbage waits for. Requests leave next to none that are cyclic, so the
default of 700 only looks, again and again, through those under way."""
_REPLY_GRACE_S: Final = 1.0
"""How much longer than a search may take a reply of Redis is waited for."""

log = structlog.get_logger(__name__)


def make_app(settings: Settings, parameters: Parameters, died: "asyncio.Future[None]") -> web.Application:
    """The application, its resources opened when it starts and closed when it ends.

    `died` is given the error of a background task that ended, which none should.
    """
    postgres = Postgres(settings.needed_database_url(), settings.postgres_pool_size)
    client = open_redis(
        settings.needed_redis_url(),
        pool_size=settings.redis_pool_size,
        timeout_s=parameters.search_timeout / 1000 + _REPLY_GRACE_S,
    )
    index = SearchIndex(client)
    copy_server = CopyServer(settings.needed_redis_url())
    copy_epochs = CopyEpochs(settings.needed_database_url(), copy_server)
    limits = ProfileLimits(
        settings.max_profiles_per_owner, settings.max_profile_members, settings.max_profile_name_length
    )
    metrics.POSTGRES_CONNECTIONS_MAX.set(settings.postgres_pool_size)

    async def postgres_context(_: web.Application) -> AsyncIterator[None]:
        await postgres.open()
        yield
        await postgres.close()

    async def redis_context(_: web.Application) -> AsyncIterator[None]:
        try:
            await prepare_engine(client)
            await index.read_state()
        except RedisUnavailable as error:
            log.warning("starting without Redis", reason=str(error))
        yield
        await copy_server.close()
        await client.aclose()

    app = web.Application(middlewares=[boundary], client_max_size=settings.max_request_bytes)
    app.cleanup_ctx.extend(
        (
            postgres_context,
            redis_context,
            _background("follow index state", index.follow, died),
            _background("follow profile copies", copy_epochs.follow, died),
        )
    )
    app[ENDPOINTS_BY_HANDLER] = {endpoint.handler: endpoint for endpoint in ENDPOINTS}
    watches = ProfileWatches(postgres, index, parameters.search_timeout)
    credentials = _credentials(app, settings, postgres, died)
    app[SERVICES] = Services(
        parameters=parameters,
        postgres=postgres,
        index=index,
        credentials=credentials,
        rate_limits=_rate_limits(app, settings),
        anonymous=Principal(
            ANONYMOUS,
            ANONYMOUS,
            frozenset(settings.anonymous_scopes),
            settings.anonymous_requests_per_minute,
        ),
        profiles=Profiles(postgres, ProfileCopies(copy_server, copy_epochs), limits),
        streams=_streams(app, settings, watches, credentials, died),
        exports=Exports(settings.needed_database_url()),
        max_request_bytes=settings.max_request_bytes,
        description=orjson.dumps(
            describe(
                ENDPOINTS,
                Facts(
                    version("instrument-registry"),
                    parameters.max_results_per_page,
                    limits,
                    frozenset(settings.anonymous_scopes),
                ),
            )
        ),
    )
    app.add_routes(route_table())
    return app


def _credentials(
    app: web.Application, settings: Settings, postgres: Postgres, died: "asyncio.Future[None]"
) -> Credentials:
    uses = KeyUses(postgres)
    keyring = Keyring(postgres, uses)
    app.cleanup_ctx.append(_background("follow API keys", keyring.follow, died))
    app.cleanup_ctx.append(_background("write uses of API keys", uses.follow, died, at_end=uses.write))
    jwks_url, issuer, audience = settings.jwks_url, settings.jwt_issuer, settings.jwt_audience
    if jwks_url is None or issuer is None or audience is None:  # settings hold all three or none
        return Credentials(keyring, None)
    tokens = TokenVerifier(jwks_url=jwks_url, issuer=issuer, audience=audience)

    async def tokens_context(_: web.Application) -> AsyncIterator[None]:
        await tokens.open()
        yield
        await tokens.close()

    app.cleanup_ctx.append(tokens_context)
    return Credentials(keyring, tokens)


def _streams(
    app: web.Application,
    settings: Settings,
    watches: ProfileWatches,
    credentials: Credentials,
    died: "asyncio.Future[None]",
) -> ProfileStreams:
    streams = ProfileStreams(
        settings.needed_database_url(),
        watches,
        credentials.still_admits,
        StreamLimits(settings.max_streams, settings.max_streams_per_owner),
        settings.stream_heartbeat_s,
    )

    async def stop(_: web.Application) -> None:
        streams.stop()

    app.cleanup_ctx.append(_background("follow profile events", streams.follow, died))
    app.cleanup_ctx.append(_background("check streams", streams.check, died))
    app.on_shutdown.append(stop)
    return streams


def _rate_limits(app: web.Application, settings: Settings) -> RateLimits:
    """With connections of their own: searches that take all of the others do not hold admissions up."""
    client = open_redis(settings.needed_redis_url(), pool_size=_COUNTING_POOL_SIZE, timeout_s=LEASE_TIMEOUT_S)
    limits = RateLimits(client, default_per_minute=settings.requests_per_minute)

    async def limits_context(_: web.Application) -> AsyncIterator[None]:
        yield
        await limits.close()
        await client.aclose()

    app.cleanup_ctx.append(limits_context)
    return limits


def _background(
    name: str,
    work: Callable[[], Coroutine[Any, Any, None]],
    died: "asyncio.Future[None]",
    at_end: Callable[[], Awaitable[None]] | None = None,
) -> Callable[[web.Application], AsyncIterator[None]]:
    """A cleanup context that runs `work` for as long as the application, and `at_end` once after it."""

    def ended(task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and not died.done():
            died.set_exception(task.exception() or RuntimeError(f"{name} ended"))

    async def context(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(work(), name=name)
        task.add_done_callback(ended)
        yield
        await end_tasks(task)
        if at_end is not None:
            await at_end()

    return context


async def serve(settings: Settings, parameters: Parameters) -> None:
    """Serve until SIGTERM or SIGINT, then answer what is under way and end.

    Raises SettingsError, OSError if the address is taken, and whatever killed a background task.
    """
    loop = asyncio.get_running_loop()
    died: asyncio.Future[None] = loop.create_future()
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    app = make_app(settings, parameters, died)
    runner = ProblemRunner(app, shutdown_timeout_s=settings.shutdown_grace_s)
    try:
        await runner.setup()
        await web.TCPSite(runner, settings.host, settings.port).start()
        gc.freeze()
        gc.set_threshold(_GARBAGE_THRESHOLD)
        log.info("serving", host=settings.host, port=settings.port)
        stopping: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
        await asyncio.wait([asyncio.ensure_future(died), stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if died.done():
            died.result()
        log.info("stopping")
    finally:
        await runner.cleanup()

"""The API's composition root: settings in, an application out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from functools import lru_cache, partial
from importlib.metadata import version
from typing import Any, Final

import orjson
import structlog
from aiohttp import web
from prometheus_client import generate_latest
from redis.asyncio import Redis

from app import metrics
from app.auth.credentials import Credentials
from app.auth.key_uses import KeyUses
from app.auth.keyring import Keyring
from app.auth.rate_limits import LEASE_TIMEOUT_S, RateLimits
from app.auth.tokens import TokenVerifier
from app.domain.access import ANONYMOUS, Principal
from app.domain.errors import BulkWritesExhausted, ExportsExhausted, RedisUnavailable
from app.domain.profile import ProfileLimits
from app.hooks import NO_HOOKS, Hooks
from app.parameters.definitions import Parameters
from app.parameters.following import follow, read_once
from app.parameters.live import LiveParameters
from app.parameters.service import config_service
from app.settings import Settings
from app.store.cache_epoch import CacheEpoch
from app.store.copy_epochs import CopyEpochs
from app.store.copy_server import CopyServer
from app.store.degraded_search import DegradedSearch
from app.store.lookup_cache import LookupCache
from app.store.lookups import Lookups
from app.store.pins import Pins
from app.store.postgres import OTHER_CONNECTIONS, Postgres, QueryLogger
from app.store.profile_copies import ProfileCopies
from app.store.profile_watches import ProfileWatches
from app.store.profiles import Profiles
from app.store.redis import bound_replies, open_redis, open_search_redis
from app.store.search_index import SearchIndex
from app.store.search_pins import SearchPins
from app.store.searches import Searches
from app.store.slow_queries import SlowQueries
from app.tasks import end_tasks
from app.web.answer_cache import AnswerCache
from app.web.at_once import MAX_BULK_WRITES, MAX_EXPORTS, AtOnce
from app.web.openapi import Facts, describe
from app.web.profile_streams import ProfileStreams, StreamLimits
from app.web.routes import ENDPOINTS, route_table
from app.web.services import CLOSING, DRAINING, SERVICES, Services

_COUNTING_POOL_SIZE: Final = 8
_REPLY_GRACE_S: Final = 1.0
"""How much longer than a search may take a reply of Redis is waited for."""

log = structlog.get_logger(__name__)


async def own_metrics() -> bytes:
    """Those of this process."""
    return generate_latest()


def make_app(
    settings: Settings,
    given: Parameters,
    died: "asyncio.Future[None]",
    scrape: Callable[[], Awaitable[bytes]] = own_metrics,
    hooks: Hooks = NO_HOOKS,
) -> web.Application:
    """The application, its resources opened when it starts and closed when it ends.

    `given`: the parameters that are set hold, whatever a configuration service says of them.
    `died` is given the error of a background task that ended, which none should. `scrape` makes the metrics.
    """
    app = web.Application(client_max_size=settings.max_request_bytes)
    parameters = _live_parameters(app, settings, given, died)
    slow = SlowQueries(settings.slow_query_ms, settings.needed_database_url())
    postgres = _open_pool(settings, (slow.on_statement, *hooks.query_loggers))
    primary = reader = _open_search_redis(settings, parameters, settings.needed_redis_url(), hooks)
    if settings.redis_read_url is not None:
        url = settings.redis_read_url.get_secret_value()
        reader = _open_search_redis(settings, parameters, url, hooks)
    index = SearchIndex(reader, settings.redis_search_ms, slow, hooks.line)
    search_pins = SearchPins(postgres)
    pins = Pins(search_pins)
    copy_server = CopyServer(settings.needed_redis_url(), hooks.line)
    copy_epochs = CopyEpochs(settings.needed_database_url(), copy_server)
    limits = ProfileLimits(
        settings.max_profiles_per_owner, settings.max_profile_members, settings.max_profile_name_length
    )
    metrics.POSTGRES_CONNECTIONS_MAX.set(settings.postgres_pool_size)
    metrics.POSTGRES_CONNECTIONS_IN_USE.set_function(lambda: postgres.connections_in_use)
    metrics.INDEX_AGE_SECONDS.set_function(
        lambda: index.known_state.current_age_s if index.known_state else 0
    )

    def bound_searches() -> None:
        for client in {primary, reader}:
            bound_replies(client, parameters.search_timeout / 1000 + _REPLY_GRACE_S)

    async def postgres_context(_: web.Application) -> AsyncIterator[None]:
        await postgres.open()
        yield
        await postgres.close()

    async def redis_context(_: web.Application) -> AsyncIterator[None]:
        try:
            await index.read_state()
        except RedisUnavailable as error:
            log.warning("starting without Redis", reason=str(error))
        with parameters.listening(bound_searches):
            bound_searches()
            yield
        await index.close()
        await copy_server.close()
        await reader.aclose()
        await primary.aclose()

    app.cleanup_ctx.extend(
        (
            postgres_context,
            redis_context,
            _background("log slow statements", slow.follow, died, at_end=slow.write_rest),
            _background("follow index state", index.follow, died),
            _background("follow profile copies", copy_epochs.follow, died),
            _background("follow search pins", pins.follow, died),
        )
    )
    app[CLOSING] = asyncio.Event()
    app[DRAINING] = asyncio.Event()
    watches = ProfileWatches(postgres, primary, parameters)
    credentials = _credentials(app, settings, postgres, died, hooks)
    degraded = DegradedSearch(postgres, max_at_once=max(1, settings.postgres_pool_size // 2))
    searches = Searches(index, degraded, pins, parameters)
    epoch = CacheEpoch(index, pins, parameters)
    answers = AnswerCache(epoch, parameters, max_bytes=settings.cache_max_bytes)

    async def close_answers(_: web.Application) -> None:
        await answers.close()

    app.on_shutdown.append(close_answers)
    app[SERVICES] = Services(
        parameters=parameters,
        postgres=postgres,
        index=index,
        primary=primary,
        searches=searches,
        answers=answers,
        search_pins=search_pins,
        lookups=Lookups(searches, index, degraded, postgres, LookupCache(epoch, parameters)),
        credentials=credentials,
        rate_limits=_rate_limits(app, settings, hooks),
        anonymous=Principal(
            ANONYMOUS,
            ANONYMOUS,
            frozenset(settings.anonymous_scopes),
            settings.anonymous_requests_per_minute,
        ),
        profiles=Profiles(postgres, ProfileCopies(copy_server, copy_epochs), limits),
        streams=_streams(app, settings, watches, credentials, died),
        exports=AtOnce(MAX_EXPORTS, "exports", ExportsExhausted),
        bulk_writes=AtOnce(MAX_BULK_WRITES, "bulk writes", BulkWritesExhausted),
        max_request_bytes=settings.max_request_bytes,
        max_bulk_bytes=settings.max_bulk_bytes,
        database_url=settings.needed_database_url(),
        scrape=scrape,
        release=settings.release or version("instrument-registry"),
        describe=_described(parameters, limits, frozenset(settings.anonymous_scopes)),
    )
    app.add_routes(route_table())
    return app


def _live_parameters(
    app: web.Application, settings: Settings, given: Parameters, died: "asyncio.Future[None]"
) -> LiveParameters:
    """The parameters, which follow the configuration service, if there is one, while the application runs."""
    if settings.config_url is None:
        return LiveParameters(given)
    service = config_service(settings.config_url.get_secret_value(), settings.config_poll_s)
    parameters = LiveParameters(given, service.address)

    async def service_context(_: web.Application) -> AsyncIterator[None]:
        await service.open()
        await read_once(parameters, service)
        yield
        await service.close()

    following = partial(follow, parameters, service, settings.config_poll_s)
    app.cleanup_ctx.append(service_context)
    app.cleanup_ctx.append(_background("follow the configuration service", following, died))
    return parameters


def _described(
    parameters: LiveParameters, limits: ProfileLimits, anonymous_scopes: frozenset[str]
) -> Callable[[], bytes]:
    """Makes the description; the one made last is kept."""

    @lru_cache(maxsize=1)
    def described(max_limit: int) -> bytes:
        facts = Facts(version("instrument-registry"), max_limit, limits, anonymous_scopes)
        return orjson.dumps(describe(ENDPOINTS, facts))

    described(parameters.max_results_per_page)
    return lambda: described(parameters.max_results_per_page)


def _open_pool(settings: Settings, query_loggers: Sequence[QueryLogger]) -> Postgres:
    pooler = settings.database_pool_url
    of_all = settings.workers * (settings.postgres_pool_size + OTHER_CONNECTIONS)
    return Postgres(
        settings.needed_database_url() if pooler is None else pooler.get_secret_value(),
        settings.postgres_pool_size,
        statement_timeout_s=settings.postgres_statement_timeout_ms / 1000,
        prepared=settings.postgres_prepared,
        wanted_connections=of_all if pooler is None else 0,
        query_loggers=query_loggers,
    )


def _open_search_redis(settings: Settings, parameters: LiveParameters, url: str, hooks: Hooks) -> Redis:
    return open_search_redis(
        url,
        pool_size=settings.redis_pool_size,
        timeout_s=parameters.search_timeout / 1000 + _REPLY_GRACE_S,
        kind=hooks.redis,
    )


def _credentials(
    app: web.Application,
    settings: Settings,
    postgres: Postgres,
    died: "asyncio.Future[None]",
    hooks: Hooks,
) -> Credentials:
    uses = KeyUses(postgres)
    keyring = Keyring(postgres, uses)
    app.cleanup_ctx.append(_background("follow API keys", keyring.follow, died))
    app.cleanup_ctx.append(_background("write uses of API keys", uses.follow, died, at_end=uses.write))
    jwks_url, issuer, audience = settings.jwks_url, settings.jwt_issuer, settings.jwt_audience
    if jwks_url is None or issuer is None or audience is None:  # settings hold all three or none
        return Credentials(keyring, None)
    tokens = TokenVerifier(
        jwks_url=jwks_url, issuer=issuer, audience=audience, trace_configs=hooks.http_client
    )

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


def _rate_limits(app: web.Application, settings: Settings, hooks: Hooks) -> RateLimits:
    """With connections of their own: searches that take all of the others do not hold admissions up."""
    client = open_redis(
        settings.needed_redis_url(),
        pool_size=_COUNTING_POOL_SIZE,
        timeout_s=LEASE_TIMEOUT_S,
        kind=hooks.redis,
    )
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

"""What handlers work with, set once when the application starts."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from redis.asyncio import Redis

from app.auth.credentials import Credentials
from app.auth.rate_limits import RateLimits
from app.domain.access import Principal, Quota
from app.parameters.live import LiveParameters
from app.store.lookups import Lookups
from app.store.postgres import Postgres
from app.store.profiles import Profiles
from app.store.search_index import SearchIndex
from app.store.search_pins import SearchPins
from app.store.searches import Searches
from app.store.writing import Writer
from app.web.answer_cache import AnswerCache
from app.web.at_once import AtOnce
from app.web.profile_streams import ProfileStreams


@dataclass(frozen=True, slots=True)
class Services:
    parameters: LiveParameters
    postgres: Postgres
    index: SearchIndex
    """Where searches are answered from: a replica, perhaps."""
    primary: Redis
    """Where the indexer writes."""
    searches: Searches
    answers: AnswerCache
    search_pins: SearchPins
    lookups: Lookups
    credentials: Credentials
    rate_limits: RateLimits
    anonymous: Principal
    profiles: Profiles
    streams: ProfileStreams
    exports: AtOnce
    bulk_writes: AtOnce
    max_request_bytes: int
    max_bulk_bytes: int
    database_url: str
    """For those who take a connection of their own."""
    scrape: Callable[[], Awaitable[bytes]]
    """Makes the metrics, in Prometheus's text format. Raises Unavailable."""
    describe: Callable[[], bytes]
    """The OpenAPI document, as of the parameters that hold now."""
    release: str


SERVICES: Final = web.AppKey("services", Services)
CLOSING: Final = web.AppKey("closing", asyncio.Event)
"""Set once the process is to end: connections are closed after their answers."""
DRAINING: Final = web.AppKey("draining", asyncio.Event)
"""Set when no other serves in its place: callers are sent elsewhere before it stops listening."""
REQUEST_ID: Final = web.RequestKey("request_id", str)
PRINCIPAL: Final = web.RequestKey("principal", Principal)
QUOTA: Final = web.RequestKey("quota", Quota)
"""What the caller may still ask for; set once its request was counted."""


def writer_of(request: web.Request) -> Writer:
    """Who writes, for the history."""
    return Writer(request[PRINCIPAL].name, request[REQUEST_ID])

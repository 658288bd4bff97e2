"""What handlers work with, set once when the application starts."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from app.auth.credentials import Credentials
from app.auth.rate_limits import RateLimits
from app.domain.access import Principal, Quota
from app.parameters.definitions import Parameters
from app.store.postgres import Postgres
from app.store.profiles import Profiles
from app.store.search_index import SearchIndex
from app.web.exports import Exports
from app.web.profile_streams import ProfileStreams


@dataclass(frozen=True, slots=True)
class Services:
    parameters: Parameters
    postgres: Postgres
    index: SearchIndex
    credentials: Credentials
    rate_limits: RateLimits
    anonymous: Principal
    profiles: Profiles
    streams: ProfileStreams
    exports: Exports
    max_request_bytes: int
    description: bytes
    """The OpenAPI document."""


SERVICES: Final = web.AppKey("services", Services)
REQUEST_ID: Final = web.RequestKey("request_id", str)
PRINCIPAL: Final = web.RequestKey("principal", Principal)
QUOTA: Final = web.RequestKey("quota", Quota)
"""What the caller may still ask for; set once its request was counted."""

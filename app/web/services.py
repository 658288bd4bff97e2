"""What handlers work with, set once when the application starts."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from app.auth.keyring import Keyring
from app.domain.access import Principal
from app.parameters.definitions import Parameters
from app.store.postgres import Postgres
from app.store.profiles import Profiles
from app.store.search_index import SearchIndex


@dataclass(frozen=True, slots=True)
class Services:
    parameters: Parameters
    postgres: Postgres
    index: SearchIndex
    keyring: Keyring
    anonymous: Principal
    profiles: Profiles
    max_request_bytes: int
    description: bytes
    """The OpenAPI document."""


SERVICES: Final = web.AppKey("services", Services)
REQUEST_ID: Final = web.RequestKey("request_id", str)
PRINCIPAL: Final = web.RequestKey("principal", Principal)

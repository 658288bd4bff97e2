"""What the project says of an endpoint: its route, who may use it, and which body it takes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method at one path. `scope` None: open to everybody."""

    name: str
    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    scope: str | None
    media_types: tuple[str, ...] = ()
    """What its body may be; none: it takes no body."""


ENDPOINTS_BY_NAME: Final = web.AppKey("endpoints_by_name", dict[str, Endpoint])

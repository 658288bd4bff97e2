"""Handlers of the console: its page, the reader of the description, and what both load."""

import re
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web

from app.domain.errors import NotFound
from app.web.console.assets import ASSETS, VERSION, Asset, page
from app.web.encodings import accepts_gzip
from app.web.finished import FinishedResponse
from app.web.headers import CONTENT_SECURITY_POLICY, NO_SNIFFING, REFERRER_POLICY
from app.web.preconditions import entity_tag, is_known
from app.web.services import SERVICES

VERSION_PATTERN: Final = "^[0-9a-f]{16}$"
_VERSION: Final = re.compile(VERSION_PATTERN)
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""Whatever a page holds, it loads and runs nothing but our own files, and talks to nobody else."""
_CHECKED: Final = "no-cache"
_FOR_EVER: Final = "public, max-age=31536000, immutable"


async def console(request: web.Request) -> web.Response:
    return _sent(request, _page(request, "index.html"), _CHECKED)


async def docs(request: web.Request) -> web.Response:
    return _sent(request, _page(request, "docs.html"), _CHECKED)


async def asset(request: web.Request) -> web.Response:
    """An asset by the version that its page named.

    While one version of the service takes over from another, a page may ask the other one: it gets the
    asset as it is there, not to be kept.
    """
    name, version = request.match_info["name"], request.match_info["version"]
    if name not in ASSETS or not _VERSION.fullmatch(version):
        raise NotFound(f"the console has no file {name[:40]!r}; load its page again")
    return _sent(request, ASSETS[name], _FOR_EVER if version == VERSION else _CHECKED)


def _page(request: web.Request, name: str) -> Asset:
    return page(name, request.app[SERVICES].anonymous.scopes)


def _sent(request: web.Request, sent: Asset, cache_control: str) -> web.Response:
    headers: dict[str, str] = {
        hdrs.ETAG: f"W/{entity_tag(sent.tag)}",  # weak: it names the gzipped form as well
        hdrs.CACHE_CONTROL: cache_control,
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
        CONTENT_SECURITY_POLICY.name: POLICY,
        NO_SNIFFING.name: "nosniff",
        REFERRER_POLICY.name: "no-referrer",
    }
    if is_known(request, sent.tag):
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    body = sent.body
    if accepts_gzip(request):
        headers[hdrs.CONTENT_ENCODING], body = "gzip", sent.compressed
    return FinishedResponse(body, headers=headers, content_type=sent.content_type)

"""The endpoints of the console."""

from typing import Final

from app.domain import errors
from app.web import headers
from app.web.console import handlers
from app.web.console.assets import ASSETS, VERSION
from app.web.endpoint import Answer, Endpoint

_HEADERS: Final = (
    headers.ETAG,
    headers.CACHE_CONTROL,
    headers.VARY,
    headers.CONTENT_SECURITY_POLICY,
    headers.NO_SNIFFING,
    headers.REFERRER_POLICY,
)
_PAGE: Final = (Answer(None, headers=_HEADERS, media_type="text/html"),)

ENDPOINTS: Final = (
    Endpoint(
        "console",
        "GET",
        "/",
        handlers.console,
        None,
        summary="Show the web console",
        headers=(headers.IF_NONE_MATCH,),
        answers=_PAGE,
    ),
    Endpoint(
        "docs",
        "GET",
        "/docs",
        handlers.docs,
        None,
        summary="Show this description to people",
        headers=(headers.IF_NONE_MATCH,),
        answers=_PAGE,
    ),
    Endpoint(
        "asset",
        "GET",
        "/assets/{version}/{name}",
        handlers.asset,
        None,
        summary="Send a file that these pages load",
        identifiers={
            "version": {"type": "string", "pattern": handlers.VERSION_PATTERN, "examples": [VERSION]},
            "name": {"type": "string", "enum": list(ASSETS)},
        },
        headers=(headers.IF_NONE_MATCH,),
        answers=tuple(
            Answer(None, headers=_HEADERS, media_type=media_type)
            for media_type in sorted({asset.media_type for asset in ASSETS.values()})
        ),
        errors=(errors.NotFound,),
    ),
)

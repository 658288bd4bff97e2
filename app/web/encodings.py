"""Content codings that a caller takes (RFC 9110, section 12.5.3)."""

import re
from typing import Final

from aiohttp import hdrs, web

_GZIP: Final = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", re.IGNORECASE)
"""Where gzip is not refused."""


def accepts_gzip(request: web.Request) -> bool:
    return _GZIP.search(request.headers.get(hdrs.ACCEPT_ENCODING, "")) is not None

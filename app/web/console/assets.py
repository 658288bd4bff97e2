"""The files of the console, ready to be sent: read and gzipped once, each known by its content.

Pages name their assets by a path that holds a digest of all of them, and modules import each other by
relative paths: so whatever changes has another address, and may be kept for ever.
"""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib import resources
from pathlib import PurePath
from types import MappingProxyType
from typing import Final

_MEDIA_TYPES: Final = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
_VERSION_MARK: Final = b"__VERSION__"
"""In a page: where the version of its assets is to stand."""
_ANONYMOUS_MARK: Final = b"__ANONYMOUS__"
"""Where the scopes of callers without a credential are to stand, so that a page need not ask for them."""
_DIGEST_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Asset:
    media_type: str
    body: bytes
    compressed: bytes
    tag: str
    """Names the content."""

    @property
    def content_type(self) -> str:
        return f"{self.media_type}; charset=utf-8"


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()


def _asset(name: str, body: bytes) -> Asset:
    return Asset(_MEDIA_TYPES[PurePath(name).suffix], body, gzip.compress(body, mtime=0), _digest(body))


def _files() -> dict[str, bytes]:
    folder = resources.files("app.web.console").joinpath("static")
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir(), key=lambda file: file.name)}


def _is_page(name: str) -> bool:
    return PurePath(name).suffix == ".html"


_FILES: Final = _files()
ASSETS: Final[Mapping[str, Asset]] = MappingProxyType(
    {name: _asset(name, body) for name, body in _FILES.items() if not _is_page(name)}
)
"""What pages load, by name."""
VERSION: Final = _digest("".join(f"{name} {asset.tag}\n" for name, asset in ASSETS.items()).encode())
"""Of all assets together."""
PAGES: Final = tuple(filter(_is_page, _FILES))


@cache
def page(name: str, anonymous_scopes: frozenset[str]) -> Asset:
    """One of `PAGES`, of a service where callers without a credential have these scopes."""
    body = _FILES[name].replace(_VERSION_MARK, VERSION.encode())
    return _asset(name, body.replace(_ANONYMOUS_MARK, " ".join(sorted(anonymous_scopes)).encode()))

"""The opaque cursor that leads to the next page of one search."""

import base64
from dataclasses import astuple, dataclass
from hashlib import blake2b
from typing import Final

import orjson

from app.domain.errors import InvalidInput
from app.domain.query import Search

MAX_SKIP: Final = 990_000
"""RediSearch pages through a million matches at most."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the next page begins: in `generation`, within `tier`, beyond the hits already seen.

    Where the sort key is a number, `after` is the last one seen, so that a page neither repeats nor
    misses an instrument while others come and go: ranks are unique, and times of change are, but for
    changes in the same microsecond. For other sorts `after` is None and `skip` counts the hits seen.
    """

    generation: int
    tier: int
    after: int | None
    skip: int
    total: int
    """Matches as counted for the first page."""


def encode_cursor(cursor: Cursor, search: Search) -> str:
    content = orjson.dumps([_digest(search), *astuple(cursor)])
    return encode_token(content)


def decode_cursor(text: str, search: Search) -> Cursor:
    """Raises InvalidInput for what is no cursor, or the cursor of another search."""
    try:
        digest, generation, tier, after, skip, total = orjson.loads(decode_token(text))
        numbers = (generation, tier, skip, total) if after is None else (generation, tier, skip, total, after)
        if skip > MAX_SKIP or not all(type(number) is int and 0 <= number < 2**53 for number in numbers):
            raise ValueError("not a position")
    except (ValueError, TypeError) as error:
        raise InvalidInput.of("cursor", "is not a cursor of this service; start again without it") from error
    if digest != _digest(search):
        raise InvalidInput.of(
            "cursor", "belongs to another search; repeat its q, filters and sort, or start again"
        )
    return Cursor(generation, tier, after, skip, total)


def encode_token(content: bytes) -> str:
    """Bytes as a text that needs no escaping in a URL."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decode_token(text: str) -> bytes:
    """Raises ValueError for what `encode_token` did not make."""
    return base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))


def _digest(search: Search) -> str:
    """Names what a cursor is bound to: everything of a search but its page."""
    identity = repr((search.text, sorted(search.filters.items()), search.sort.value))
    return blake2b(identity.encode(), digest_size=6).hexdigest()

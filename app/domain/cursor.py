"""The opaque cursor that leads to the next page of one search."""

import base64
from dataclasses import astuple, dataclass
from hashlib import blake2b
from typing import Final

import orjson

from app.domain.errors import InvalidInput
from app.domain.query import Search, Sort
from app.domain.search_pin import MAX_INSTRUMENTS as MAX_PINNED

MAX_SKIP: Final = 990_000
"""RediSearch pages through a million matches at most."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the next page begins: in `generation`, beyond the hits already seen.

    `after` is the last sort key seen, so that a page neither repeats nor misses an instrument while others
    come and go. Where that key has more hits, `skip` of them were seen; 0: all. By relevance keys are unique.
    `after` None: so many were seen of all.
    """

    generation: int
    after: int | None
    skip: int
    total: int
    """Matches as counted for the first page."""
    in_window: bool = False
    """Among the first hits, which have an order of their own (`app.store.ranked_pages.WINDOW`)."""
    pinned: tuple[int, ...] = ()
    """The instruments that came first, each in a tier of its own: these stay, though the pin may change."""


def encode_cursor(cursor: Cursor, search: Search) -> str:
    *position, pinned = astuple(cursor)
    content = orjson.dumps([_digest(search), *position, *pinned])
    return encode_token(content)


def decode_cursor(text: str, search: Search) -> Cursor:
    """Raises InvalidInput for what is no cursor, or the cursor of another search."""
    try:
        digest, generation, after, skip, total, in_window, *pinned = orjson.loads(decode_token(text))
        for number in (generation, skip, total, *pinned):
            if type(number) is not int or not 0 <= number < 2**53:
                raise ValueError("not a position")
        if skip > MAX_SKIP or len(pinned) > MAX_PINNED or type(in_window) is not bool:
            raise ValueError("not a position")
        is_key = type(after) is int and abs(after) < 2**62
        is_ranked = search.sort is Sort.RELEVANCE
        if not (is_key and skip == 0 if is_ranked else (is_key or after is None) and not in_window):
            raise ValueError("not a position")
    except (ValueError, TypeError) as error:
        raise InvalidInput.of("cursor", "is not a cursor of this service; start again without it") from error
    if digest != _digest(search):
        raise InvalidInput.of(
            "cursor", "belongs to another search; repeat its q, filters and sort, or start again"
        )
    return Cursor(generation, after, skip, total, in_window, tuple(pinned))


def encode_token(content: bytes) -> str:
    """Bytes as a text that needs no escaping in a URL."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decode_token(text: str) -> bytes:
    """Raises ValueError for what `encode_token` did not make."""
    return base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))


def _digest(search: Search) -> str:
    """Names what a cursor is bound to: everything of a search but its page."""
    identity = repr((search.text_key, sorted(search.filters.items()), search.sort.value))
    return blake2b(identity.encode(), digest_size=6).hexdigest()

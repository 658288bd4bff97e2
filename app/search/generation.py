"""Names in Redis. Everything of one index generation carries its number; no other module spells a key.

A generation's number is given by Postgres and never used twice, so nothing written for an old index
can be taken for a new one's, whatever happened to Redis meanwhile.
"""

import re
from typing import Final

ALIAS: Final = "ir:instruments"
"""The RediSearch alias of the live generation's index, for people and tools; the API searches by name."""

LIVE_KEY: Final = "ir:live"
"""String: the number of the live generation."""

FENCE_KEY: Final = "ir:fence"
"""String: the highest fencing token that a leader has shown; missing means that Redis was emptied."""

_INDEX: Final = re.compile(r"ir:index:([1-9][0-9]{0,17})")


def index_name(generation: int) -> str:
    return f"ir:index:{generation}"


def parse_index_name(name: str) -> int | None:
    """The generation of an index of ours; None for any other index in the same Redis."""
    match = _INDEX.fullmatch(name)
    return int(match[1]) if match else None


def document_prefix(generation: int) -> str:
    """What the keys of a generation's documents begin with, and no other key does."""
    return f"ir:{generation}:"


def document_key(generation: int, instrument_number: int) -> str:
    return f"{document_prefix(generation)}{instrument_number}"


def state_key(generation: int) -> str:
    """Hash beside the documents: how far they follow Postgres (see `app.store.index_state`)."""
    return f"ir:state:{generation}"

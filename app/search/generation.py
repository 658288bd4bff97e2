"""Names in Redis. Everything of one index generation carries its number; no other module spells a key.

A generation's number is given by Postgres and never used twice, so nothing written for an old index
can be taken for a new one's, whatever happened to Redis meanwhile.
"""

from typing import Final

ALIAS: Final = "ir:instruments"
"""The RediSearch alias of the live generation's index, for people and tools; the API searches by name."""

LIVE_KEY: Final = "ir:live"
"""String: the number of the live generation."""

FENCE_KEY: Final = "ir:fence"
"""String: the highest fencing token that a leader has shown; missing means that Redis was emptied."""

GENERATIONS_KEY: Final = "ir:generations"
"""Set: the numbers of all generations of which something may be in this Redis."""


def index_name(generation: int) -> str:
    return f"ir:index:{generation}"


def document_prefix(generation: int) -> str:
    """What the keys of a generation's documents begin with, and no other key does."""
    return f"ir:{generation}:"


def document_key(generation: int, instrument_number: int) -> str:
    return f"{document_prefix(generation)}{instrument_number}"


def state_key(generation: int) -> str:
    """Hash beside the documents: how far they follow Postgres (see `app.store.index_state`)."""
    return f"ir:state:{generation}"

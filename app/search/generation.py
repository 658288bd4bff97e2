"""Names in Redis. Everything of one index generation carries its number; no other module spells a key.

A generation's number is given by Postgres and never used twice, so nothing written for an old index
can be taken for a new one's, whatever happened to Redis meanwhile.
"""

from dataclasses import dataclass
from typing import Final

from app.search.schema import FINGERPRINT


@dataclass(frozen=True, slots=True)
class IndexNames:
    """What all generations of one schema share. Versions of the code whose schemas differ never meet here."""

    fingerprint: str

    @property
    def alias(self) -> str:
        """The RediSearch alias of the live index, for people and tools; the API searches by name."""
        return f"ir:instruments:{self.fingerprint}"

    @property
    def live_key(self) -> str:
        """String: the number of the live generation."""
        return f"ir:live:{self.fingerprint}"

    @property
    def fence_key(self) -> str:
        """String: the highest fencing token that a leader has shown; missing means that Redis was emptied."""
        return f"ir:fence:{self.fingerprint}"

    @property
    def generations_key(self) -> str:
        """Set: the numbers of all generations of which something may be in this Redis."""
        return f"ir:generations:{self.fingerprint}"

    @property
    def refreshes_key(self) -> str:
        """List: the last refreshes, newest first (see `app.store.refreshes`)."""
        return f"ir:refreshes:{self.fingerprint}"

    @property
    def lease(self) -> str:
        """The lease in Postgres of whoever writes these generations."""
        return f"{LEASE_PREFIX}{self.fingerprint}"


LEASE_PREFIX: Final = "index:"
OWN: Final = IndexNames(FINGERPRINT)
"""Of this version of the code."""


def index_name(generation: int) -> str:
    return f"ir:index:{generation}"


def document_prefix(generation: int) -> str:
    """What the keys of a generation's documents begin with, and no other key does."""
    return f"ir:{generation}:"


def document_key(generation: int, instrument_number: int) -> str:
    return f"{document_prefix(generation)}{instrument_number}"


def parked_key(generation: int) -> str:
    """Hash beside the documents: the key of each that could not be made of its row, and why."""
    return f"ir:parked:{generation}"


def cells_key(generation: int) -> str:
    """Hash beside the documents: how many have the same values of all filters (see `app.search.cells`)."""
    return f"ir:cells:{generation}"


def state_key(generation: int) -> str:
    """Hash beside the documents: how far they follow Postgres (see `app.store.index_state`)."""
    return f"ir:state:{generation}"

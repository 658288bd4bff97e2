"""How many of what is dear one process does at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from app.domain.errors import Unavailable

MAX_EXPORTS: Final = 2
"""Each takes a connection to Postgres, and much of a core."""
MAX_BULK_WRITES: Final = 4
"""Each keeps its body in the temporary folder, from when it begins to come until its lines were applied."""


class AtOnce:
    """How many are under way."""

    def __init__(self, limit: int, what: str, refusal: type[Unavailable]) -> None:
        self._limit = limit
        self._what = what
        self._refusal = refusal
        self._running = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Raises the refusal."""
        if self._running >= self._limit:
            raise self._refusal(f"{self._limit} {self._what} are under way; try again when one has ended")
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

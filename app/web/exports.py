"""How many exports one process makes at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from app.domain.errors import ExportsExhausted

MAX_EXPORTS: Final = 2
"""Each takes a connection to Postgres, and much of a core."""


class Exports:
    """How many exports are under way, and where they are read from."""

    def __init__(self, database_url: str) -> None:
        self.database_url = database_url
        self._running = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Raises ExportsExhausted."""
        if self._running >= MAX_EXPORTS:
            raise ExportsExhausted(f"{MAX_EXPORTS} exports are under way; try again when one has ended")
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

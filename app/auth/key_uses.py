"""When each API key was last used, written to Postgres in batches, so that no request pays for it.

What Postgres says is at most half a minute behind; what a killed process had noted is lost. While Postgres
is away the notes are kept, one moment for each key.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Final

import structlog

from app.domain.errors import PostgresUnavailable
from app.store.api_keys import record_key_uses
from app.store.postgres import Postgres

WRITE_EVERY_S: Final = 15.0

log = structlog.get_logger(__name__)


class KeyUses:
    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._used_at: dict[int, float] = {}
        """In seconds since 1970."""
        self._reachable = True

    def note(self, key_id: int) -> None:
        self._used_at[key_id] = time.time()

    async def follow(self) -> None:
        """Write what was noted, again and again. To be run as a task."""
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            await self.write()

    async def write(self) -> None:
        """Write what was noted since the last time; what cannot be written is kept for the next."""
        if not self._used_at:
            return
        unwritten, self._used_at = self._used_at, {}
        try:
            moments = {key: datetime.fromtimestamp(used_at, UTC) for key, used_at in unwritten.items()}
            await record_key_uses(self._postgres, moments)
            unwritten, self._reachable = {}, True
        except PostgresUnavailable as error:
            if self._reachable:
                log.warning("uses of API keys cannot be written", reason=str(error))
            self._reachable = False
        finally:  # also when this is cancelled; later notes win
            self._used_at = unwritten | self._used_at

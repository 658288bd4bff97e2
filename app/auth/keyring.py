"""The valid API keys, held in memory, so that no request pays for Postgres to be recognised.

The keys are read again every few seconds. A key that is not known is refused only after a reading that
began later than the request; such readings are shared by all who wait and are a moment apart, so that
guessing cannot flood Postgres. While Postgres is away the keys last read stay valid.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Final

import structlog

from app.auth.api_keys import key_hash
from app.domain.access import Principal, owner_of_key
from app.domain.errors import NotAuthenticated, PostgresUnavailable
from app.store.api_keys import StoredKey, read_valid_keys
from app.store.postgres import Postgres

RELOAD_S: Final = 2.0
MIN_RELOAD_GAP_S: Final = 0.2

log = structlog.get_logger(__name__)


class Keyring:
    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._keys: dict[bytes, Principal] = {}
        self._failure: PostgresUnavailable | None = None
        self._began_at = -MIN_RELOAD_GAP_S
        self._reloading = asyncio.Lock()

    async def follow(self) -> None:
        """Keep the keys fresh, for ever. To be run as a task."""
        while True:
            reachable = self._failure is None
            async with self._reloading:
                await self._load()
            if reachable and self._failure is not None:
                log.warning("API keys cannot be read", reason=str(self._failure))
            await asyncio.sleep(RELOAD_S)

    async def principal(self, key: str) -> Principal:
        """Whose key it is. Raises NotAuthenticated, or PostgresUnavailable if it cannot be looked up."""
        hashed = key_hash(key)
        if hashed not in self._keys:
            await self._load_since(time.monotonic())
        found = self._keys.get(hashed)
        if found is None and self._failure is not None:
            raise self._failure
        if found is None:
            raise NotAuthenticated("the API key is not valid; it may be mistyped, expired or revoked")
        if found.expires_at is not None and found.expires_at <= datetime.now(UTC):
            raise NotAuthenticated(
                "the API key has expired; create another with instrument-registry keys create"
            )
        return found

    async def _load_since(self, moment: float) -> None:
        """Have the keys read at a time after `moment`, on the monotonic clock."""
        async with self._reloading:
            if self._began_at >= moment:
                return
            await asyncio.sleep(self._began_at + MIN_RELOAD_GAP_S - time.monotonic())
            await self._load()

    async def _load(self) -> None:
        self._began_at = time.monotonic()
        try:
            self._keys = {key.secret_sha256: _principal(key) for key in await read_valid_keys(self._postgres)}
            self._failure = None
        except PostgresUnavailable as error:
            self._failure = error


def _principal(key: StoredKey) -> Principal:
    return Principal(
        f"key:{key.id}",
        owner_of_key(key.owner),
        frozenset(key.scopes),
        key.requests_per_minute,
        key.expires_at,
    )

"""The valid API keys, held in memory, so that no request pays for Postgres to be recognised.

The keys are read again every few seconds; a key that is not known makes them be read at once, but not
more than once a second, so that guessing cannot flood Postgres. While Postgres is away the last keys
stay valid.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Final

import structlog

from app.auth.api_keys import key_hash
from app.domain.access import Principal
from app.domain.errors import NotAuthenticated, PostgresUnavailable
from app.store.api_keys import StoredKey, read_valid_keys
from app.store.postgres import Postgres

RELOAD_S: Final = 2.0
MIN_RELOAD_GAP_S: Final = 1.0

log = structlog.get_logger(__name__)


class Keyring:
    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._keys: dict[bytes, tuple[Principal, datetime | None]] = {}
        self._loaded = False
        self._attempted_at = -MIN_RELOAD_GAP_S
        self._reloading = asyncio.Lock()

    async def follow(self) -> None:
        """Keep the keys fresh, for ever. To be run as a task."""
        reachable = True
        while True:
            try:
                await self._load()
                reachable = True
            except PostgresUnavailable as error:
                if reachable:
                    log.warning("API keys cannot be read", reason=str(error))
                reachable = False
            await asyncio.sleep(RELOAD_S)

    async def principal(self, key: str) -> Principal:
        """Whose key it is. Raises NotAuthenticated, or PostgresUnavailable before the keys were ever read."""
        hashed = key_hash(key)
        if hashed not in self._keys:
            await self._reload()
        found = self._keys.get(hashed)
        if found is None:
            raise NotAuthenticated("the API key is not valid; it may be mistyped, expired or revoked")
        principal, expires_at = found
        if expires_at is not None and expires_at <= datetime.now(UTC):
            raise NotAuthenticated(
                "the API key has expired; create another with instrument-registry keys create"
            )
        return principal

    async def _reload(self) -> None:
        async with self._reloading:
            if time.monotonic() - self._attempted_at < MIN_RELOAD_GAP_S:
                return
            try:
                await self._load()
            except PostgresUnavailable:
                if not self._loaded:
                    raise

    async def _load(self) -> None:
        self._attempted_at = time.monotonic()
        self._keys = {key.secret_sha256: _entry(key) for key in await read_valid_keys(self._postgres)}
        self._loaded = True


def _entry(key: StoredKey) -> tuple[Principal, datetime | None]:
    return Principal(f"key:{key.id}", key.owner, frozenset(key.scopes)), key.expires_at

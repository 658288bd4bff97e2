"""The API keys, held in memory, so that no request pays for Postgres to be recognised.

The keys are read again every few seconds. A key that is not known is refused only after a reading that
began later than the request; such readings are shared by all who wait and are a moment apart, so that
guessing cannot flood Postgres. While Postgres is away the keys last read stay valid.

Whoever holds a key that ended lately is told how: the secret itself is proof enough to be told.
"""

import asyncio
import re
import time
from dataclasses import dataclass
from typing import Final

import structlog

from app.auth.api_keys import key_hash
from app.auth.key_uses import KeyUses
from app.domain.access import Principal, owner_of_key
from app.domain.errors import NotAuthenticated, PostgresUnavailable
from app.store.api_keys import StoredKey, read_known_keys
from app.store.postgres import Postgres

RELOAD_S: Final = 2.0
MIN_RELOAD_GAP_S: Final = 0.2
KEY_PRINCIPAL_PREFIX: Final = "key:"
"""How the names of keys' principals begin."""

_KEY: Final = re.compile(r"[\x21-\x7e]+")
_GET_ANOTHER: Final = "create another with instrument-registry keys create"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _KnownKey:
    id: int
    principal: Principal
    is_revoked: bool

    @property
    def is_valid(self) -> bool:
        return not self.is_revoked and not self.principal.has_expired()


class Keyring:
    def __init__(self, postgres: Postgres, uses: KeyUses) -> None:
        self._postgres = postgres
        self._uses = uses
        self._keys: dict[bytes, _KnownKey] = {}
        self._keys_by_name: dict[str, _KnownKey] = {}
        self._recognised: dict[str, _KnownKey] = {}
        """By their text, those that came since the keys were read last; a hash for each request costs more
        than everything else that recognises it."""
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

    def known_principal(self, key: str) -> Principal | None:
        """Whose key it is, if it is known and valid; None may only mean that it was not read yet."""
        found = self._recognised.get(key)
        if found is None:
            found = self._keys.get(key_hash(key))
            if found is None:
                return None
            self._recognised[key] = found
        if not found.is_valid:
            return None
        self._uses.note(found.id)
        return found.principal

    async def principal(self, key: str) -> Principal:
        """Whose key it is. Raises NotAuthenticated, or PostgresUnavailable if it cannot be looked up."""
        if not _KEY.fullmatch(key):
            raise NotAuthenticated(
                "the API key is malformed: it is visible ASCII characters without spaces; "
                "send it as it was shown",
                reason="malformed_key",
            )
        hashed = key_hash(key)
        if hashed not in self._keys:
            await self._load_since(time.monotonic())
        found = self._keys.get(hashed)
        if found is None and self._failure is not None:
            raise self._failure
        if found is None:
            raise NotAuthenticated(
                f"the API key is not known; it may be mistyped, or {_GET_ANOTHER}", reason="unknown_key"
            )
        if found.is_revoked:
            raise NotAuthenticated(f"the API key was revoked; {_GET_ANOTHER}", reason="revoked_key")
        if found.principal.has_expired():
            raise NotAuthenticated(f"the API key has expired; {_GET_ANOTHER}", reason="expired_key")
        self._uses.note(found.id)
        return found.principal

    def still_admits(self, principal: Principal) -> bool:
        """Whether the key that this was the principal of is still valid, and has no right less."""
        known = self._keys_by_name.get(principal.name)
        return known is not None and known.is_valid and known.principal.scopes >= principal.scopes

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
            self._keys = {key.secret_sha256: _known(key) for key in await read_known_keys(self._postgres)}
            self._keys_by_name = {key.principal.name: key for key in self._keys.values()}
            self._recognised = {}
            self._failure = None
        except PostgresUnavailable as error:
            self._failure = error


def _known(key: StoredKey) -> _KnownKey:
    principal = Principal(
        f"{KEY_PRINCIPAL_PREFIX}{key.id}",
        owner_of_key(key.owner),
        frozenset(key.scopes),
        key.requests_per_minute,
        key.expires_at,
    )
    return _KnownKey(key.id, principal, key.revoked_at is not None)

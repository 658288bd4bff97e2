"""Who calls and what they may do."""

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

INSTRUMENTS_READ: Final = "instruments:read"
INSTRUMENTS_WRITE: Final = "instruments:write"
PROFILES_READ: Final = "profiles:read"
PROFILES_WRITE: Final = "profiles:write"
PROFILES_ADMIN: Final = "profiles:admin"
INDEX_ADMIN: Final = "index:admin"
CONFIG_ADMIN: Final = "config:admin"

SCOPES: Final = (
    INSTRUMENTS_READ,
    INSTRUMENTS_WRITE,
    PROFILES_READ,
    PROFILES_WRITE,
    PROFILES_ADMIN,
    INDEX_ADMIN,
    CONFIG_ADMIN,
)


ANONYMOUS: Final = "anonymous"
API_KEY_PREFIX: Final = "ir_"
"""What every API key begins with."""


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller, or the anonymous one.

    `name` tells one credential from another and is safe to log; `owner` is whom its profiles belong to.
    """

    name: str
    owner: str
    scopes: frozenset[str]
    requests_per_minute: int | None = None
    """None: the service's default."""
    expires_at: datetime | None = None
    """From then on it is not let in."""
    signed_with: Hashable = None
    """Of a token's bearer: the provider's key."""

    def has_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= datetime.now(UTC)


@dataclass(slots=True)
class Quota:
    """What a caller may still ask for in the current window, which ends in `reset_s` seconds.

    Not frozen: each request makes one, and that would take ten times as long.
    """

    limit: int
    remaining: int
    reset_s: int
    """Rounded up, at least 1."""


def owner_of_key(owner: str) -> str:
    """The owner of what API keys of `owner` make; no token's owner ever equals it."""
    return f"key:{owner}"


def owner_of_token(issuer: str, subject: str) -> str:
    """The owner of what a JWT's bearer makes: its issuer and subject, told apart by their encoding.

    A subject is unique within its issuer only (OpenID Connect Core 1.0, section 2).
    """
    return f"jwt:{quote(issuer, safe='')}:{quote(subject, safe='')}"

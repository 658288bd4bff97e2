"""Who calls and what they may do."""

from dataclasses import dataclass
from typing import Final

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


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller, or the anonymous one. `name` is safe to log."""

    name: str
    owner: str
    scopes: frozenset[str]

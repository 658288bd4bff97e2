"""API keys in Postgres."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from app.domain.errors import NotFound
from app.store.postgres import Postgres, open_connection, postgres_errors
from app.store.statements import Statements

SQL: Final = Statements("api_keys.sql")


@dataclass(frozen=True, slots=True)
class StoredKey:
    id: int
    owner: str
    scopes: tuple[str, ...]
    secret_sha256: bytes
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    requests_per_minute: int | None
    """None: the service's default."""


async def read_valid_keys(postgres: Postgres) -> list[StoredKey]:
    """Every key that is neither revoked nor expired. Raises PostgresUnavailable."""
    async with postgres.connection() as connection:
        return [_key(record) for record in await connection.fetch(SQL["valid"])]


async def read_all_keys(url: str) -> list[StoredKey]:
    async with open_connection(url) as connection:
        with postgres_errors():
            return [_key(record) for record in await connection.fetch(SQL["all"])]


async def add_key(
    url: str, *, owner: str, scopes: Sequence[str], secret_sha256: bytes, expires_at: datetime | None = None
) -> int:
    """Store a new key's hash; its id."""
    async with open_connection(url) as connection:
        with postgres_errors():
            return int(await connection.fetchval(SQL["add"], owner, list(scopes), secret_sha256, expires_at))


async def set_only_key(url: str, *, owner: str, scopes: Sequence[str], secret_sha256: bytes) -> None:
    """Give the owner this key and revoke every other that it has."""
    async with open_connection(url) as connection:
        with postgres_errors():
            await connection.execute(SQL["set_only_key"], owner, list(scopes), secret_sha256)


async def revoke_key(url: str, key_id: int) -> None:
    """Raises NotFound."""
    async with open_connection(url) as connection:
        with postgres_errors():
            if await connection.fetchval(SQL["revoke"], key_id) is None:
                raise NotFound(f"there is no API key {key_id}; instrument-registry keys list shows them")


def _key(record: asyncpg.Record) -> StoredKey:
    return StoredKey(**{**dict(record), "scopes": tuple(record["scopes"])})

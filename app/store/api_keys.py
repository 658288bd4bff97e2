"""API keys in Postgres."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from app.domain.errors import Conflict, NotFound
from app.store.postgres import Postgres, open_connection, postgres_errors
from app.store.statements import Statements

RECORD_USES_TIMEOUT_S: Final = 5.0

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


@dataclass(frozen=True, slots=True)
class Rotation:
    """A key's successor, and when the key itself ends."""

    id: int
    owner: str
    expires_at: datetime | None
    old_expires_at: datetime


async def read_known_keys(postgres: Postgres) -> list[StoredKey]:
    """The valid keys, and those that expired or were revoked lately. Raises PostgresUnavailable."""
    async with postgres.connection() as connection:
        return [_key(record) for record in await connection.fetch(SQL["known"])]


async def read_all_keys(url: str) -> list[StoredKey]:
    async with open_connection(url) as connection:
        with postgres_errors():
            return [_key(record) for record in await connection.fetch(SQL["all"])]


async def add_key(
    url: str,
    *,
    owner: str,
    scopes: Sequence[str],
    secret_sha256: bytes,
    expires_at: datetime | None = None,
    requests_per_minute: int | None = None,
) -> int:
    """Store a new key's hash; its id."""
    async with open_connection(url) as connection:
        with postgres_errors():
            added = await connection.fetchval(
                SQL["add"], owner, list(scopes), secret_sha256, expires_at, requests_per_minute
            )
            return int(added)


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
                raise _no_such_key(key_id)


async def rotate_key(url: str, key_id: int, *, secret_sha256: bytes, overlap: timedelta) -> Rotation:
    """Store the hash of a key's successor; the key itself ends after `overlap`, or earlier if it would have.

    Raises NotFound, and Conflict for a key that is not valid any more.
    """
    async with open_connection(url) as connection:
        with postgres_errors():
            async with connection.transaction():
                old = await connection.fetchrow(SQL["lock"], key_id)
                if old is None:
                    raise _no_such_key(key_id)
                if old["revoked_at"] is not None or old["has_expired"]:
                    ended = "expired" if old["revoked_at"] is None else "was revoked"
                    raise Conflict(
                        f"API key {key_id} {ended} and cannot be rotated; "
                        "create another with instrument-registry keys create"
                    )
                successor = await connection.fetchrow(SQL["add_successor"], key_id, secret_sha256)
                old_expires_at = await connection.fetchval(SQL["end_within"], key_id, overlap)
        assert successor is not None  # noqa: S101 - the row is locked
        return Rotation(**dict(successor), old_expires_at=old_expires_at)


async def record_key_uses(postgres: Postgres, used_at: Mapping[int, datetime]) -> None:
    """Store when keys, by id, were last used, to within ten seconds. Raises PostgresUnavailable."""
    async with postgres.connection() as connection:
        await connection.execute(
            SQL["record_uses"], list(used_at), list(used_at.values()), timeout=RECORD_USES_TIMEOUT_S
        )


def _no_such_key(key_id: int) -> NotFound:
    return NotFound(f"there is no API key {key_id}; instrument-registry keys list shows them")


def _key(record: asyncpg.Record) -> StoredKey:
    return StoredKey(**{**dict(record), "scopes": tuple(record["scopes"])})

"""`instrument-registry keys`.

What stores them, and the driver with it, is imported when it is needed: other commands start more quickly.
"""

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from app.auth.api_keys import key_hash, new_key
from app.domain.access import SCOPES
from app.settings import Settings
from app.terminal import AsJson, completing, fail, messages, output, print_json, print_table

if TYPE_CHECKING:
    from app.store.api_keys import StoredKey

keys = typer.Typer(no_args_is_help=True, help="API keys: create, list, rotate, revoke.")

KeyId = Annotated[
    int, typer.Argument(min=1, max=2**63 - 1, metavar="ID", help="The key's id, as `keys list` shows it.")
]


@keys.command("create")
def create_key(
    owner: Annotated[str, typer.Option(help="Who the key is for.")],
    scope: Annotated[
        list[str],
        typer.Option(
            help=f"What it may do; repeatable: {', '.join(SCOPES)}.", autocompletion=completing(SCOPES)
        ),
    ],
    expires_in_days: Annotated[
        float | None,
        typer.Option(min=0.001, max=36_500, help="Days it is valid (default: for ever).", show_default=False),
    ] = None,
    requests_per_minute: Annotated[
        int | None,
        typer.Option(min=1, max=2**31 - 1, help="Its limit (default: the service's).", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create an API key; its secret is shown once.

    Example: instrument-registry keys create --owner trading-desk --scope instruments:read
    """
    from app.store.api_keys import add_key

    if unknown := sorted(set(scope) - set(SCOPES)):
        fail(f"unknown scope {unknown[0]}; known are {', '.join(SCOPES)}")
    if not 1 <= len(owner.strip()) <= 200:
        fail("--owner must have 1 to 200 characters")
    key = new_key()
    expires_at = None if expires_in_days is None else datetime.now(UTC) + timedelta(days=expires_in_days)
    key_id = asyncio.run(
        add_key(
            Settings.from_environment().needed_database_url(),
            owner=owner.strip(),
            scopes=list(dict.fromkeys(scope)),
            secret_sha256=key_hash(key),
            expires_at=expires_at,
            requests_per_minute=requests_per_minute,
        )
    )
    if as_json:
        print_json({"id": key_id, "owner": owner.strip(), "expires_at": expires_at, "key": key})
        return
    messages.print(f"Key {key_id} for {owner.strip()}. This is the only time that it is shown:")
    output.print(key)


@keys.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List the API keys, without their secrets; the last use is at most half a minute behind.

    Example: instrument-registry keys list --json
    """
    from app.store.api_keys import read_all_keys

    found = asyncio.run(read_all_keys(Settings.from_environment().needed_database_url()))
    if as_json:
        print_json([_without_secret(key) for key in found])
        return
    rows = [
        (
            key.id,
            key.owner,
            "\n".join(key.scopes),
            key.requests_per_minute,
            _minute(key.created_at),
            _minute(key.last_used_at),
            _minute(key.expires_at),
            _minute(key.revoked_at),
        )
        for key in found
    ]
    columns = ("id", "owner", "scopes", "per minute", "created", "last used", "expires", "revoked")
    print_table(columns, rows)


@keys.command("rotate")
def rotate(
    key_id: KeyId,
    overlap_hours: Annotated[
        float, typer.Option(min=0, max=8760, help="How long the old key stays valid; 0.5 is half an hour.")
    ] = 24,
    as_json: AsJson = False,
) -> None:
    """Replace an API key by a new one, shown once.

    The old key stays valid for the overlap, or until it would have expired.
    The new one has its owner, scopes, limit and length of life.

    Example: instrument-registry keys rotate 7 --overlap-hours 2
    """
    from app.store.api_keys import rotate_key

    key = new_key()
    rotation = asyncio.run(
        rotate_key(
            Settings.from_environment().needed_database_url(),
            key_id,
            secret_sha256=key_hash(key),
            overlap=timedelta(hours=overlap_hours),
        )
    )
    if as_json:
        print_json({**dataclasses.asdict(rotation), "key": key})
        return
    messages.print(
        f"Key {rotation.id} for {rotation.owner}, {_validity(rotation.expires_at)}. Key {key_id} is "
        f"{_validity(rotation.old_expires_at)}. This is the only time that the new key is shown:"
    )
    output.print(key)


@keys.command("revoke")
def revoke(key_id: KeyId, as_json: AsJson = False) -> None:
    """Revoke an API key; every process refuses it within seconds.

    Example: instrument-registry keys revoke 7
    """
    from app.store.api_keys import revoke_key

    asyncio.run(revoke_key(Settings.from_environment().needed_database_url(), key_id))
    if as_json:
        print_json({"id": key_id, "revoked": True})
    else:
        output.print(f"Key {key_id} is revoked.")


def _without_secret(key: "StoredKey") -> dict[str, object]:
    shown = dataclasses.asdict(key)
    del shown["secret_sha256"]
    return shown


def _validity(expires_at: datetime | None) -> str:
    return "valid for ever" if expires_at is None else f"valid until {_minute(expires_at)}"


def _minute(time: datetime | None) -> str | None:
    return None if time is None else f"{time:%Y-%m-%d %H:%M}Z"

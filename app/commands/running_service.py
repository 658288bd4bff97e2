"""The service that the commands for daily use ask: which it is, with which key, and what went wrong.

The client, and aiohttp with it, is imported when it is needed: other commands start more quickly.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn, TypeVar

import typer
from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from app.environment import EnvironmentModel
from app.settings import Settings
from app.terminal import fail

if TYPE_CHECKING:
    from instrument_registry_client import ClientError, RegistryClient

T = TypeVar("T")

DEFAULT_URL: Final = "http://127.0.0.1:8080"

Url = Annotated[
    str | None,
    typer.Option(
        help="Of the service (REGISTRY_URL; default: the demo that runs, or 127.0.0.1:8080).",
        show_default=False,
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        help="API key or token (REGISTRY_API_KEY, which others do not see; default: the demo's).",
        show_default=False,
    ),
]


class ServiceSettings(EnvironmentModel):
    """Where the service is, and who we are."""

    model_config = SettingsConfigDict(env_prefix="REGISTRY_")

    url: str | None = None
    api_key: SecretStr | None = None


def ask(url: str | None, key: str | None, work: Callable[["RegistryClient"], Awaitable[T]]) -> T:
    """What `work` returns, done with a client of the service; an error is told in one line."""
    try:
        from instrument_registry_client import ClientError, RegistryClient
    except ModuleNotFoundError:
        fail("the Python client is not installed; install it with: pip install ./clients/python")
    known_url, known_key = _target(url, key)
    try:
        registry = RegistryClient(known_url, known_key)
    except ValueError as error:
        fail(f"--url or --key: {error}")

    async def asking() -> T:
        async with registry as client:
            return await work(client)

    try:
        return asyncio.run(asking())
    except ClientError as error:
        _explain(error, known_key)
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def demo_connection(data_dir: Path) -> dict[str, str] | None:
    """How to reach the demo that runs in this folder, if one does; ends where its file cannot be used."""
    file = data_dir / "connection.json"
    try:
        found = json.loads(file.read_bytes())
        return {name: str(found[name]) for name in ("api_url", "api_key")}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        fail(f"{file} is not what a demo writes; remove it, or name a service with --url")


def _target(url: str | None, key: str | None) -> tuple[str, str | None]:
    """URL and key: as given, or of the environment, or of the demo, whose key is sent nowhere else."""
    settings = ServiceSettings.from_environment(url=url, api_key=None if key is None else SecretStr(key))
    known = None if settings.api_key is None else settings.api_key.get_secret_value()
    if settings.url is not None:
        return settings.url, known
    if (demo := demo_connection(Settings.from_environment().data_dir)) is None:
        return DEFAULT_URL, known
    return demo["api_url"], known or demo["api_key"]


def _explain(error: "ClientError", key: str | None) -> NoReturn:
    from instrument_registry_client import NotAllowed, NotAuthenticated, Unreachable

    message = str(error)
    if isinstance(error, Unreachable):
        message += "; start the service, or name the one that runs with --url or REGISTRY_URL"
    elif isinstance(error, NotAuthenticated):
        given = "another" if key else "one"
        message += f"; give {given} with --key or REGISTRY_API_KEY (instrument-registry keys create makes it)"
    elif isinstance(error, NotAllowed):
        message += "; use a key with it (instrument-registry keys create)"
    if error.outcome_unknown:
        message += "; it may have been carried out all the same: look before you repeat it"
    fail(message)

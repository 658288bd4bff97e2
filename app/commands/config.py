"""`instrument-registry config`."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from app.environment import SettingsError
from app.logs import configure_logs
from app.parameters.definitions import DEFINITIONS, Definition, Parameters, Value
from app.release.configuration import VERIFICATION_FILE
from app.settings import Settings
from app.terminal import AsJson, fail, messages, output, print_json, print_table, printable

config = typer.Typer(
    no_args_is_help=True, help="The parameters, and the configuration service that may set them."
)


@dataclass(frozen=True, slots=True)
class Registered:
    definition: Definition
    is_new: bool
    held: object
    """What is registered now."""

    def problem(self) -> str | None:
        """Why that cannot be used."""
        try:
            self.definition.checked(self.held)
        except ValueError as problem:
            return str(problem)
        return None

    def document(self) -> dict[str, object]:
        return {
            "name": self.definition.name,
            "value": self.held,
            "new": self.is_new,
            "problem": self.problem(),
        }


@config.command("show")
def show(as_json: AsJson = False) -> None:
    """Show the parameters as they hold in this environment, and where each has its value from.

    Those of a running process are at /v1/admin/config.

    Example: REGISTRY_CONFIG_URL=etcd://host:2379 instrument-registry config show
    """
    shown = asyncio.run(_read(_settings()))
    if as_json:
        print_json(shown)
        return
    if (service := shown["service"]) is None:
        messages.print("No configuration service; REGISTRY_CONFIG_URL names one.")
    elif not service["up"]:
        messages.print(service["problem"])
    else:
        messages.print(f"As {service['url']} has them.")
    print_table(
        ("parameter", "value", "unit", "from", "to", "default", "source", "problem"),
        [
            (
                one["name"],
                _text(one["value"]),
                one["unit"],
                _text(one["minimum"]),
                _text(one["maximum"]),
                _text(one["default"]),
                one["source"],
                one["problem"] and printable(one["problem"]),
            )
            for one in shown["parameters"]
        ],
    )


@config.command("register")
def register(as_json: AsJson = False) -> None:
    """Register what is missing with the configuration service, by its default; nothing is overwritten.

    Example: REGISTRY_CONFIG_URL=etcd://host:2379 instrument-registry config register
    """
    settings = _settings()
    if settings.config_url is None:
        raise SettingsError(
            "REGISTRY_CONFIG_URL: is not set; name the configuration service, for example etcd://host:2379"
        )
    registered = asyncio.run(_register(settings))
    if as_json:
        print_json([one.document() for one in registered])
        return
    for one in registered:
        name = one.definition.name
        if one.is_new:
            output.print(f"{name}: registered as {_text(one.definition.default)}")
        elif (problem := one.problem()) is not None:
            output.print(f"{name}: was registered and stays, but {printable(problem)}")
        else:
            output.print(f"{name}: was registered and stays {_text(one.definition.checked(one.held))}")


@config.command("verify")
def verify_config(
    file: Annotated[Path, typer.Option("--output", help="The file to write.")] = Path(VERIFICATION_FILE),
    source: Annotated[
        Path, typer.Option(help="The clone whose commit this is evidence for; none is named outside of one.")
    ] = Path(),
    as_json: AsJson = False,
) -> None:
    """Write whether every parameter is registered and may be used; exit status 1 where one is not.

    Example: REGISTRY_CONFIG_URL=etcd://host:2379 instrument-registry config verify --output evidence.json
    """
    from app.release.source import describe_commit

    verdict, lines, document = asyncio.run(_verify(_settings()))
    document["commit"] = describe_commit(source)
    try:
        file.write_bytes(_json(document) + b"\n")
    except OSError as error:
        fail(f"{file} cannot be written ({error.strerror}); name another file with --output")
    if as_json:
        print_json(document)
    else:
        for line in lines:
            output.print(printable(line))
        output.print(f"Verdict: {verdict}. Written to {file}.")
    if verdict != "complete":
        messages.print("docs/config.md says for each parameter what holds meanwhile, and what to do.")
        sys.exit(1)


def _settings() -> Settings:
    configure_logs("error", "text")  # what is wrong is shown as a result
    return Settings.from_environment()


async def _read(settings: Settings) -> dict[str, Any]:
    from app.parameters.following import opened
    from app.parameters.shown import shown

    given = Parameters.from_environment()
    async with opened(given, settings.config_url, settings.config_poll_s) as (parameters, _):
        return shown(parameters)


async def _register(settings: Settings) -> Sequence[Registered]:
    """Raises ConfigServiceUnavailable; what was registered until then stays, and again is no harm."""
    from app.parameters.service import config_service

    assert settings.config_url is not None  # noqa: S101 - its caller has looked
    service = config_service(settings.config_url.get_secret_value(), settings.config_poll_s)
    await service.open()
    try:
        return [
            Registered(one, await service.create(one.name, one.default), await service.read(one.name))
            for one in DEFINITIONS
        ]
    finally:
        await service.close()


async def _verify(settings: Settings) -> tuple[str, list[str], dict[str, Any]]:
    """The verdict, a line for each parameter, and the document."""
    from app.parameters.following import opened
    from app.parameters.verification import verify

    given = Parameters.from_environment()
    async with opened(given, settings.config_url, settings.config_poll_s) as (parameters, service):
        verified = await verify(parameters, service)
    lines = [
        f"{one.definition.name}: "
        + (f"{_text(parameters.states[one.definition.name].value)} by " if one.problem is None else "")
        + (one.problem or parameters.states[one.definition.name].source)
        for one in verified.parameters
    ]
    return verified.verdict, lines, verified.document


def _json(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z)


def _text(value: Value | None) -> str:
    """As one would write it into the environment."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else f"{value:.15g}"

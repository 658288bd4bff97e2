"""The command line `instrument-registry`."""

import asyncio
import os
import sys
from typing import NoReturn

import typer
import uvloop

from app import main as service
from app.commands.demo import demo
from app.commands.imports import import_
from app.commands.keys import keys
from app.domain.errors import RegistryError
from app.embedded.children import EmbeddedError
from app.environment import SettingsError
from app.ingest.rows import ImportFailed
from app.logs import configure_logs
from app.parameters.definitions import Parameters
from app.settings import Settings
from app.store import migrate as migrations
from app.terminal import fail, output

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Financial instruments: Postgres as the source of truth, searched through RediSearch.",
)
cli.command()(demo)
cli.command("import")(import_)
cli.add_typer(keys, name="keys")


def main() -> None:
    """Run a command; what it cannot do is said in one line, and the exit status is 1."""
    try:
        cli()
    except (RegistryError, SettingsError, EmbeddedError, ImportFailed, OSError) as error:
        fail(str(error))


@cli.command()
def migrate() -> None:
    """Bring the database's schema up to date.

    Example: REGISTRY_DATABASE_URL=postgresql://... instrument-registry migrate
    """
    asyncio.run(migrations.upgrade(Settings.from_environment().needed_database_url()))
    output.print("The schema is up to date.")


@cli.command()
def serve() -> None:
    """The API alone, until SIGTERM or Ctrl-C.

    Example: REGISTRY_DATABASE_URL=... REGISTRY_REDIS_URL=... instrument-registry serve
    """
    settings = Settings.from_environment()
    configure_logs(settings.log_level, settings.log_format)
    uvloop.run(service.serve(settings, Parameters.from_environment()))


@cli.command(
    "indexer",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def indexer(context: typer.Context) -> NoReturn:
    """The index: run, refresh, rebuild, status, verify (`indexer --help` shows them)."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", "indexer", *context.args])  # noqa: S606


if __name__ == "__main__":
    main()

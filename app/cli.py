"""The command line `instrument-registry`.

Alembic and the client are imported by the commands that need them, the server by its own processes: others
start quickly.
"""

import asyncio
import os
import sys
from importlib.util import find_spec
from typing import Annotated, Final, NoReturn

import typer

from app.commands.config import config
from app.commands.demo import demo
from app.commands.imports import import_
from app.commands.keys import keys
from app.commands.lookup import lookup
from app.commands.profile import profile
from app.commands.release import release, release_evidence
from app.commands.report import report
from app.commands.rollout import rollout
from app.commands.search import search
from app.commands.slo import slo
from app.domain.errors import RegistryError
from app.embedded.children import EmbeddedError
from app.environment import SettingsError
from app.ingest.rows import ImportFailed
from app.settings import Settings
from app.terminal import AsJson, completing, fail, output, print_json, run_command

INDEXER_COMMANDS: Final = ("run", "refresh", "rebuild", "rollback", "status", "verify")
LOADTEST_COMMANDS: Final = ("burst", "sustained")
"""Of the applications that those two commands hand over to, for completion."""

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Financial instruments: Postgres as the source of truth, searched through RediSearch.",
)
cli.command()(demo)
cli.command("import")(import_)
cli.command()(search)
cli.command()(lookup)
cli.add_typer(profile, name="profile")
cli.add_typer(config, name="config")
cli.add_typer(keys, name="keys")
cli.add_typer(report, name="report")
cli.add_typer(release, name="release")
cli.command("release-evidence")(release_evidence)
cli.add_typer(slo, name="slo")
cli.add_typer(rollout, name="rollout")


def main() -> NoReturn:
    """Run the command that the arguments name."""
    run_command(
        cli, "instrument-registry", RegistryError, SettingsError, EmbeddedError, ImportFailed, OSError
    )


@cli.command()
def migrate(as_json: AsJson = False) -> None:
    """Bring the database's schema up to date.

    Example: REGISTRY_DATABASE_URL=postgresql://... instrument-registry migrate
    """
    from app.store.migrate import current_revision, upgrade

    url = Settings.from_environment().needed_database_url()
    asyncio.run(upgrade(url))
    if as_json:
        print_json({"revision": asyncio.run(current_revision(url))})
    else:
        output.print("The schema is up to date.")


@cli.command()
def serve(
    workers: Annotated[
        int | None, typer.Option(help="Processes that serve (REGISTRY_WORKERS, 1).", show_default=False)
    ] = None,
) -> NoReturn:
    """The API alone, until SIGTERM or Ctrl-C; SIGHUP has new processes take over without a pause.

    Example: REGISTRY_DATABASE_URL=... REGISTRY_REDIS_URL=... instrument-registry serve --workers 2
    """
    if workers is not None:
        os.environ["REGISTRY_WORKERS"] = str(workers)
        os.environ.pop("REGISTRY_WORKERS_FILE", None)
    # A small process: it only looks after those that serve.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "app.supervision"])  # noqa: S606


@cli.command(
    "indexer",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},
)
def indexer(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="COMMAND", autocompletion=completing(INDEXER_COMMANDS), show_default=False),
    ] = None,
) -> NoReturn:
    """The index: run, refresh, rebuild, status, verify (`indexer --help` shows them)."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", "indexer", *(words or ())])  # noqa: S606


@cli.command(
    "loadtest",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},
)
def loadtest(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="COMMAND", autocompletion=completing(LOADTEST_COMMANDS), show_default=False),
    ] = None,
) -> NoReturn:
    """Load tests of a running service: burst, sustained (`loadtest --help` shows them)."""
    if find_spec("locust") is None:
        fail("Locust is not installed; install it with: pip install 'instrument-registry[loadtest]'")
    os.execv(sys.executable, [sys.executable, "-P", "-m", "loadtests", *(words or ())])  # noqa: S606


if __name__ == "__main__":
    main()

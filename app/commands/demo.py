"""`instrument-registry demo`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from app.commands.imports import REJECTS_FILE, import_files, print_report
from app.ingest.aliases import known_aliases
from app.ingest.files import find_files
from app.ingest.sample import sample_source
from app.parameters.definitions import Parameters
from app.settings import Settings
from app.terminal import messages, output

if TYPE_CHECKING:
    from app.embedded.demo import Connection

_DEMO_COMMANDS: Final = (
    "curl '{url}/v1/instruments/search?q=apple&limit=3'",
    "curl '{url}/v1/instruments/suggest?q=sie'",
    "curl -H 'Authorization: Bearer {key}' '{url}/v1/instruments/search?asset_class=index&sort=name'",
)


def demo(
    port: Annotated[
        int | None, typer.Option(help="Port of the API (REGISTRY_PORT, 8080).", show_default=False)
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of all data (REGISTRY_DATA_DIR, .data).", show_default=False)
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample/--no-sample", help="Load the bundled sample at first.")
    ] = True,
    import_: Annotated[
        list[Path] | None,
        typer.Option(
            "--import", help="Import a file or folder before serving; repeatable.", show_default=False
        ),
    ] = None,
) -> None:
    """Everything on this machine: embedded Postgres and Redis Stack, indexer and API. Ctrl-C stops it.

    Example: instrument-registry demo --port 9000 --import ./instruments.csv
    """
    from app.embedded.demo import Demo
    from app.embedded.interrupts import Interrupts
    from app.ingest.importer import import_aliases, import_rows
    from app.store.imports import instruments_exist

    settings = Settings.from_environment(port=port, data_dir=data_dir)
    Parameters.from_environment()  # a bad value stops the start here, not in a child's log
    files = find_files(import_ or [])
    try:
        interrupts = Interrupts()
        with Demo(settings, interrupts) as parts:
            messages.print(f"Starting {_own_servers(settings)} ...")
            connection = parts.start_servers()
            url = connection.database_url
            with_sample = sample and not interrupts.run(instruments_exist(url))
            rejects = settings.data_dir / REJECTS_FILE
            if files:
                print_report(import_files(url, files, rejects, actor="demo", run=interrupts.run), rejects)
            if with_sample:
                messages.print("Loading the sample ...")
                rejects = settings.data_dir / f"sample-{REJECTS_FILE}"
                interrupts.run(import_rows(url, [sample_source()], rejects, actor="demo"))
                rejects = settings.data_dir / f"aliases-{REJECTS_FILE}"
                interrupts.run(import_aliases(url, [known_aliases()], rejects, actor="demo"))
            messages.print("Starting the indexer and the API, filling the index ...")
            parts.start_service(connection)
            _print_welcome(connection)
            parts.wait()
    except KeyboardInterrupt:
        messages.print("Stopped; the data is kept.")


def _own_servers(settings: Settings) -> str:
    """Which servers the demo starts, and which it was given."""
    given = {
        "Postgres": settings.database_url and "with the Postgres that REGISTRY_DATABASE_URL names",
        "Redis Stack": settings.redis_url and "with the Redis that REGISTRY_REDIS_URL names",
    }
    started = " and ".join(name for name, words in given.items() if not words) or "nothing of its own"
    return " ".join((started, *(words for words in given.values() if words)))


def _print_welcome(connection: "Connection") -> None:
    output.print(f"\nThe API answers at {connection.api_url}")
    output.print(f"Demo key, with every scope: {connection.api_key}\n\nTry:")
    for command in _DEMO_COMMANDS:
        output.print("  " + command.format(url=connection.api_url, key=connection.api_key))
    output.print("\nCtrl-C stops everything and keeps the data.")

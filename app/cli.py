"""The command line `instrument-registry`."""

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
import uvloop

from app import main as service
from app.auth.api_keys import key_hash, new_key
from app.domain.access import SCOPES
from app.domain.errors import RegistryError
from app.embedded.children import EmbeddedError
from app.embedded.demo import Connection, Demo
from app.environment import SettingsError
from app.ingest import generic
from app.ingest.files import FORMATS, file_source, find_files
from app.ingest.importer import ImportReport, import_rows
from app.ingest.rows import ImportFailed
from app.ingest.sample import sample_source
from app.logs import configure_logs
from app.parameters.definitions import Parameters
from app.settings import Settings
from app.store import migrate as migrations
from app.store.api_keys import add_key, read_all_keys, revoke_key
from app.store.imports import instruments_exist
from app.terminal import fail, messages, output, print_table, reading_progress

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Financial instruments: Postgres as the source of truth, searched through RediSearch.",
)
keys = typer.Typer(no_args_is_help=True, help="API keys: create, list, revoke.")
cli.add_typer(keys, name="keys")

PathArgument = Annotated[
    list[Path], typer.Argument(help="Files or folders; plain, .gz, .bz2 or .xz.", show_default=False)
]
_ENDING_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_REJECTS_FILE: Final = "import-rejects.csv"
_DEMO_COMMANDS: Final = (
    "curl '{url}/v1/instruments/search?q=apple&limit=3'",
    "curl '{url}/v1/instruments/suggest?q=sie'",
    "curl -H 'Authorization: Bearer {key}' '{url}/v1/instruments/search?asset_class=index&sort=name'",
)


def main() -> None:
    """Run a command; what it cannot do is said in one line, and the exit status is 1."""
    try:
        cli()
    except (RegistryError, SettingsError, EmbeddedError, ImportFailed, OSError) as error:
        fail(str(error))


@cli.command()
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
    settings = Settings.from_environment(port=port, data_dir=data_dir)
    Parameters.from_environment()  # a bad value stops the start here, not in a child's log
    files = find_files(import_ or [])
    for name in _ENDING_SIGNALS:
        signal.signal(name, _end_once)
    try:
        with Demo(settings) as parts:
            messages.print(f"Starting {_own_servers(settings)} ...")
            connection = parts.start_servers()
            url = connection.database_url
            with_sample = sample and not asyncio.run(instruments_exist(url))
            rejects = settings.data_dir / _REJECTS_FILE
            if files:
                _print_report(_import_files(url, files, rejects, actor="demo"), rejects)
            if with_sample:
                messages.print("Loading the sample ...")
                rejects = settings.data_dir / f"sample-{_REJECTS_FILE}"
                asyncio.run(import_rows(url, [sample_source()], rejects, actor="demo"))
            messages.print("Starting the indexer and the API, filling the index ...")
            parts.start_service(connection)
            _print_welcome(connection)
            parts.wait()
    except KeyboardInterrupt:
        messages.print("Stopped; the data is kept.")


def _end_once(*_: object) -> None:
    """End by the first signal, undisturbed by the next: make passes Ctrl-C on a second time."""
    for name in _ENDING_SIGNALS:
        signal.signal(name, signal.SIG_IGN)
    raise KeyboardInterrupt


def _own_servers(settings: Settings) -> str:
    """Which servers the demo starts, and which it was given."""
    given = {
        "Postgres": settings.database_url and "with the Postgres that REGISTRY_DATABASE_URL names",
        "Redis Stack": settings.redis_url and "with the Redis that REGISTRY_REDIS_URL names",
    }
    started = " and ".join(name for name, words in given.items() if not words) or "nothing of its own"
    return " ".join((started, *(words for words in given.values() if words)))


def _print_welcome(connection: Connection) -> None:
    output.print(f"\nThe API answers at {connection.api_url}")
    output.print(f"Demo key, with every scope: {connection.api_key}\n\nTry:")
    for command in _DEMO_COMMANDS:
        output.print("  " + command.format(url=connection.api_url, key=connection.api_key))
    output.print("\nCtrl-C stops everything and keeps the data.")


@cli.command()
def migrate() -> None:
    """Bring the database's schema up to date.

    Example: REGISTRY_DATABASE_URL=postgresql://... instrument-registry migrate
    """
    asyncio.run(migrations.upgrade(_database_url()))
    output.print("The schema is up to date.")


@cli.command()
def serve() -> None:
    """The API alone, until SIGTERM or Ctrl-C.

    Example: REGISTRY_DATABASE_URL=... REGISTRY_REDIS_URL=... instrument-registry serve
    """
    settings = Settings.from_environment()
    configure_logs(settings.log_level, settings.log_format)
    uvloop.run(service.serve(settings, Parameters.from_environment()))


@cli.command("import")
def import_(
    paths: PathArgument,
    format_: Annotated[
        str | None,
        typer.Option("--format", help=f"Insist on a format: {', '.join(FORMATS)}.", show_default=False),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="Name of the source, whose rows these are (default: the format's own).", show_default=False
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also replace fields that were edited by hand.")
    ] = False,
    delist_missing: Annotated[
        bool, typer.Option("--delist-missing", help="Delist what the imported sources no longer name.")
    ] = False,
    rejects: Annotated[Path, typer.Option(help="Where to write what is wrong with which row.")] = Path(
        _REJECTS_FILE
    ),
) -> None:
    """Import instruments; formats are found out by content. Importing the same again changes nothing.

    Example: instrument-registry import ./financedatabase ./nasdaq.json.xz
    """
    if format_ is not None and format_ not in FORMATS:
        fail(f"--format must be one of {', '.join(FORMATS)}")
    report = _import_files(
        _database_url(),
        find_files(paths),
        rejects,
        actor="import",
        format_name=format_,
        source=source,
        overwrite=overwrite,
        delist_missing=delist_missing,
    )
    _print_report(report, rejects)
    if report.rejected == report.read > 0:
        sys.exit(1)


def _import_files(
    url: str,
    files: list[Path],
    rejects: Path,
    *,
    actor: str,
    format_name: str | None = None,
    source: str | None = None,
    overwrite: bool = False,
    delist_missing: bool = False,
) -> ImportReport:
    with reading_progress(files) as counted:
        sources = [file_source(f, format_name=format_name, source=source, counted=counted) for f in files]
        if delist_missing and any(item.source in (generic.CSV, generic.NDJSON) for item in sources):
            fail(
                "--delist-missing with csv or ndjson needs --source NAME: other files have rows of their own"
            )
        return asyncio.run(
            import_rows(
                url, sources, rejects, actor=actor, overwrite=overwrite, delist_missing=delist_missing
            )
        )


def _print_report(report: ImportReport, rejects: Path) -> None:
    output.print(
        f"{report.read:,} rows read: {report.created:,} created, {report.changed:,} changed, "
        f"{report.unchanged:,} unchanged, {report.duplicates:,} duplicates, {report.rejected:,} rejected"
    )
    if report.delisting_held_back:
        output.print("Nothing was delisted: a rejected row may name what seems to be missing; mend it first")
    if report.delisted:
        output.print(f"{report.delisted:,} instruments delisted, which their sources no longer name")
    if report.rejected or report.duplicates or report.dropped_values or report.replaced_values:
        output.print(
            f"{report.dropped_values:,} values dropped, {report.replaced_values:,} replaced; "
            f"row by row in {rejects}"
        )


@cli.command(
    "indexer",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def indexer(context: typer.Context) -> NoReturn:
    """The index: run, refresh, rebuild, status, verify (`indexer --help` shows them)."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", "indexer", *context.args])  # noqa: S606


@keys.command("create")
def create_key(
    owner: Annotated[str, typer.Option(help="Who the key is for.")],
    scope: Annotated[list[str], typer.Option(help=f"What it may do; repeatable: {', '.join(SCOPES)}.")],
    expires_in_days: Annotated[
        float | None,
        typer.Option(min=0.001, max=36_500, help="Days it is valid (default: for ever).", show_default=False),
    ] = None,
) -> None:
    """Create an API key; its secret is shown once.

    Example: instrument-registry keys create --owner trading-desk --scope instruments:read
    """
    if unknown := sorted(set(scope) - set(SCOPES)):
        fail(f"unknown scope {unknown[0]}; known are {', '.join(SCOPES)}")
    if not 1 <= len(owner.strip()) <= 200:
        fail("--owner must have 1 to 200 characters")
    key = new_key()
    expires_at = None if expires_in_days is None else datetime.now(UTC) + timedelta(days=expires_in_days)
    key_id = asyncio.run(
        add_key(
            _database_url(),
            owner=owner.strip(),
            scopes=list(dict.fromkeys(scope)),
            secret_sha256=key_hash(key),
            expires_at=expires_at,
        )
    )
    messages.print(f"Key {key_id} for {owner.strip()}. This is the only time that it is shown:")
    output.print(key)


@keys.command("list")
def list_keys() -> None:
    """List the API keys, without their secrets.

    Example: instrument-registry keys list
    """
    rows = [
        (
            key.id,
            key.owner,
            "\n".join(key.scopes),
            _minute(key.created_at),
            _minute(key.expires_at),
            _minute(key.revoked_at),
        )
        for key in asyncio.run(read_all_keys(_database_url()))
    ]
    print_table(("id", "owner", "scopes", "created", "expires", "revoked"), rows)


@keys.command("revoke")
def revoke(
    key_id: Annotated[
        int, typer.Argument(min=1, max=2**63 - 1, metavar="ID", help="The key's id, as `keys list` shows it.")
    ],
) -> None:
    """Revoke an API key; every process refuses it within seconds.

    Example: instrument-registry keys revoke 7
    """
    asyncio.run(revoke_key(_database_url(), key_id))
    output.print(f"Key {key_id} is revoked.")


def _minute(time: datetime | None) -> str | None:
    return None if time is None else f"{time:%Y-%m-%d %H:%M}Z"


def _database_url() -> str:
    url = Settings.from_environment().database_url
    if url is None:
        raise SettingsError(
            "REGISTRY_DATABASE_URL: is not set; while the demo runs, its connection.json holds the URL"
        )
    return url.get_secret_value()


if __name__ == "__main__":
    main()

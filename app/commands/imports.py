"""`instrument-registry import`.

The importer, and the drivers with it, is imported when it is needed: other commands start more quickly.
"""

import asyncio
import dataclasses
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from app.ingest import aliases, generic
from app.ingest.aliases import known_aliases
from app.ingest.files import FORMATS, file_source, find_files
from app.ingest.rows import ImportFailed, RowSource
from app.settings import Settings
from app.terminal import AsJson, completing, fail, output, print_json, reading_progress

if TYPE_CHECKING:
    from app.ingest.importer import ImportReport

REJECTS_FILE: Final = "import-rejects.csv"

PathArgument = Annotated[
    list[Path] | None, typer.Argument(help="Files or folders; plain, .gz, .bz2 or .xz.", show_default=False)
]


def import_(
    paths: PathArgument = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help=f"Insist on a format: {', '.join(FORMATS)}.",
            autocompletion=completing(FORMATS),
            show_default=False,
        ),
    ] = None,
    known: Annotated[
        bool,
        typer.Option(
            "--known-aliases", help="Import the names and former symbols that come with the project."
        ),
    ] = False,
    source: Annotated[
        str | None,
        typer.Option(
            help="Name of the source, whose rows these are (default: the format's own).", show_default=False
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Also replace fields that were edited by hand, and aliases with other dates."
        ),
    ] = False,
    delist_missing: Annotated[
        bool, typer.Option("--delist-missing", help="Delist what the imported sources no longer name.")
    ] = False,
    rejects: Annotated[Path, typer.Option(help="Where to write what is wrong with which row.")] = Path(
        REJECTS_FILE
    ),
    as_json: AsJson = False,
) -> None:
    """Import instruments, or aliases of those that there are; formats are found out by content.

    Importing the same again changes nothing.

    Example: instrument-registry import ./financedatabase ./nasdaq.json.xz
    """
    from app.ingest.importer import import_aliases

    if bool(paths) == known:
        fail("give files or folders to import, or --known-aliases")
    if format_ is not None and format_ not in FORMATS:
        fail(f"--format must be one of {', '.join(FORMATS)}")
    url = Settings.from_environment().needed_database_url()
    if known:
        merging = import_aliases(url, [known_aliases()], rejects, actor="import", overwrite=overwrite)
        report = asyncio.run(merging)
    else:
        report = import_files(
            url,
            find_files(paths or []),
            rejects,
            actor="import",
            format_name=format_,
            source=source,
            overwrite=overwrite,
            delist_missing=delist_missing,
        )
    if as_json:
        print_json({**dataclasses.asdict(report), "rejects_file": str(rejects)})
    else:
        print_report(report, rejects)
    if report.rejected == report.read > 0:
        sys.exit(1)


def import_files(
    url: str,
    files: list[Path],
    rejects: Path,
    *,
    actor: str,
    format_name: str | None = None,
    source: str | None = None,
    overwrite: bool = False,
    delist_missing: bool = False,
    run: Callable[[Coroutine[Any, Any, "ImportReport"]], "ImportReport"] = asyncio.run,
) -> "ImportReport":
    """Import files with a progress bar; `run` runs the coroutine. Raises as `import_rows` does."""
    from app.ingest.importer import import_aliases, import_rows

    with reading_progress(files) as counted:
        sources = [file_source(f, format_name=format_name, source=source, counted=counted) for f in files]
        if any(item.convert is aliases.convert for item in sources):
            _check_aliases(sources, source, delist_missing=delist_missing)
            return run(import_aliases(url, sources, rejects, actor=actor, overwrite=overwrite))
        if delist_missing and any(item.source in (generic.CSV, generic.NDJSON) for item in sources):
            fail(
                "--delist-missing with csv or ndjson needs --source NAME: other files have rows of their own"
            )
        return run(
            import_rows(
                url, sources, rejects, actor=actor, overwrite=overwrite, delist_missing=delist_missing
            )
        )


def _check_aliases(sources: list[RowSource[Any]], source: str | None, *, delist_missing: bool) -> None:
    if not all(item.convert is aliases.convert for item in sources):
        raise ImportFailed(
            "aliases are of instruments that there are: import the files of instruments first, then those"
        )
    if source is not None or delist_missing:
        raise ImportFailed(
            "--source and --delist-missing are of instruments; leave them out for files of aliases"
        )


def print_report(report: "ImportReport", rejects: Path) -> None:
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

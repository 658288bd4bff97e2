"""What the commands show to people: progress bars on standard error, results on standard output."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import IO, Annotated, Final, NoReturn

import orjson
import typer
from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from app.server_url import ServerUrl

output = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
messages = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)

FILE_WIDTH: Final = 160
_ROWS_AT_ONCE: Final = 100
_BETWEEN_COLUMNS: Final = 2

AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for machines.")]


def completing(choices: Iterable[str]) -> Callable[[str], list[str]]:
    """What the shell offers to complete a word by."""
    return lambda incomplete: [choice for choice in choices if choice.startswith(incomplete)]


def fail(message: str, status: int = 1) -> NoReturn:
    """Say in one line what went wrong, and end with `status`."""
    messages.print("error:", style="red", end=" ")
    messages.print(" ".join(message.split()))
    sys.exit(status)


def run_command(cli: typer.Typer, name: str, *failures: type[Exception]) -> NoReturn:
    """Run the command that was given; what it cannot do (`failures`) is said in one line.

    The exit status is 1 then, and 2 where the command was not given as its help says.
    """
    try:
        sys.exit(cli(prog_name=name, standalone_mode=False))
    except typer.TyperException as error:
        if not (said := error.format_message()):  # without a command its help was shown
            sys.exit(error.exit_code)
        context = getattr(error, "ctx", None)
        command = name if context is None else context.command_path
        fail(f"{said.rstrip('.')}; see {command} --help", error.exit_code)
    except typer.Abort:
        fail("not confirmed; nothing was done")
    except failures as error:
        fail(str(error))


def server_url(url: str, option: str) -> ServerUrl:
    """The URL that `option` names; ends where it is none, without quoting it: it may have a password."""
    try:
        return ServerUrl.parse(url)
    except ValueError as error:
        fail(f"{option}: {error}; it must be like http://127.0.0.1:8080")


@contextmanager
def reading_progress(files: Sequence[Path]) -> Iterator[Callable[[int], None]]:
    """A bar over the bytes of `files` on disk; yields the function to tell bytes to."""
    total = sum(os.path.getsize(file) for file in files)  # noqa: PTH202 - a plain sum
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
        console=messages,
    ) as progress:
        task = progress.add_task("Reading", total=total)

        def counted(count: int) -> None:
            progress.advance(task, count)
            if progress.tasks[task].completed >= total:
                progress.update(task, description="Merging")

        yield counted


@contextmanager
def progress_bar(
    what: str = "", total: int | None = None, *, shown: bool = True
) -> Iterator[Callable[..., None]]:
    """A bar while something is counted, on standard error where that is a terminal.

    Yields the function to tell how many more there are, and of how many, where that is not known before.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    is_shown = shown and messages.is_terminal
    with Progress(*columns, console=messages, transient=True, disable=not is_shown) as progress:
        task = progress.add_task(what, total=total)

        def counted(count: int, total: int | None = None) -> None:
            progress.update(task, advance=count, total=total)

        yield counted


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    console: Console = output,
    *,
    styles: Sequence[str] = (),
    widths: Sequence[int] = (),
    head: bool = True,
) -> None:
    """A table; `styles` are of the columns, for consoles that have colours, and so are `widths`."""
    table = Table(box=None, pad_edge=False, show_header=head)
    for column, style, width in zip_longest(columns, styles, widths):
        table.add_column(column, overflow="fold", style=style, width=width)
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console.print(table)


@contextmanager
def long_table(
    columns: Sequence[str], *, styles: Sequence[str] = ()
) -> Iterator[Callable[[Sequence[str]], None]]:
    """A table that is printed while its rows come, the first of which decide how wide the columns are.

    Yields the function that adds a row.
    """
    waiting: list[Sequence[str]] = []
    widths: list[int] = []

    def show() -> None:
        is_first = not widths
        if is_first:
            widths[:] = _widths([columns, *waiting])
        print_table(columns, waiting, styles=styles, widths=widths, head=is_first)
        waiting.clear()

    def add(row: Sequence[str]) -> None:
        waiting.append(row)
        if len(waiting) == _ROWS_AT_ONCE:
            show()

    yield add
    if waiting or not widths:
        show()


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """Of the columns; where there is no room for all, the widest give way."""
    widths = [max(map(cell_len, cells)) for cells in zip(*rows, strict=True)]
    room = max(output.width - _BETWEEN_COLUMNS * (len(widths) - 1), len(widths))
    while sum(widths) > room:
        widths[widths.index(max(widths))] -= 1
    return widths


def print_json(value: object, *, indent: bool = True) -> None:
    """A JSON value on standard output, as it is; without `indent` on one line."""
    option = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS | (orjson.OPT_INDENT_2 if indent else 0)
    output.out(orjson.dumps(value, option=option).decode(), highlight=False)


def console_of(file: IO[str]) -> Console:
    """Where to print what a file is to hold: as `output`, wide, and without colours."""
    return Console(file=file, width=FILE_WIDTH, highlight=False, markup=False, emoji=False, soft_wrap=True)


def printable(text: str) -> str:
    """`text` with what would steer a terminal, or not be seen, as escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
